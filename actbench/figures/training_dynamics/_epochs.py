"""What figures over epochs share: the axis, and notes on what was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter

from actbench.datasets import protocol_of
from actbench.figures._marks import Array, number, safe

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


def epochs_of(ds: xr.Dataset) -> Array:
    return safe(ds["recorded_epoch"].values)


def epoch_axis(axes: Axes, epochs: Array) -> None:
    # Logarithmic from 1 on, with room for 0: the untrained network is the first point.
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(0, max(1.0, epochs[-1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
    axes.set_xlabel("updates made", fontsize=9)


def protocol_note(ds: xr.Dataset) -> str:
    """Say in a line what was trained and how."""
    protocol = protocol_of(ds)
    return (
        f"{protocol['depth']}x{protocol['width']} networks, {protocol['initializer']}, "
        f"Adam {number(protocol['learning_rate'])}, {protocol['epochs']} epochs"
    )


def median_note(ds: xr.Dataset) -> str:
    count = ds.sizes["seed"]
    return f"median of {count} seeds" if count > 1 else f"seed {int(ds['seed'].values[0])}"
