"""Metrics that no network enters: derivatives and closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.claims.metrics import Metric, Values, values
from actbench.study.catalog.activations import catalogued

if TYPE_CHECKING:
    import xarray as xr


def derivative_min(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest value that torch's derivative of an activation takes on the grid."""
    return values(dataset["derivative"].sel(activation=activation).min())


def derivative_max(dataset: xr.Dataset, activation: str) -> Values:
    """Largest value that torch's derivative of an activation takes on the grid."""
    return values(dataset["derivative"].sel(activation=activation).max())


def derivative_at(dataset: xr.Dataset, activation: str, z: float) -> Values:
    """Torch's derivative of an activation at the grid point nearest to one input."""
    return values(dataset["derivative"].sel(activation=activation).sel(z=z, method="nearest"))


def largest_derivative_at(dataset: xr.Dataset, activation: str) -> Values:
    """The grid point at which torch's derivative of an activation is largest."""
    derivative = dataset["derivative"].sel(activation=activation)
    return values(dataset["z"].isel(z=derivative.argmax("z")))


def smallest_derivative_above_zero(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest value that torch's derivative of an activation takes above 0 on the grid."""
    positive = dataset["z"] > 0
    return values(dataset["derivative"].sel(activation=activation).where(positive).min())


def largest_derivative_step(dataset: xr.Dataset, activation: str) -> Values:
    """Largest change of torch's derivative of an activation between neighboring grid points."""
    return values(np.abs(dataset["derivative"].sel(activation=activation).diff("z")).max())


def closed_form(dataset: xr.Dataset, quantity: str, target: str) -> Values:
    """A closed form of a target that needs no training, such as the error of its best line."""
    return values(dataset[quantity].sel(target=target))


def exact_metrics(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """List the derivatives on both sides of the kink and at it."""
    return [
        {"name": "derivative_at", "activation": name, "z": z}
        for name in (catalogued(dataset) if "derivative" in dataset else ())
        for z in (-1.0, 0.0, 1.0)
    ]


METRICS: tuple[Metric, ...] = (
    derivative_min,
    derivative_max,
    derivative_at,
    largest_derivative_at,
    smallest_derivative_above_zero,
    largest_derivative_step,
    closed_form,
)
