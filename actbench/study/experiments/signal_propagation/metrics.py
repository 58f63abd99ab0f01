"""Metrics of random networks before training: dead ones, and moments per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def born_dead_share(
    dataset: xr.Dataset, activation: str, initializer: str, width: int, depth: int
) -> Values:
    """Share of networks with a hidden layer that is zero on every input, per seed."""
    place = {"activation": activation, "initializer": initializer, "width": width, "layer": depth}
    return values(dataset["born_dead_share"].sel(place).isel(input_variance=0))


def dead_at_input_share(
    dataset: xr.Dataset, activation: str, initializer: str, width: int, depth: int
) -> Values:
    """Share of networks with a hidden layer that is zero on the largest input, per seed."""
    place = {"activation": activation, "initializer": initializer, "width": width, "layer": depth}
    return values(dataset["dead_at_input_share"].sel(place).isel(input_variance=0))


def carried_mean(
    dataset: xr.Dataset,
    activation: str,
    initializer: str,
    width: int,
    input_variance: float,
    layer: int,
) -> Values:
    """Mean over inputs and units of a hidden layer's outputs before training, per seed."""
    place = {"activation": activation, "initializer": initializer, "width": width, "layer": layer}
    return values(dataset["activation_mean"].sel(place).sel(input_variance=input_variance))


def carried_variance(
    dataset: xr.Dataset,
    activation: str,
    initializer: str,
    width: int,
    input_variance: float,
    layer: int,
) -> Values:
    """Variance over inputs and units of a hidden layer's outputs before training, per seed."""
    place = {"activation": activation, "initializer": initializer, "width": width, "layer": layer}
    return values(dataset["activation_variance"].sel(place).sel(input_variance=input_variance))


def difference_kept(
    dataset: xr.Dataset, activation: str, initializer: str, width: int, layer: int, over_layer: int
) -> Values:
    """Factor per layer of the difference in variance from the first and last input, per seed."""
    place = {"activation": activation, "initializer": initializer, "width": width}
    carried = dataset["activation_variance"].sel(place)
    difference = carried.isel(input_variance=-1) - carried.isel(input_variance=0)
    ratio = values(difference.sel(layer=layer)) / values(difference.sel(layer=over_layer))
    factor: Values = np.power(ratio, 1 / (layer - over_layer))
    return factor


METRICS: tuple[Metric, ...] = (
    born_dead_share,
    dead_at_input_share,
    carried_mean,
    carried_variance,
    difference_kept,
)
