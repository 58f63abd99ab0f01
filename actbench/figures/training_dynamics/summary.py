"""The whole experiment on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from actbench.colors import style_of
from actbench.figures._marks import (
    activations,
    draw_band,
    legend,
    log_safe,
    plain_ticks,
    safe,
    seeds_note,
)
from actbench.figures._panels import panel_losses
from actbench.figures.training_dynamics._epochs import epoch_axis, epochs_of, protocol_note

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


def training_dynamics_summary(ds: xr.Dataset) -> Figure:
    """Draw the whole experiment on one page of six panels.

    Args:
        ds: Dataset of `training-dynamics`.

    Returns:
        The figure, two rows of three panels.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    figure = Figure(figsize=(16.5, 10), layout="constrained")
    grid = figure.subplots(2, 3)
    panel_losses(grid[0, 0], ds)
    for shade in grid[0, 0].collections:
        shade.set_rasterized(True)  # its edges have a point per epoch
    grid[0, 0].set_title("Training loss", fontsize=10.5)
    depth, layers = ds.sizes["hidden_layer"], ds.sizes["layer"]
    rms, signal = ds["activation_rms"], ds["error_signal"]
    magnitude = ds["gradient_magnitude"]
    _panel_epochs(
        grid[0, 1],
        ds,
        rms.isel(hidden_layer=-1),
        f"Outputs of hidden layer {depth}",
        "root mean square",
        "rms",
    )
    gradient = magnitude.isel(layer=0)
    label = "mean |∂loss/∂W|"
    _panel_epochs(grid[0, 2], ds, gradient, "Gradient magnitude of layer 1", label, "gradient")
    _panel_epochs(
        grid[1, 0],
        ds,
        _ratio(magnitude.isel(layer=0), magnitude.isel(layer=-1)),
        f"Gradient magnitude: layer 1 over layer {layers}",
        "ratio of mean |∂loss/∂W|",
        "gradient-share",
    )
    _panel_epochs(
        grid[1, 1],
        ds,
        _ratio(signal.isel(layer=0), signal.isel(layer=depth - 1)),
        f"Error signal: layer 1 over hidden layer {depth}",
        "ratio of RMS of ∂loss/∂z",
        "signal-share",
    )
    title = "Distance from the clean sine"
    _panel_epochs(grid[1, 2], ds, _distance(ds), title, "root mean square of y", "distance")
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
        draw_band(axes, epochs_of(ds), rows, style_of(name), gid=f"{gid}-{name}")
    plain_ticks(axes)
    axes.set_title(title, fontsize=10.5)
    axes.set_ylabel(label)
    epoch_axis(axes, epochs_of(ds))
