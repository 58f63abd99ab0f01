"""Learned functions while training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from actbench.colors import style_of
from actbench.figures._marks import (
    activations,
    data_handles,
    draw_data,
    grid,
    handle,
    safe,
    say,
    target_range,
)
from actbench.figures.training_dynamics._epochs import protocol_note

if TYPE_CHECKING:
    import xarray as xr

_SHOWN_EPOCHS: Final = 6  # learned functions in one panel; more cover each other


def training_dynamics_functions(ds: xr.Dataset) -> Figure:
    """Draw the first seed's learned function at several epochs, a panel per activation.

    Args:
        ds: Dataset of `training-dynamics`.

    Returns:
        The figure: noisy points, clean sine, and one line per epoch, the later the darker.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
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
