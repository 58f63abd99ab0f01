"""Metrics of the map of mean and variance from one layer to the next, over a protocol's box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def mapped_mean_low(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest mean to which the map takes a point of the box, to nine decimals."""
    return _rounded(dataset["next_mean"].sel(activation=activation).min())


def mapped_mean_high(dataset: xr.Dataset, activation: str) -> Values:
    """Largest mean to which the map takes a point of the box, to nine decimals."""
    return _rounded(dataset["next_mean"].sel(activation=activation).max())


def mapped_variance_low(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest variance to which the map takes a point of the box."""
    return values(dataset["next_variance"].sel(activation=activation).min())


def mapped_variance_high(dataset: xr.Dataset, activation: str) -> Values:
    """Largest variance to which the map takes a point of the box."""
    return values(dataset["next_variance"].sel(activation=activation).max())


def variance_gain_low(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest ratio of the variance that comes out to the one that went in, over the box."""
    return values(_gain(dataset, activation).min())


def variance_gain_high(dataset: xr.Dataset, activation: str) -> Values:
    """Largest ratio of the variance that comes out to the one that went in, over the box."""
    return values(_gain(dataset, activation).max())


def jacobian_norm_high(dataset: xr.Dataset, activation: str) -> Values:
    """Largest singular value of the map's derivative by mean and variance, over the box."""
    return values(dataset["jacobian_norm"].sel(activation=activation).max())


def _rounded(number: xr.DataArray) -> Values:
    # Where the mean is 0, what an integral leaves beyond is another on every processor.
    rounded: Values = np.round(values(number), 9) + 0.0  # and never minus zero
    return rounded


def _gain(dataset: xr.Dataset, activation: str) -> xr.DataArray:
    chosen = dataset["next_variance"].sel(activation=activation)
    return chosen / chosen["variance"]


METRICS: tuple[Metric, ...] = (
    mapped_mean_low,
    mapped_mean_high,
    mapped_variance_low,
    mapped_variance_high,
    variance_gain_low,
    variance_gain_high,
    jacobian_norm_high,
)
