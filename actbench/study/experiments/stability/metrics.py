"""Metrics of the map of stability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def stability_border(dataset: xr.Dataset, activation: str, skip: int, depth: int) -> Values:
    """Largest learning rate that still converges, 0 if none does, per seed."""
    return values(dataset["stability_border"].sel(activation=activation, skip=skip, depth=depth))


def stability_border_ratio(
    dataset: xr.Dataset, activation: str, skip: int, depth: int, over_depth: int
) -> Values:
    """Largest learning rate that still converges at one depth over that at another, same seed."""
    return stability_border(dataset, activation, skip, depth) / stability_border(
        dataset, activation, skip, over_depth
    )


def converged_share(dataset: xr.Dataset, activation: str, skip: int, depth: int) -> Values:
    """Share of the learning rates of the grid at which training converges, per seed."""
    outcome = dataset["outcome"].sel(activation=activation, skip=skip, depth=depth)
    return values((outcome == "converged").mean("learning_rate"))


METRICS: tuple[Metric, ...] = (stability_border, stability_border_ratio, converged_share)
