"""Figures of an experiment, drawn from its labelled dataset alone.

No figure touches pyplot, so that all of them work without a display and from several threads.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from actbench.colors import ACTIVATION_STYLES, ActivationStyle, style_of
from actbench.files import prepare_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import xarray as xr
    from matplotlib.axes import Axes

__all__ = [
    "ACTIVATION_STYLES",
    "FIGURES",
    "SINE_REGRESSION_FIGURES",
    "SUFFIXES",
    "gradient_flow",
    "hidden_activations",
    "learned_functions",
    "loss_curves",
    "save",
    "summary_figure",
]

Array: TypeAlias = npt.NDArray[np.float64]

SUFFIXES: Final = ("png", "svg")

_BAND: Final = (0.025, 0.5, 0.975)
_HUGE: Final = 1e100  # beyond it the arithmetic of axes overflows; a run there has diverged
_PLATEAU: Final = 0.95  # of the best constant's loss; a network below it has learned something
_GOOD: Final = 0.05  # of the best constant's loss; what parts good fits from poor ones in a figure
_DOTS: Final = "#9A9A9A"
_TRUTH: Final = "#444444"
_DASHES: Final = (0, (4, 2))
_SMALL: Final = 8.5
_RENDERING: Final = threading.Lock()


def learned_functions(ds: xr.Dataset) -> Figure:
    """Draw what each activation's networks learned, one panel per activation.

    Args:
        ds: Dataset of `sine-regression`.

    Returns:
        The figure: noisy points, clean sine, and the median and band of the predictions.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    names = _activations(ds)
    figure, panels, spare = _grid(len(names), (3.9, 3.1))
    figure.suptitle(f"Learned functions\n{_seeds_note(ds)}", fontsize=13)
    for name, axes in zip(names, panels, strict=True):
        _draw_data(axes, ds)
        _draw_prediction(axes, ds, name)
        title = f"{style_of(name).name}: final MSE {_number(_median_final(ds, name))}"
        axes.set_title(title, fontsize=10.5)
    handles = [*_data_handles(), _handle(ActivationStyle("learned function", _TRUTH, "-", ""))]
    spare.legend(handles=handles, loc="center", frameon=False)
    return figure


def loss_curves(ds: xr.Dataset) -> Figure:
    """Draw the training loss against the epoch, with the floors that can be computed.

    Args:
        ds: Dataset of `sine-regression`.

    Returns:
        The figure, one panel with a logarithmic loss.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    figure = Figure(figsize=(9.5, 5.8), layout="constrained")
    axes = figure.subplots()
    _panel_losses(axes, ds)
    axes.set_title(f"Training loss\n{_seeds_note(ds)}", fontsize=13)
    _legend(figure, ds)
    return figure


def gradient_flow(ds: xr.Dataset) -> Figure:
    """Draw the gradient magnitude of every layer, one panel per recorded epoch.

    Args:
        ds: Dataset of `sine-regression`.

    Returns:
        The figure; layer 1, nearest the input, is on the left of each panel.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    epochs = [int(epoch) for epoch in ds["recorded_epoch"].values]
    figure, panels, spare = _grid(len(epochs), (4.3, 3.4), share=True)
    figure.suptitle(f"Gradient magnitude, mean |∂loss/∂W|\n{_seeds_note(ds)}", fontsize=13)
    for epoch, axes in zip(epochs, panels, strict=True):
        _panel_gradients(axes, ds, epoch)
        axes.set_title(f"epoch {epoch}")
    spare.legend(
        handles=[_handle(style_of(name), marker=True) for name in _activations(ds)],
        loc="center",
        frameon=False,
        handlelength=3.5,
    )
    return figure


def hidden_activations(ds: xr.Dataset) -> Figure:
    """Draw the outputs of the hidden units of one seed over the inputs.

    Args:
        ds: Dataset of `sine-regression`.

    Returns:
        The figure: a row per activation, a column per hidden layer, a thin line per unit.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    names, layers = _activations(ds), [int(layer) for layer in ds["hidden_layer"].values]
    size = (1.2 + 3.2 * max(2, len(layers)), 1.3 + 1.9 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(names), len(layers), squeeze=False, sharex=True, sharey="row")
    figure.suptitle(
        f"Hidden activations after training, seed {int(ds['seed'].values[0])}, one line per unit",
        fontsize=13,
    )
    for name, row in zip(names, grid, strict=True):
        for layer, axes in zip(layers, row, strict=True):
            _panel_units(axes, ds, name, layer)
        label = style_of(name).name
        row[0].set_ylabel(label, fontsize=11 if len(label) <= 12 else 8)
    for layer, top, bottom in zip(layers, grid[0], grid[-1], strict=True):
        top.set_title(f"hidden layer {layer}")
        bottom.set_xlabel("x")
    return figure


def summary_figure(ds: xr.Dataset) -> Figure:
    """Draw the whole experiment on one page of nine panels.

    Args:
        ds: Dataset of `sine-regression`.

    Returns:
        The figure, three rows of three panels.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    figure = Figure(figsize=(16.5, 13.5), layout="constrained")
    grid = figure.subplots(3, 3)
    for letter, axes in zip("abcdefghi", grid.flat, strict=True):
        axes.set_title(letter, loc="left", fontweight="bold")
    _summarize_losses(grid, ds)
    _summarize_mechanism(grid, ds)
    _summarize_functions(grid, ds)
    figure.suptitle(f"Regression of a noisy sine: {_seeds_note(ds)}", fontsize=15)
    _legend(figure, ds, marker=True)
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, each whole or not at all, the same bytes for the same data.

    Args:
        figure: What to write.
        folder: Where; made if it is missing.
        name: File name without a suffix.

    Returns:
        The two paths, PNG first.

    Raises:
        ActbenchError: The folder cannot be made or written to; no half-written file stays.
    """
    # The salt is a setting of the whole process, not of a figure: one thread at a time.
    with _RENDERING, mpl.rc_context({"svg.hashsalt": "actbench"}):
        contents = {folder / f"{name}.{kind}": _render(figure, kind) for kind in SUFFIXES}
        prepare_folder(folder)
        for path, content in contents.items():
            write_atomic(path, content)
    return list(contents)


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _summarize_losses(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    _panel_floors(grid[0, 0], ds)
    grid[0, 0].set_title("The data and its floors")
    _panel_losses(grid[0, 1], ds)
    grid[0, 1].set_title("Training loss")
    _panel_plateau(grid[0, 2], ds)
    grid[0, 2].set_title("Seeds no better than a constant")
    _panel_final(grid[1, 0], ds, "final_mse", "target_noisy")
    grid[1, 0].set_title("Final MSE, noisy targets")
    _panel_final(grid[2, 0], ds, "final_mse_clean", "target_clean")
    grid[2, 0].set_title("Final MSE, clean targets")


def _summarize_mechanism(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    epochs = ds["recorded_epoch"].values
    grid[1, 2].sharey(grid[1, 1])
    for axes, epoch in ((grid[1, 1], int(epochs[0])), (grid[1, 2], int(epochs[-1]))):
        _panel_gradients(axes, ds, epoch)
        axes.set_ylabel("mean |∂loss/∂W|")
        axes.set_title(f"Gradient magnitude, epoch {epoch}")


def _summarize_functions(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    bound = _GOOD * _floors(ds, "target_noisy")["best constant"]
    names = _activations(ds)
    good = [name for name in names if _median_final(ds, name) <= bound]
    _panel_errors(grid[2, 1], ds, good)
    grid[2, 1].set_title(f"Errors where median MSE < {_number(bound)}")
    _draw_data(grid[2, 2], ds)
    for name in names:
        _draw_prediction(grid[2, 2], ds, name)
    grid[2, 2].set_title("Learned functions")
    grid[2, 2].legend(handles=_data_handles(), loc="upper left", fontsize=_SMALL)


def _panel_errors(axes: Axes, ds: xr.Dataset, names: Sequence[str]) -> None:
    x, noisy, clean = (_safe(ds[key].values) for key in ("x", "target_noisy", "target_clean"))
    noise = noisy - clean
    reach = 1.3 * max(np.abs(noise[np.isfinite(noise)]), default=0.0) or 1.0
    axes.plot(x, noise, ".", color=_DOTS, markersize=3.5, alpha=0.6)
    axes.axhline(0, color=_TRUTH, linestyle=_DASHES, linewidth=1.1)
    for name in names:
        errors = _safe(ds["prediction"].sel(activation=name).transpose("seed", "x").values) - clean
        errors = np.clip(errors, -10 * reach, 10 * reach)
        _draw_band(axes, x, errors, style_of(name), gid=f"error-{name}")
    if not names:
        _say(axes, "no activation")
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("x")
    axes.set_ylabel("learned \u2212 clean sine; dots: the noise")


def _panel_floors(axes: Axes, ds: xr.Dataset) -> None:
    floors = _floors(ds, "target_noisy")
    _draw_data(axes, ds)
    handles = _data_handles()
    handles[1].set_label(f"clean sine (noise floor {_number(floors['noise floor'])})")
    for (label, fit), linestyle in zip(_fits(ds).items(), (":", "-."), strict=True):
        line = axes.plot(ds["x"].values, fit, color="#B00020", linestyle=linestyle, linewidth=1.8)[
            0
        ]
        line.set_label(f"{label} (MSE {_number(floors[label])})")
        handles.append(line)
    axes.legend(handles=handles, loc="upper left", fontsize=_SMALL)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))


def _panel_losses(axes: Axes, ds: xr.Dataset) -> None:
    epochs = _safe(ds["epoch"].values)
    axes.set_yscale("log")
    for name in _activations(ds):
        losses = ds["loss"].sel(activation=name).transpose("seed", "epoch").values
        _draw_band(axes, epochs, _log_safe(losses), style_of(name), gid=f"loss-{name}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("MSE on the noisy targets")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    _draw_floors(axes, _floors(ds, "target_noisy"))


def _panel_plateau(axes: Axes, ds: xr.Dataset) -> None:
    bound = _PLATEAU * _floors(ds, "target_noisy")["best constant"]
    epochs = _safe(ds["epoch"].values)
    for name in _activations(ds):
        losses = ds["loss"].sel(activation=name).transpose("seed", "epoch").values
        # A loss that is not finite is no better than a constant either, hence not `>=`.
        share = 1 - (_safe(losses) < bound).mean(axis=0)
        _draw_band(axes, epochs, share[None], style_of(name), gid=f"plateau-{name}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"seeds with a loss ≥ {_PLATEAU:.0%} of the best constant's")
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _panel_final(axes: Axes, ds: xr.Dataset, variable: str, against: str) -> None:
    axes.set_yscale("log")
    labels = []
    for place, name in enumerate(_activations(ds)):
        style = style_of(name)
        finals = _log_safe(ds[variable].sel(activation=name).values)
        low, median, high = _band(finals[:, None])[:, 0]
        across = place + (np.linspace(-0.28, 0.28, len(finals)) if len(finals) > 1 else np.zeros(1))
        axes.plot(across, finals, ".", color=style.color, alpha=0.35, markersize=4)
        axes.plot([place, place], [low, high], color=style.color, linewidth=3, alpha=0.7)
        axes.plot(place, median, style.marker, color=style.color, markersize=9, markeredgecolor="w")
        labels.append(f"{style.name}\n{_number(median)}")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    if len(labels) > 3:
        axes.tick_params(axis="x", labelrotation=35)
    axes.set_ylabel(f"MSE after training, {against.removeprefix('target_')} targets")
    _draw_floors(axes, _floors(ds, against))


def _panel_gradients(axes: Axes, ds: xr.Dataset, epoch: int) -> None:
    layers = ds["layer"].values.astype(int)
    axes.set_yscale("log")
    at_epoch = ds["gradient_magnitude"].sel(recorded_epoch=epoch)
    for name in _activations(ds):
        values = _log_safe(at_epoch.sel(activation=name).transpose("seed", "layer").values)
        _draw_band(axes, _safe(layers), values, style_of(name), marker=True, gid=f"gradient-{name}")
    step = math.ceil(len(layers) / 12)
    ticks = [layer for layer in layers[::step] if layer + step / 2 < layers[-1]]
    axes.xaxis.set_major_locator(FixedLocator([*ticks, layers[-1]]))
    axes.set_xlabel(f"layer 1 = nearest the input … {layers[-1]} = output")
    if (at_epoch.values == 0).any():
        axes.text(
            0.98, 0.03, "gaps: exactly zero", transform=axes.transAxes, ha="right", fontsize=_SMALL
        )


def _panel_units(axes: Axes, ds: xr.Dataset, name: str, layer: int) -> None:
    at = ds["hidden_activation"].sel(activation=name, hidden_layer=layer)
    outputs = _safe(at.transpose("unit", "x").values)
    x = _safe(ds["x"].values)
    lines = [np.column_stack([x, unit]) for unit in outputs if np.isfinite(unit).any()]
    # As pixels: thousands of lines of 200 points would make an SVG of many megabytes.
    axes.add_collection(
        LineCollection(
            lines, colors=style_of(name).color, linewidths=0.7, alpha=0.55, rasterized=True
        )
    )
    axes.autoscale_view()
    if not lines:
        _say(axes, "not finite")
    dead = int((outputs == 0).all(axis=1).sum())
    if dead:
        _say(axes, f"{dead} of {len(outputs)} units dead", at=(0.03, 0.96))


def _draw_data(axes: Axes, ds: xr.Dataset) -> None:
    x, noisy, clean = (_safe(ds[key].values) for key in ("x", "target_noisy", "target_clean"))
    axes.plot(x, noisy, ".", color=_DOTS, markersize=3.5, gid="noisy")
    axes.plot(x, clean, color=_TRUTH, linestyle=_DASHES, linewidth=1.1, gid="clean")
    low, high = _target_range(ds)
    margin = 0.15 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("x")
    axes.set_ylabel("y")


def _draw_prediction(axes: Axes, ds: xr.Dataset, name: str) -> None:
    low, high = _target_range(ds)
    reach = 10 * (high - low)
    values = _safe(ds["prediction"].sel(activation=name).transpose("seed", "x").values)
    if not np.isfinite(values).any():
        _say(axes, f"{style_of(name).name}: not finite")
    values = np.clip(values, low - reach, high + reach)
    _draw_band(axes, _safe(ds["x"].values), values, style_of(name), gid=f"prediction-{name}")


def _draw_band(
    axes: Axes,
    at: Array,
    values: Array,
    style: ActivationStyle,
    *,
    gid: str,
    marker: bool = False,
) -> None:
    low, median, high = _band(values)
    # A line through fewer than two points cannot be seen.
    marked = marker or np.isfinite(median).sum() < 2
    axes.plot(
        at,
        median,
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker if marked else "",
        markersize=5,
        linewidth=1.8,
        gid=gid,
    )
    if len(values) > 1:
        axes.fill_between(at, low, high, color=style.color, alpha=0.16, linewidth=0)


def _draw_floors(axes: Axes, floors: dict[str, float]) -> None:
    drawn = {label: value for label, value in floors.items() if value > 1 / _HUGE}
    for label, value in drawn.items():
        gid = "floor-" + label.replace(" ", "-")
        axes.axhline(
            value, color="#666666", linestyle=(0, (1, 1.5)), linewidth=1.2, zorder=1, gid=gid
        )
    axes.set_ylim(axes.get_ylim())
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((0.0, value))[1]) for value in drawn.values()]
    for height, (label, value) in zip(_spread(heights, 0.1), drawn.items(), strict=True):
        axes.text(
            1.015,
            height,
            f"{label}\n{_number(value)}",
            transform=axes.transAxes,
            va="center",
            fontsize=_SMALL,
        )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    placed = np.array(heights, dtype=float)
    order = np.argsort(placed)
    for lower, upper in itertools.pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    return [float(height) for height in placed]


def _say(axes: Axes, words: str, at: tuple[float, float] | None = None) -> None:
    across = "center" if at is None else "left"
    axes.text(
        *(at or (0.5, 0.9)),
        words,
        transform=axes.transAxes,
        ha=across,
        va="top",
        fontsize=_SMALL,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _grid(
    count: int, size: tuple[float, float], *, share: bool = False
) -> tuple[Figure, list[Axes], Axes]:
    # One cell more than panels: the last one holds the legend and so covers no data.
    columns = min(count + 1, 3)
    rows = math.ceil((count + 1) / columns)
    figure = Figure(figsize=(columns * size[0], 0.7 + rows * size[1]), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False, sharey=share).flat)
    for unused in cells[count:-1]:
        unused.remove()
    cells[-1].axis("off")
    return figure, cells[:count], cells[-1]


def _legend(figure: Figure, ds: xr.Dataset, *, marker: bool = False) -> None:
    handles = [_handle(style_of(name), marker=marker) for name in _activations(ds)]
    longest = max(len(style_of(name).name) for name in _activations(ds))
    columns = max(1, int(figure.get_figwidth() / (0.75 + 0.09 * longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
    )


def _handle(style: ActivationStyle, *, marker: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        color=style.color,
        linestyle=style.linestyle,
        linewidth=2,
        marker=style.marker if marker else "",
        label=style.name,
    )


def _data_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=_DOTS, linestyle="", marker=".", label="noisy points"),
        Line2D([], [], color=_TRUTH, linestyle=_DASHES, linewidth=1.1, label="clean sine"),
    ]


def _activations(ds: xr.Dataset) -> list[str]:
    return [str(name) for name in ds["activation"].values]


def _median_final(ds: xr.Dataset, name: str) -> float:
    return float(_band(_safe(ds["final_mse"].sel(activation=name).values)[:, None])[1, 0])


def _seeds_note(ds: xr.Dataset) -> str:
    count = ds.sizes["seed"]
    note = f"seed {int(ds['seed'].values[0])}"
    if count > 1:
        note = f"median and {100 * _BAND[0]:g}\u2013{100 * _BAND[2]:g} % of {count} seeds"
    diverged = (ds["diverged"] >= 0).sum("seed")
    lost = [
        f"{style_of(name).name} {int(diverged.sel(activation=name))}"
        for name in _activations(ds)
        if diverged.sel(activation=name) > 0
    ]
    return textwrap.fill(note + (f"; diverged: {', '.join(lost)}" if lost else ""), 75)


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not finite"


def _safe(values: npt.ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    array[~(np.abs(array) < _HUGE)] = np.nan
    return array


def _log_safe(values: npt.ArrayLike) -> Array:
    array = _safe(values)
    array[~(array > 1 / _HUGE)] = np.nan
    return array


def _band(values: Array) -> Array:
    # Rows are seeds. NumPy warns of columns without a single finite value, so they are left out.
    band = np.full((len(_BAND), values.shape[1]), np.nan)
    usable = np.isfinite(values).any(axis=0)
    if usable.any():
        band[:, usable] = np.nanquantile(values[:, usable], _BAND, axis=0)
    return band


def _target_range(ds: xr.Dataset) -> tuple[float, float]:
    targets = np.concatenate([_safe(ds["target_noisy"].values), _safe(ds["target_clean"].values)])
    targets = targets[np.isfinite(targets)]
    if not targets.size or targets.min() == targets.max():
        middle = float(targets[0]) if targets.size else 0.0
        return middle - 1, middle + 1
    return float(targets.min()), float(targets.max())


def _fits(ds: xr.Dataset) -> dict[str, Array]:
    x, noisy = _safe(ds["x"].values), _safe(ds["target_noisy"].values)
    known = np.isfinite(x) & np.isfinite(noisy)
    if not known.any():
        return dict.fromkeys(("best constant", "best line"), np.full_like(x, np.nan))
    line = np.column_stack([np.ones_like(x), x])
    return {
        "best constant": np.full_like(x, noisy[known].mean()),
        "best line": line @ np.linalg.lstsq(line[known], noisy[known])[0],
    }


def _floors(ds: xr.Dataset, against: str) -> dict[str, float]:
    """Give the MSE of what is known in closed form; where no target is finite, NaN."""
    target = _safe(ds[against].values)
    known = _fits(ds)
    if against == "target_noisy":
        known["noise floor"] = _safe(ds["target_clean"].values)
    errors = {label: (fit - target) ** 2 for label, fit in known.items()}
    return {
        label: float(error[np.isfinite(error)].mean()) if np.isfinite(error).any() else math.nan
        for label, error in errors.items()
    }


SINE_REGRESSION_FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "learned_functions": learned_functions,
    "loss_curves": loss_curves,
    "gradient_flow": gradient_flow,
    "hidden_activations": hidden_activations,
    "summary_figure": summary_figure,
}

FIGURES: Final[dict[str, dict[str, Callable[[xr.Dataset], Figure]]]] = {
    "sine-regression": SINE_REGRESSION_FIGURES,
}
