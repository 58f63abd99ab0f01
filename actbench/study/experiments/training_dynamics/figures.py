"""Figures of the experiment ``training-dynamics``: what changes, layer by layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from actbench.pages.colors import style_of
from actbench.study.experiments.training_dynamics.animation import learned_functions
from actbench.study.figures._marks import (
    Array,
    activations,
    band,
    data_handles,
    draw_band,
    draw_data,
    grid,
    handle,
    legend,
    log_safe,
    panel_losses,
    plain_ticks,
    protocol_note,
    safe,
    say,
    say_zeros,
    seeds_note,
    target_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


def _epochs_of(ds: xr.Dataset) -> Array:
    return safe(ds["recorded_epoch"].values)


def _epoch_axis(axes: Axes, epochs: Array) -> None:
    # Logarithmic from 1 on, with room for 0: the untrained network is the first point.
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(0, max(1.0, epochs[-1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
    axes.set_xlabel("updates made", fontsize=9)


def _median_note(ds: xr.Dataset) -> str:
    count = ds.sizes["seed"]
    return f"median of {count} seeds" if count > 1 else f"seed {int(ds['seed'].values[0])}"


_COLUMNS: Final = 4
_WORTH_SHOWING: Final = 0.001  # of all outputs; now and then a sum happens to be zero


def activation_evolution(ds: xr.Dataset) -> Figure:
    """Draw the size of every hidden layer's output while training, a panel per activation.

    Below, the share of zeros of those activations that have any.
    """
    names = activations(ds)
    figure, panels, spare = grid(len(names), (4.3, 3.1), share=False)
    figure.suptitle(
        f"Hidden activations, root mean square per layer\n{protocol_note(ds)}, {_median_note(ds)}",
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

    Above, mean |dL/dW|; below, the RMS of dL/dz; a panel per activation in each.
    """
    names = activations(ds)
    columns = min(len(names), _COLUMNS)
    rows = math.ceil(len(names) / columns)
    size = (1.6 + 3.7 * max(columns, 2), 2.0 + 2 * (0.7 + 2.6 * rows))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(
        f"Weight gradients and error signals per layer\n{protocol_note(ds)}, {_median_note(ds)}",
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
        axes.plot(_epochs_of(ds), median, color=color, linewidth=1.4, marker=marker, gid=gid)
    _epoch_axis(axes, _epochs_of(ds))
    if (values.values == 0).any():
        say_zeros(axes)
    if not np.isfinite(values.values).any():
        say(axes, "not finite")


def _panel_zeros(axes: Axes, ds: xr.Dataset) -> None:
    shares = ds["zero_share"].mean("hidden_layer")
    for name in activations(ds):
        rows = safe(shares.sel(activation=name).transpose("seed", "recorded_epoch"))
        if np.nan_to_num(rows).max() >= _WORTH_SHOWING:
            draw_band(axes, _epochs_of(ds), rows, style_of(name), gid=f"zeros-{name}")
            axes.lines[-1].set_label(style_of(name).name)
    axes.set_title(f"Outputs exactly zero, if {_WORTH_SHOWING:.1%} or more", fontsize=10.5)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("share of all outputs", fontsize=9)
    _epoch_axis(axes, _epochs_of(ds))
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


_SHOWN_EPOCHS: Final = 6  # learned functions in one panel; more cover each other


def training_dynamics_functions(ds: xr.Dataset) -> Figure:
    """Draw the first seed's learned function at several epochs, a panel per activation.

    Noisy points, clean sine, and one line per epoch, the later the darker.
    """
    names, epochs = activations(ds), _some_epochs(ds)
    figure, panels, spare = grid(len(names), (3.9, 3.1))
    seed = int(ds["seed"].values[0])
    heading = f"Learned functions while training\n{protocol_note(ds)}, seed {seed}"
    figure.suptitle(heading, fontsize=13)
    colors = colormaps["viridis_r"](np.linspace(0.08, 1, len(epochs)))
    functions = ds["learned_function"].isel(seed=0)
    low, high = target_range(ds)
    reach = 10 * (high - low)
    for name, axes in zip(names, panels, strict=True):
        draw_data(axes, ds)
        axes.lines[0].set_rasterized(True)  # 200 points in every panel make an SVG heavy
        for epoch, color in zip(epochs, colors, strict=True):
            values = safe(functions.sel(activation=name, recorded_epoch=epoch).values)
            shown = np.clip(values, low - reach, high + reach)
            gid = f"function-{name}-{epoch}"
            axes.plot(safe(ds["x"].values), shown, color=color, linewidth=1.7, gid=gid)
        if not np.isfinite(functions.sel(activation=name).isel(recorded_epoch=-1)).any():
            say(axes, "not finite")
        axes.set_title(style_of(name).name, fontsize=10.5)
    handles = data_handles()
    for epoch, color in zip(epochs, colors, strict=True):
        drawn = handle(style_of("relu"))
        drawn.set(color=color, linestyle="-", label=f"after {epoch} updates")
        handles.append(drawn)
    spare.legend(handles=handles, loc="center", frameon=False)
    return figure


def _some_epochs(ds: xr.Dataset) -> list[int]:
    """First and last, and between them what is nearest to evenly spaced on a logarithmic axis."""
    epochs = safe(ds["recorded_epoch"].values)
    wanted = np.geomspace(max(1.0, epochs[-1] / 100), max(1.0, epochs[-1]), _SHOWN_EPOCHS - 1)
    nearest = {int(epochs[np.abs(epochs - epoch).argmin()]) for epoch in wanted}
    return sorted({int(epochs[0]), int(epochs[-1])} | nearest)


def training_dynamics_summary(ds: xr.Dataset) -> Figure:
    """Draw the whole experiment on one page of six panels."""
    figure = Figure(figsize=(16.5, 10), layout="constrained")
    grid = figure.subplots(2, 3)
    panel_losses(grid[0, 0], ds)
    for shade in grid[0, 0].collections:
        shade.set_rasterized(True)  # its edges have a point per epoch
    grid[0, 0].set_title("Training loss", fontsize=10.5)
    depth, layers = ds.sizes["hidden_layer"], ds.sizes["layer"]
    magnitude, signal = ds["gradient_magnitude"], ds["error_signal"]
    first = magnitude.isel(layer=0)
    shown = (
        (
            ds["activation_rms"].isel(hidden_layer=-1),
            f"Outputs of hidden layer {depth}",
            "root mean square",
            "rms",
        ),
        (first, "Gradient magnitude of layer 1", "mean |∂loss/∂W|", "gradient"),
        (
            _ratio(first, magnitude.isel(layer=-1)),
            f"Gradient magnitude: layer 1 over layer {layers}",
            "ratio of mean |∂loss/∂W|",
            "gradient-share",
        ),
        (
            _ratio(signal.isel(layer=0), signal.isel(layer=depth - 1)),
            f"Error signal: layer 1 over hidden layer {depth}",
            "ratio of RMS of ∂loss/∂z",
            "signal-share",
        ),
        (_distance(ds), "Distance from the clean sine", "root mean square of y", "distance"),
    )
    for axes, panel in zip(grid.flat[1:], shown, strict=True):
        _panel_epochs(axes, ds, *panel)
    figure.suptitle(f"Training dynamics: {seeds_note(ds)}\n{protocol_note(ds)}", fontsize=14)
    legend(figure, ds)
    return figure


def _distance(ds: xr.Dataset) -> xr.DataArray:
    functions = ds["learned_function"]
    functions = functions.copy(data=safe(functions.values))
    return ((functions - ds["target_clean"]) ** 2).mean("x", skipna=False) ** 0.5


def _ratio(one: xr.DataArray, over: xr.DataArray) -> xr.DataArray:
    below = over.astype(np.float64)
    return one.astype(np.float64) / below.where(below > 0)


def _panel_epochs(
    axes: Axes, ds: xr.Dataset, values: xr.DataArray, title: str, label: str, gid: str
) -> None:
    axes.set_yscale("log")
    for name in activations(ds):
        rows = log_safe(values.sel(activation=name).transpose("seed", "recorded_epoch"))
        draw_band(axes, _epochs_of(ds), rows, style_of(name), gid=f"{gid}-{name}")
    plain_ticks(axes)
    axes.set_title(title, fontsize=10.5)
    axes.set_ylabel(label)
    _epoch_axis(axes, _epochs_of(ds))


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "activation_evolution": activation_evolution,
    "gradient_evolution": gradient_evolution,
    "training_dynamics_functions": training_dynamics_functions,
    "training_dynamics_summary": training_dynamics_summary,
}
"""The study's figure names, each with the function that draws it."""

ANIMATIONS: Final[dict[str, Callable[[xr.Dataset], bytes]]] = {
    "learned_functions": learned_functions,
}
"""Name of each animation, with the function that returns it as a GIF."""

CAPTIONS: Final[dict[str, str]] = {
    "activation_evolution": "The size of every hidden layer's output during training, one "
    "panel per activation and one curve per layer, which the bar tells apart.",
    "gradient_evolution": "Weight gradients (above) and error signals (below) of every layer "
    "during training. Curves that start far apart and come together are layers that begin "
    "without a gradient and get one.",
    "training_dynamics_functions": "What one network per activation has learned after some "
    "numbers of updates.",
    "training_dynamics_summary": "The training in six panels: loss, size of the last hidden "
    "layer, gradient of layer 1, its share of the output layer's, the share of the error "
    "signal that reaches layer 1, and the distance from the clean sine.",
    "learned_functions.gif": "What every network has learned, as it learns it: one panel per "
    "activation, one line per seed.",
}
"""Figure name to what is seen in it."""
