"""Hidden activations, weight gradients and error signals of every layer while training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from actbench.colors import style_of
from actbench.figures._marks import (
    activations,
    band,
    draw_band,
    grid,
    log_safe,
    plain_ticks,
    safe,
    say,
)
from actbench.figures._panels import say_zeros
from actbench.figures.training_dynamics._epochs import (
    epoch_axis,
    epochs_of,
    median_note,
    protocol_note,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_COLUMNS: Final = 4
_WORTH_SHOWING: Final = 0.001  # of all outputs; now and then a sum happens to be zero


def activation_evolution(ds: xr.Dataset) -> Figure:
    """Draw the size of every hidden layer's output while training, a panel per activation.

    Args:
        ds: Dataset of `training-dynamics`.

    Returns:
        The figure; below, the share of zeros of those activations that have any.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    names = activations(ds)
    figure, panels, spare = grid(len(names), (4.3, 3.1), share=False)
    figure.suptitle(
        f"Hidden activations, root mean square per layer\n{protocol_note(ds)}, {median_note(ds)}",
        fontsize=13,
    )
    for name, axes in zip(names, panels, strict=True):
        _panel_layers(axes, ds, "activation_rms", name)
        plain_ticks(axes)
        axes.set_title(style_of(name).name, fontsize=10.5)
        axes.set_ylabel("RMS of the outputs", fontsize=9)
    spare.axis("on")
    _panel_zeros(spare, ds)
    label = "hidden layer, 1 = nearest the input"
    _layer_bar(figure, ds.sizes["hidden_layer"], label, ax=[*panels, spare], aspect=40)
    return figure


def gradient_evolution(ds: xr.Dataset) -> Figure:
    """Draw weight gradients and error signals of every layer while training.

    Args:
        ds: Dataset of `training-dynamics`.

    Returns:
        The figure: above, mean |dL/dW|; below, the RMS of dL/dz; a panel per activation in each.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    names = activations(ds)
    columns = min(len(names), _COLUMNS)
    rows = math.ceil(len(names) / columns)
    size = (1.6 + 3.7 * max(columns, 2), 2.0 + 2 * (0.7 + 2.6 * rows))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(
        f"Weight gradients and error signals per layer\n{protocol_note(ds)}, {median_note(ds)}",
        fontsize=13,
    )
    both, side = figure.subfigures(1, 2, squeeze=False, width_ratios=(size[0] - 1, 1))[0]
    for half, variable, heading, label in zip(
        both.subfigures(2, 1, squeeze=False)[:, 0],
        ("gradient_magnitude", "error_signal"),
        ("Weight gradients", "Error signals"),
        ("mean |∂loss/∂W|", "RMS of ∂loss/∂z"),
        strict=True,
    ):
        grid = half.subplots(rows, columns, squeeze=False, sharey=True)
        cells = list(grid.flat)
        half.suptitle(heading, fontsize=12)
        for axes in grid[:, 0]:
            axes.set_ylabel(label, fontsize=9)
        for name, axes in zip(names, cells, strict=False):
            _panel_layers(axes, ds, variable, name)
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_title(style_of(name).name, fontsize=10.5)
        for unused in cells[len(names) :]:
            unused.remove()
    count = ds.sizes["layer"]
    label = f"layer, 1 = nearest the input, {count} = output"
    _layer_bar(side, count, label, cax=side.subplots(subplot_kw={"box_aspect": 40}))
    return figure


def _panel_layers(axes: Axes, ds: xr.Dataset, variable: str, name: str) -> None:
    axes.set_yscale("log")
    values = ds[variable].sel(activation=name)
    (dim,) = set(values.dims) - {"seed", "recorded_epoch"}
    colors = _layer_colors(values.sizes[dim])
    for place, color in enumerate(colors):
        rows = values.isel({dim: place}).transpose("seed", "recorded_epoch")
        median = band(log_safe(rows))[1]
        marker = "o" if np.isfinite(median).sum() < 2 else ""
        gid = f"{variable}-{name}-{place + 1}"
        axes.plot(epochs_of(ds), median, color=color, linewidth=1.4, marker=marker, gid=gid)
    epoch_axis(axes, epochs_of(ds))
    if (values.values == 0).any():
        say_zeros(axes)
    if not np.isfinite(values.values).any():
        say(axes, "not finite")


def _panel_zeros(axes: Axes, ds: xr.Dataset) -> None:
    shares = ds["zero_share"].mean("hidden_layer")
    for name in activations(ds):
        rows = safe(shares.sel(activation=name).transpose("seed", "recorded_epoch"))
        if np.nan_to_num(rows).max() >= _WORTH_SHOWING:
            draw_band(axes, epochs_of(ds), rows, style_of(name), gid=f"zeros-{name}")
            axes.lines[-1].set_label(style_of(name).name)
    axes.set_title(f"Outputs exactly zero, if {_WORTH_SHOWING:.1%} or more", fontsize=10.5)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("share of all outputs", fontsize=9)
    epoch_axis(axes, epochs_of(ds))
    if axes.lines:
        axes.legend(loc="upper right", frameon=False, fontsize=9)
    else:
        say(axes, "none")


def _layer_colors(count: int) -> list[tuple[float, float, float, float]]:
    return [tuple(color) for color in colormaps["viridis"](np.linspace(0, 0.93, count))]


def _layer_bar(figure: FigureBase, count: int, label: str, **where: Any) -> None:
    norm = BoundaryNorm(np.arange(0.5, count + 1), count)
    mappable = ScalarMappable(norm, ListedColormap(_layer_colors(count)))
    step = math.ceil(count / 12)
    bar = figure.colorbar(mappable, ticks=range(1, count + 1, step), **where)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(length=0)
