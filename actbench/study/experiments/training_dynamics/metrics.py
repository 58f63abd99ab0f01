"""Metrics of what changes while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def final_error_share(dataset: xr.Dataset, activation: str) -> Values:
    """RMS error signal at layer 1 over the last hidden one, trained; not a number if diverged."""
    signal = dataset["error_signal"].sel(activation=activation).isel(recorded_epoch=-1)
    first, last = (values(signal.isel(layer=n), diverged=np.nan) for n in (0, -2))
    return first / last


METRICS: tuple[Metric, ...] = (final_error_share,)
