"""Metrics of what changes while training."""

from __future__ import annotations

import xarray as xr

from actbench.metrics._values import Metric, Values, values


def final_error_share(dataset: xr.Dataset, activation: str) -> Values:
    """RMS error signal at layer 1 over that at the last hidden layer after training, per seed."""
    signal = dataset["error_signal"].sel(activation=activation).isel(recorded_epoch=-1)
    return values(signal.isel(layer=0)) / values(signal.isel(layer=-2))


METRICS: tuple[Metric, ...] = (final_error_share,)
