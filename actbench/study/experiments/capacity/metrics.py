"""Metrics of what networks learned of several targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def clean_share(dataset: xr.Dataset, activation: str, target: str, depth: int) -> Values:
    """Error against the noiseless target over its variance, per seed; infinite if diverged."""
    variance = np.var(values(dataset["target_clean"].sel(target=target)))
    return _clean(dataset, activation, target, depth) / variance


def largest_clean_share(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest error against a noiseless target over its variance; infinite if one diverged."""
    largest: Values = np.max(_all_shares(dataset, activation, depth), axis=0)
    return largest


def smallest_clean_share(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Smallest error against a noiseless target over its variance; infinite if all diverged."""
    smallest: Values = np.min(_all_shares(dataset, activation, depth), axis=0)
    return smallest


def depth_error_ratio(
    dataset: xr.Dataset, activation: str, target: str, depth: int, over_depth: int
) -> Values:
    """Error against the noiseless target over another depth's; a diverged error is infinite."""
    one, other = (_clean(dataset, activation, target, d) for d in (depth, over_depth))
    return one / other


def error_over_reference(
    dataset: xr.Dataset, activation: str, target: str, depth: int, reference: str
) -> Values:
    """Error against the noiseless target over a classical fit's, infinite if the run diverged."""
    fit = dataset["reference_mse_clean"].sel(target=target, reference=reference)
    return _clean(dataset, activation, target, depth) / values(fit)


def loss_over_best_line(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest final loss of all targets over their best lines', infinite if one diverged."""
    loss = dataset["final_mse"].sel(activation=activation, depth=depth)
    ratio = (loss / dataset["reference_mse"].sel(reference="best_line")).transpose("target", "seed")
    largest: Values = np.max(values(ratio, keep_shape=True, diverged=np.inf), axis=0)
    return largest


def _clean(dataset: xr.Dataset, activation: str, target: str, depth: int) -> Values:
    chosen = dataset["final_mse_clean"].sel(activation=activation, target=target, depth=depth)
    return values(chosen, diverged=np.inf)


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
