"""What several figures draw alike: data, bands, floors, losses, labels, numbers safe to draw."""

from __future__ import annotations

import itertools
import math
import textwrap
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from actbench.pages.colors import ActivationStyle, style_of
from actbench.store.datasets import protocol_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes

Array: TypeAlias = npt.NDArray[np.float64]
_BAND: Final = (0.025, 0.5, 0.975)
HUGE: Final = 1e100  # beyond it the arithmetic of axes overflows; a run there has diverged
DOTS: Final = "#9A9A9A"
TRUTH: Final = "#444444"
DASHES: Final = (0, (4, 2))
SMALL: Final = 8.5
_ROUND: Final = (1, 2, 5, 10)  # steps from tick to tick
PALE: Final[dict[str, Any]] = {
    "linewidth": 4.5,
    "alpha": 0.35,
}  # what is measured, under a line of theory


def draw_data(axes: Axes, ds: xr.Dataset) -> None:
    x, noisy, clean = (safe(ds[key].values) for key in ("x", "target_noisy", "target_clean"))
    axes.plot(x, noisy, ".", color=DOTS, markersize=3.5, gid="noisy")
    axes.plot(x, clean, color=TRUTH, linestyle=DASHES, linewidth=1.1, gid="clean")
    low, high = target_range(ds)
    margin = 0.15 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("x")
    axes.set_ylabel("y")


def draw_prediction(axes: Axes, ds: xr.Dataset, name: str) -> None:
    low, high = target_range(ds)
    reach = 10 * (high - low)
    values = safe(ds["prediction"].sel(activation=name).transpose("seed", "x").values)
    if not np.isfinite(values).any():
        say(axes, f"{style_of(name).name}: not finite")
    values = np.clip(values, low - reach, high + reach)
    draw_band(axes, safe(ds["x"].values), values, style_of(name), gid=f"prediction-{name}")


def draw_band(
    axes: Axes,
    at: Array,
    values: Array,
    style: ActivationStyle,
    *,
    gid: str,
    marker: bool = False,
    pale: bool = False,
) -> None:
    low, median, high = band(values)
    # A line through fewer than two points cannot be seen.
    marked = marker or np.isfinite(median).sum() < 2
    axes.plot(
        at,
        median,
        color=style.color,
        linestyle="-" if pale else style.linestyle,
        marker=style.marker if marked else "",
        markersize=5,
        linewidth=PALE["linewidth"] if pale else 1.8,
        alpha=PALE["alpha"] if pale else None,
        gid=gid,
    )
    if len(values) > 1:
        axes.fill_between(at, low, high, color=style.color, alpha=0.16, linewidth=0)


def draw_floors(axes: Axes, floors: dict[str, float]) -> None:
    drawn = {label: value for label, value in floors.items() if value > 1 / HUGE}
    for label, value in drawn.items():
        gid = "floor-" + label.replace(" ", "-")
        axes.axhline(
            value, color="#666666", linestyle=(0, (1, 1.5)), linewidth=1.2, zorder=1, gid=gid
        )
    axes.set_ylim(axes.get_ylim())
    plain_ticks(axes)
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((0.0, value))[1]) for value in drawn.values()]
    for height, (label, value) in zip(_spread(heights, 0.1), drawn.items(), strict=True):
        axes.text(
            1.015,
            height,
            f"{label}\n{number(value)}",
            transform=axes.transAxes,
            va="center",
            fontsize=SMALL,
        )


def plain_ticks(axes: Axes) -> None:
    """Number a logarithmic axis of a few decades plainly, once everything is drawn."""
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high < 1000 * low:
        narrow = high < 3 * low
        axes.yaxis.set_major_locator(
            MaxNLocator(5, steps=_ROUND) if narrow else LogLocator(subs=(1, 2, 5))
        )
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    placed = np.array(heights, dtype=float)
    order = np.argsort(placed)
    for lower, upper in itertools.pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    return [float(height) for height in placed]


def say(axes: Axes, words: str, at: tuple[float, float] | None = None) -> None:
    across = "center" if at is None else "left"
    axes.text(
        *(at or (0.5, 0.9)),
        words,
        transform=axes.transAxes,
        ha=across,
        va="top",
        fontsize=SMALL,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def grid(
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


def legend(
    figure: Figure, ds: xr.Dataset, more: Sequence[Line2D] = (), *, marker: bool = False
) -> None:
    handles = [handle(style_of(name), marker=marker) for name in activations(ds)]
    handles += more
    longest = max(len(style_of(name).name) for name in activations(ds))
    columns = max(1, int(figure.get_figwidth() / (0.75 + 0.09 * longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
    )


def handle(style: ActivationStyle, *, marker: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        color=style.color,
        linestyle=style.linestyle,
        linewidth=2,
        marker=style.marker if marker else "",
        label=style.name,
    )


def data_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=DOTS, linestyle="", marker=".", label="noisy points"),
        Line2D([], [], color=TRUTH, linestyle=DASHES, linewidth=1.1, label="clean sine"),
    ]


def activations(ds: xr.Dataset) -> list[str]:
    return [str(name) for name in ds["activation"].values]


def seeds_note(ds: xr.Dataset) -> str:
    count = ds.sizes["seed"]
    note = f"seed {int(ds['seed'].values[0])}"
    if count > 1:
        note = f"median and {100 * _BAND[0]:g}\u2013{100 * _BAND[2]:g} % of {count} seeds"
    diverged = (ds["diverged"] >= 0).sum("seed")
    lost = [
        f"{style_of(name).name} {int(diverged.sel(activation=name))}"
        for name in activations(ds)
        if diverged.sel(activation=name) > 0
    ]
    return textwrap.fill(note + (f"; diverged: {', '.join(lost)}" if lost else ""), 75)


def number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not finite"


def safe(values: npt.ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    array[~(np.abs(array) < HUGE)] = np.nan
    return array


def log_safe(values: npt.ArrayLike) -> Array:
    array = safe(values)
    array[~(array > 1 / HUGE)] = np.nan
    return array


def band(values: Array) -> Array:
    # Rows are seeds. NumPy warns of columns without a single finite value, so they are left out.
    band = np.full((len(_BAND), values.shape[1]), np.nan)
    usable = np.isfinite(values).any(axis=0)
    if usable.any():
        band[:, usable] = np.nanquantile(values[:, usable], _BAND, axis=0)
    return band


def target_range(ds: xr.Dataset) -> tuple[float, float]:
    targets = np.concatenate([safe(ds["target_noisy"].values), safe(ds["target_clean"].values)])
    targets = targets[np.isfinite(targets)]
    if not targets.size or targets.min() == targets.max():
        middle = float(targets[0]) if targets.size else 0.0
        return middle - 1, middle + 1
    return float(targets.min()), float(targets.max())


def fits(ds: xr.Dataset) -> dict[str, Array]:
    x, noisy = safe(ds["x"].values), safe(ds["target_noisy"].values)
    known = np.isfinite(x) & np.isfinite(noisy)
    if not known.any():
        return dict.fromkeys(("best constant", "best line"), np.full_like(x, np.nan))
    line = np.column_stack([np.ones_like(x), x])
    return {
        "best constant": np.full_like(x, noisy[known].mean()),
        "best line": line @ np.linalg.lstsq(line[known], noisy[known])[0],
    }


def floors_of(ds: xr.Dataset, against: str) -> dict[str, float]:
    """Give the MSE of what is known in closed form; where no target is finite, NaN."""
    target = safe(ds[against].values)
    known = fits(ds)
    if against == "target_noisy":
        known["noise floor"] = safe(ds["target_clean"].values)
    errors = {label: (fit - target) ** 2 for label, fit in known.items()}
    return {
        label: float(error[np.isfinite(error)].mean()) if np.isfinite(error).any() else math.nan
        for label, error in errors.items()
    }


def protocol_note(ds: xr.Dataset) -> str:
    """Say in a line what was trained and how."""
    protocol = protocol_of(ds)
    return (
        f"{protocol['depth']}x{protocol['width']} networks, {protocol['initializer']}, "
        f"Adam {number(protocol['learning_rate'])}, {protocol['epochs']} epochs"
    )


def panel_losses(axes: Axes, ds: xr.Dataset) -> None:
    epochs = safe(ds["epoch"].values)
    axes.set_yscale("log")
    for name in activations(ds):
        losses = ds["loss"].sel(activation=name).transpose("seed", "epoch").values
        draw_band(axes, epochs, log_safe(losses), style_of(name), gid=f"loss-{name}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("MSE on the noisy targets")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    draw_floors(axes, floors_of(ds, "target_noisy"))


def number_layers(axes: Axes, layers: Array, most: int = 12) -> None:
    first, last = int(layers[0]), int(layers[-1])
    rounds = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in rounds if len(layers) <= most * step)
    ticks = range(first if step < 5 else step, last, step)
    between = (tick for tick in ticks if tick + step / 2 < last)
    axes.xaxis.set_major_locator(FixedLocator(sorted({first, *between, last})))


def say_zeros(axes: Axes) -> None:
    axes.text(
        0.98, 0.03, "gaps: exactly zero", transform=axes.transAxes, ha="right", fontsize=SMALL
    )
