"""Metrics of the deep and the spread part of gradient-flow, against mean-field theory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actbench.claims.metrics import Metric, Values, values
from actbench.claims.statistics import jackknife
from actbench.store.datasets import protocol_of
from actbench.study.catalog import initializers

if TYPE_CHECKING:
    import xarray as xr


def theory_gap(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Decades per layer of the deep error signal minus mean-field theory's, as pooled_slope."""
    from actbench.study import theory  # loads much of SciPy

    protocol = protocol_of(dataset)
    expected = theory.predict(
        activation,
        initializers.get(initializer),
        np.linspace(-np.pi, np.pi, protocol["deep_points"]),
        depth=protocol["deep_depth"],
        width=protocol["width"],
    )
    predicted = theory.decades_per_layer(expected.error_signal_rms, 10, 40)
    return pooled_slope(dataset, activation, initializer) - predicted


def pooled_slope(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Decades per layer of the pooled error signal, layers 10 to 40, a pseudo-value per network."""
    from actbench.study import theory  # loads much of SciPy

    power = np.square(_deep(dataset, "deep_error_signal", activation, initializer))

    def slope(networks: NDArray[np.intp]) -> float:
        return theory.decades_per_layer(np.sqrt(np.mean(power[networks], axis=0)), 10, 40)

    return jackknife(slope, len(power))


def deep_slope_size(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Decades per layer by which the error signal changes, layers 10 to 40, per deep network."""
    signal = _deep(dataset, "deep_error_signal", activation, initializer)
    slopes: Values = np.abs(np.log10(signal[:, 39] / signal[:, 9])) / 30
    return slopes


def deep_error_share(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """RMS error signal at layer 1 over that at the output layer, per network of the deep part."""
    signal = _deep(dataset, "deep_error_signal", activation, initializer)
    return signal[:, 0] / signal[:, -1]


def deep_gradient_ratio(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Gradient magnitude of the output layer over that of layer 1, per network of the deep part."""
    magnitude = _deep(dataset, "deep_gradient_magnitude", activation, initializer)
    return magnitude[:, -1] / magnitude[:, 0]


def deep_largest_gradient(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Largest gradient magnitude of hidden layers 2 to last, per network of the deep part."""
    magnitude = _deep(dataset, "deep_gradient_magnitude", activation, initializer)
    largest: Values = magnitude[:, 1:-1].max(axis=1)
    return largest


def spread_over_theory(dataset: xr.Dataset, activation: str) -> Values:
    """Standard deviation of the error signal's slope over theory's, a pseudo-value per network."""
    from actbench.study import theory  # loads much of SciPy

    protocol = protocol_of(dataset)
    initializer = initializers.get(protocol["spread_initializer"])
    depth = protocol["spread_depth"]
    slopes = dataset["error_slope"].sel(spread_activation=activation)
    scaled, width_of = [], []
    for width in dataset["width"].to_numpy().tolist():
        found = values(slopes.sel(width=width))
        found = found[np.isfinite(found)]
        q = theory.predict(activation, initializer, [1.0], depth=depth, width=width).q
        expected = theory.slope_spread(activation, q, width=width, first=1, last=depth)
        scaled.append(found / expected)
        width_of.append(np.full(len(found), width))
    every, widths = np.concatenate(scaled), np.concatenate(width_of)

    def spread(networks: NDArray[np.intp]) -> float:
        parts = [every[networks][widths[networks] == width] for width in np.unique(widths)]
        several = [part for part in parts if len(part) > 1]
        squares = sum(float(np.sum(np.square(part - part.mean()))) for part in several)
        freedom = sum(len(part) - 1 for part in several)
        return math.sqrt(squares / freedom) if freedom else math.nan

    return jackknife(spread, len(every))


def _deep(dataset: xr.Dataset, name: str, activation: str, initializer: str) -> Values:
    chosen = dataset[name].sel(activation=activation, initializer=initializer)
    layers = protocol_of(dataset)["deep_depth"] + 1
    return values(chosen.transpose("deep_seed", "layer"), keep_shape=True)[:, :layers]


METRICS: tuple[Metric, ...] = (
    theory_gap,
    pooled_slope,
    deep_slope_size,
    deep_error_share,
    deep_gradient_ratio,
    deep_largest_gradient,
    spread_over_theory,
)
