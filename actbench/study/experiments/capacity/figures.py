"""Figures of the experiment ``capacity``."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actbench.pages.colors import style_of
from actbench.store.datasets import protocol_of
from actbench.study.catalog.targets import TARGETS
from actbench.study.figures._marks import (
    DASHES,
    DOTS,
    HUGE,
    SMALL,
    TRUTH,
    Array,
    activations,
    log_safe,
    number,
    safe,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_DEPTH_COLORS: Final = ("#F0A35E", "#0050A0", "#009E73", "#882255")
_REFERENCE_NAMES: Final = {
    "best_constant": "Best constant",
    "best_line": "Best line",
    "smoothing_spline": "Smoothing spline",
    "kernel_ridge": "Kernel ridge",
}
_SMOOTHERS: Final = {"smoothing_spline": "#8FD19E", "kernel_ridge": "#882255"}
_NAMES: Final = 1.5  # inches that the names of the classical fits take
_UNSEEN: Final = 0.005  # of a panel's height: half a screen point
_COLOR_RANGE: Final = (0.1, 100.0)  # percent of the variance


def exp4_predictions(ds: xr.Dataset) -> Figure:
    """Draw what every activation's networks learned of every target, and two classical fits.

    A row per target, a column per activation, the median over seeds of each depth; the last column
    holds the classical fits.
    """
    names, keys = activations(ds), [str(key) for key in ds["target"].values]
    size = (1.95 * (len(names) + 1), 1.2 + 1.45 * len(keys))
    figure = Figure(figsize=(max(size[0], 8.5), size[1]), layout="constrained")
    panels = figure.subplots(len(keys), len(names) + 1, squeeze=False, sharex=True, sharey="row")
    for key, row in zip(keys, panels, strict=True):
        here = ds.sel(target=key)
        for name, axes in zip(names, row[:-1], strict=True):
            _target(axes, here)
            _networks(axes, here.sel(activation=name))
        _target(row[-1], here)
        _classical(row[-1], here)
        row[0].set_ylabel(_target_name(key), fontsize=10)
    for name, axes in zip(names, panels[0], strict=False):
        axes.set_title(style_of(name).name, fontsize=10.5)
    panels[0, -1].set_title("points, classical fits", fontsize=10.5)
    for axes in panels[-1]:
        axes.set_xlabel("x", fontsize=9)
    figure.suptitle(_title("What networks learned of each target", ds, figure), fontsize=13)
    figure.legend(handles=_handles(ds), loc="outside lower center", ncols=3, frameon=False)
    return figure


def exp4_representational_heatmap(ds: xr.Dataset) -> Figure:
    """Draw the error of every activation, depth and target against the clean target.

    A map per depth, activations down and targets across, and last one of the references; each cell
    is the median error in percent of the clean target's variance.
    """
    names, references, targets = (
        [str(key) for key in ds[dim].values] for dim in ("activation", "reference", "target")
    )
    labels = [style_of(name).name for name in names]
    figure, panels, under = _maps(labels, ds.sizes["depth"], len(references), len(targets))
    errors = _percent(ds, ds["final_mse_clean"]).transpose("depth", "activation", "target", "seed")
    for axes, values in zip(panels, errors, strict=False):
        _map(axes, _median(values.values), labels if axes is panels[0] else [""] * len(labels))
        axes.set_title(_shape(ds, int(values["depth"])), fontsize=10.5)
    found = _percent(ds, ds["reference_mse_clean"]).transpose("reference", "target").values
    named = [_REFERENCE_NAMES.get(key, key) for key in references]
    image = _map(panels[-1], safe(found), named)
    panels[-1].set_title("classical fits of the same points", fontsize=10.5)
    across = [_target_name(key) for key in targets]
    for axes in panels:
        axes.set_xticks(range(len(across)), across, rotation=35, ha="right", rotation_mode="anchor")
    below = under.inset_axes((0, 0.3, 1, 0.15))
    bar = figure.colorbar(image, cax=below, orientation="horizontal", extend="both", format="{x:g}")
    bar.set_label("error, % of the target's variance")
    figure.suptitle(_title("Error against targets without noise", ds, figure), fontsize=13)
    return figure


def _maps(
    labels: Sequence[str], depths: int, references: int, targets: int
) -> tuple[Figure, list[Axes], Axes]:
    """Make a panel for each depth, a lower one for the references, and a place under that."""
    width = max(2.5, 0.62 * targets)
    widths = [width] * depths + [_NAMES + width]
    rows = max(len(labels), references + 3)
    size = (0.3 + 0.09 * max(map(len, labels)) + sum(widths), 2.1 + 0.36 * rows)
    figure = Figure(figsize=size, layout="constrained")
    cells = figure.add_gridspec(1, len(widths), width_ratios=widths)
    last = cells[-1].subgridspec(2, 1, height_ratios=(references, rows - references))
    places = [*(cells[column] for column in range(depths)), last[0]]
    panels = [figure.add_subplot(place) for place in places]
    under = figure.add_subplot(last[1])
    under.axis("off")
    return figure, panels, under


def _title(what: str, ds: xr.Dataset, figure: Figure) -> str:
    count = ds.sizes["seed"]
    seeds = f"median of {count} seeds" if count > 1 else f"seed {int(ds['seed'].values[0])}"
    lost = int((ds["diverged"] >= 0).sum())
    diverged = f", {lost} of {ds['diverged'].size} networks diverged" if lost else ""
    protocol = (
        f"Adam, {protocol_of(ds)['epochs']} epochs on {ds.sizes['x']} noisy points, "
        f"{seeds}{diverged}"
    )
    return f"{what}\n{textwrap.fill(protocol, int(8 * figure.get_figwidth()))}"


def _shape(ds: xr.Dataset, depth: int) -> str:
    of_depth = ds.sel(depth=depth)
    return f"{depth} x {int(of_depth['width'])}: {int(of_depth['parameters']):,} parameters"


def _target_name(key: str) -> str:
    return TARGETS[key].name if key in TARGETS else key


def _target(axes: Axes, ds: xr.Dataset) -> None:
    x, noisy, clean = (safe(ds[key].values) for key in ("x", "target_noisy", "target_clean"))
    known = np.concatenate([noisy[np.isfinite(noisy)], clean[np.isfinite(clean)], [0.0]])
    margin = 0.2 * (float(np.ptp(known)) or 1.0)
    axes.set_ylim(float(known.min()) - margin, float(known.max()) + margin)
    axes.tick_params(labelsize=7)
    few = _corners(x, clean, _tolerance(axes))
    axes.plot(x[few], clean[few], color=TRUTH, linestyle=DASHES, linewidth=0.9, gid="target")


def _classical(axes: Axes, ds: xr.Dataset) -> None:
    # As pixels: thousands of dots would make an SVG of megabytes.
    x, noisy = safe(ds["x"].values), safe(ds["target_noisy"].values)
    axes.plot(x, noisy, ".", color=DOTS, markersize=2.5, rasterized=True, gid="noisy")
    for (reference, color), width in zip(_SMOOTHERS.items(), (2.8, 1.1), strict=True):
        fit = safe(ds["reference_prediction"].sel(reference=reference).values)
        _line(axes, ds, fit, color, width, reference)


def _networks(axes: Axes, ds: xr.Dataset) -> None:
    for depth, color, width in zip(ds["depth"].values, _colors(ds), _widths(ds), strict=True):
        values = safe(ds["prediction"].sel(depth=depth).transpose("x", "seed").values)
        _line(axes, ds, _median(values), color, width, f"depth-{int(depth)}")


def _line(axes: Axes, ds: xr.Dataset, values: Array, color: str, width: float, gid: str) -> None:
    if not np.isfinite(values).any():
        say(axes, "not finite")
    reach = 10 * float(np.ptp(axes.get_ylim()))
    x, drawn = safe(ds["x"].values), np.clip(values, -reach, reach)
    few = _corners(x, drawn, _tolerance(axes))
    axes.plot(x[few], drawn[few], color=color, linewidth=width, gid=gid)


def _tolerance(axes: Axes) -> float:
    return _UNSEEN * float(np.ptp(axes.get_ylim()))


def _corners(x: Array, y: Array, tolerance: float) -> list[int]:
    """Places of the points that a line needs to stay within a tolerance of all of them.

    An SVG of all points would be three times as large (Douglas and Peucker 1973).
    """
    if not np.isfinite(y).all():
        return list(range(len(y)))
    kept, open_ = {0, len(y) - 1}, [(0, len(y) - 1)]
    while open_:
        first, last = open_.pop()
        between = slice(first, last + 1)
        chord = np.interp(x[between], x[[first, last]], y[[first, last]])
        off = np.abs(y[between] - chord)
        if off.max() > tolerance:
            middle = first + int(off.argmax())
            kept.add(middle)
            open_ += [(first, middle), (middle, last)]
    return sorted(kept)


def _widths(ds: xr.Dataset) -> list[float]:
    # The first line is the widest, so that it shows behind the others where they agree.
    return [1.1 + 1.7 * (ds.sizes["depth"] - 1 - n) for n in range(ds.sizes["depth"])]


def _colors(ds: xr.Dataset) -> list[str]:
    return [_DEPTH_COLORS[n % len(_DEPTH_COLORS)] for n in range(ds.sizes["depth"])]


def _handles(ds: xr.Dataset) -> list[Line2D]:
    depths = [_shape(ds, int(depth)) for depth in ds["depth"].values]
    fits = {_REFERENCE_NAMES[key]: color for key, color in _SMOOTHERS.items()}
    return [
        Line2D([], [], color=DOTS, linestyle="", marker=".", label="noisy points"),
        Line2D([], [], color=TRUTH, linestyle=DASHES, linewidth=0.9, label="target"),
        *(
            Line2D([], [], color=color, linewidth=2, label=label)
            for label, color in (*zip(depths, _colors(ds), strict=True), *fits.items())
        ),
    ]


def _percent(ds: xr.Dataset, errors: xr.DataArray) -> xr.DataArray:
    with np.errstate(all="ignore"):
        return 100 * errors / ds["target_clean"].var("x")


def _median(values: Array) -> Array:
    # A member that diverged is worse than any other, not missing: one of three leaves a median.
    ranked = np.where(np.isfinite(values) & (np.abs(values) < HUGE), values, np.inf)
    return safe(np.median(ranked, axis=-1))


def _map(axes: Axes, percent: Array, labels: Sequence[str]) -> AxesImage:
    values = log_safe(percent)
    image = axes.imshow(values, cmap="viridis_r", norm=LogNorm(*_COLOR_RANGE), aspect="auto")
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            _rounded(float(value)),
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if value > 3 else "black",
        )
    return image


def _rounded(value: float) -> str:
    return number(float(f"{value:.2g}")) if math.isfinite(value) else "n.f."


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "exp4_predictions": exp4_predictions,
    "exp4_representational_heatmap": exp4_representational_heatmap,
}
"""The study's figure names, each with the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "exp4_predictions": "What the networks learned of several targets, beside two classical "
    "fits of the same points.",
    "exp4_representational_heatmap": "The error against the clean target, for every target, "
    "activation and depth, and that of classical fits of the same points.",
}
"""Figure name to what is seen in it."""
