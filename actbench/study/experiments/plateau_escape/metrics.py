"""Metrics of the experiment ``plateau-escape``: who leaves the plateau, when, and how slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.claims.metrics import Metric, Values, values
from actbench.study.experiments.sine_regression.metrics import first_escaped

if TYPE_CHECKING:
    import xarray as xr


def escape_epoch_at(dataset: xr.Dataset, activation: str, depth: int, adam_eps: float) -> Values:
    """First epoch with a loss below 0.5 at a depth and an eps of Adam; infinite if none."""
    at = {"activation": activation, "depth": depth, "adam_eps": adam_eps}
    return first_escaped(dataset["loss"].sel(at))


def plateau_gradient_over_eps(
    dataset: xr.Dataset, activation: str, depth: int, adam_eps: float
) -> Values:
    """Gradient magnitude of layer 1 on the plateau, at epoch 50, over Adam's eps, per seed."""
    at = {"activation": activation, "depth": depth, "adam_eps": adam_eps}
    return values(dataset["plateau_gradient"].sel(at)) / adam_eps


def escape_epoch_ratio(
    dataset: xr.Dataset,
    activation: str,
    depth: int,
    adam_eps: float,
    over_depth: int,
    over_adam_eps: float,
) -> Values:
    """Escape epoch at one depth and eps over that at another depth and eps, same seed."""
    return escape_epoch_at(dataset, activation, depth, adam_eps) / escape_epoch_at(
        dataset, activation, over_depth, over_adam_eps
    )


METRICS: tuple[Metric, ...] = (
    escape_epoch_at,
    escape_epoch_ratio,
    plateau_gradient_over_eps,
)
