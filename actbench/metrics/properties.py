"""Metrics that no network enters: derivatives and closed forms."""

from __future__ import annotations

import xarray as xr

from actbench.metrics._values import Metric, Values, values


def derivative_min(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest value that torch's derivative of an activation takes on the grid."""
    return values(dataset["derivative"].sel(activation=activation).min())


def derivative_max(dataset: xr.Dataset, activation: str) -> Values:
    """Largest value that torch's derivative of an activation takes on the grid."""
    return values(dataset["derivative"].sel(activation=activation).max())


def derivative_at(dataset: xr.Dataset, activation: str, z: float) -> Values:
    """Torch's derivative of an activation at the grid point nearest to one input."""
    return values(dataset["derivative"].sel(activation=activation).sel(z=z, method="nearest"))


def closed_form(dataset: xr.Dataset, quantity: str, target: str) -> Values:
    """A closed form of a target that needs no training, such as the error of its best line."""
    return values(dataset[quantity].sel(target=target))


def document_ratio(dataset: xr.Dataset, activation: str) -> Values:
    """Loss that the study's report prints over the one that its model card prints."""
    return values(dataset["report_over_card"].sel(activation=activation))


METRICS: tuple[Metric, ...] = (
    derivative_min,
    derivative_max,
    derivative_at,
    closed_form,
    document_ratio,
)
