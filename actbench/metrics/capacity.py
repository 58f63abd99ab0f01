"""Metrics of what networks learned of several targets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actbench.metrics._values import Metric, Values, values


def clean_share(dataset: xr.Dataset, activation: str, target: str, depth: int) -> Values:
    """Final error against a target without noise over that target's variance, per seed."""
    variance = np.var(values(dataset["target_clean"].sel(target=target)))
    return _clean(dataset, activation, target, depth) / variance


def largest_clean_share(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest error over all targets, without noise and over the target's variance, per seed."""
    largest: Values = np.max(_all_shares(dataset, activation, depth), axis=0)
    return largest


def smallest_clean_share(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Smallest error over all targets, without noise and over the target's variance, per seed."""
    smallest: Values = np.min(_all_shares(dataset, activation, depth), axis=0)
    return smallest


def depth_error_ratio(
    dataset: xr.Dataset, activation: str, target: str, depth: int, over_depth: int
) -> Values:
    """Error against the target without noise at one depth over that at another, same seed."""
    one, other = (_clean(dataset, activation, target, d) for d in (depth, over_depth))
    return one / other


def error_over_reference(
    dataset: xr.Dataset, activation: str, target: str, depth: int, reference: str
) -> Values:
    """Error against the target without noise over that of a classical fit of the same points."""
    fit = dataset["reference_mse_clean"].sel(target=target, reference=reference)
    return _clean(dataset, activation, target, depth) / values(fit)


def loss_over_best_line(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest final loss over that of the target's best line, of all targets, per seed."""
    loss = dataset["final_mse"].sel(activation=activation, depth=depth)
    ratio = loss / dataset["reference_mse"].sel(reference="best_line")
    largest: Values = np.max(values(ratio.transpose("target", "seed"), keep_shape=True), axis=0)
    return largest


def _clean(dataset: xr.Dataset, activation: str, target: str, depth: int) -> Values:
    chosen = dataset["final_mse_clean"].sel(activation=activation, target=target, depth=depth)
    return values(chosen)


def _all_shares(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    keys = [str(key) for key in dataset["target"].to_numpy()]
    return np.stack([clean_share(dataset, activation, key, depth) for key in keys])


METRICS: tuple[Metric, ...] = (
    clean_share,
    largest_clean_share,
    smallest_clean_share,
    depth_error_ratio,
    error_over_reference,
    loss_over_best_line,
)
