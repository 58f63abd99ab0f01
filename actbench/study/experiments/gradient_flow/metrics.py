"""Metrics of gradients and error signals at initialization, some against mean-field theory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.metrics import Metric, Values, values
from actbench.claims.statistics import jackknife
from actbench.store.datasets import protocol_of
from actbench.study.catalog import initializers
from actbench.study.catalog.activations import catalogued

if TYPE_CHECKING:
    import xarray as xr


def recovered_ratio(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Gradient magnitude of the output layer over that of layer 1, recovered protocol."""
    return values(dataset["gradient_ratio"].sel(activation=activation, depth=depth))


def recovered_magnitude(dataset: xr.Dataset, activation: str, depth: int, layer: int) -> Values:
    """Mean |d loss / d W| of one layer, recovered protocol."""
    magnitude = dataset["gradient_magnitude"]
    return values(magnitude.sel(activation=activation, depth=depth, layer=layer))


def recovered_spread(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest gradient magnitude of any layer over the smallest, recovered protocol."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, depth=depth)
    return values(magnitude.max()) / values(magnitude.min())


def recovered_smallest(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Smallest gradient magnitude of any layer, recovered protocol."""
    return values(dataset["gradient_magnitude"].sel(activation=activation, depth=depth).min())


def ratio_factor(
    dataset: xr.Dataset, activation: str, over: str, initializer: str, depth: int
) -> Values:
    """Gradient ratio (output layer over layer 1) of one activation over another's, same seed."""
    one, other = (robust_ratio(dataset, a, initializer, depth) for a in (activation, over))
    return one / other


def robust_ratio(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    """Gradient magnitude of the output layer over that of layer 1, per seed, one initializer."""
    magnitude = dataset["robust_gradient_magnitude"]
    chosen = magnitude.sel(activation=activation, initializer=initializer, depth=depth)
    return values(chosen.sel(layer=depth + 1)) / values(chosen.sel(layer=1))


def error_share(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    """RMS error signal d loss / d z at layer 1 over that at the last hidden layer, per seed."""
    return _share_of_layer(depth, dataset, activation, initializer, depth)


def error_share_of_output(
    dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> Values:
    """RMS error signal d loss / d z at layer 1 over that at the output layer, per seed."""
    return _share_of_layer(depth + 1, dataset, activation, initializer, depth)


def _share_of_layer(
    layer: int, dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> Values:
    signal = dataset["error_signal"]
    chosen = signal.sel(activation=activation, initializer=initializer, depth=depth)
    return values(chosen.sel(layer=1)) / values(chosen.sel(layer=layer))


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


def exact_metrics(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """List the gradients of one backward pass, in networks so shallow that few kinks decide."""
    found: list[dict[str, Any]] = []
    for name in catalogued(dataset) if "gradient_ratio" in dataset else ():
        # Rounding decides more kinks in deeper networks.
        depths = [d for d in dataset["depth"].to_numpy().tolist() if d <= 10]
        found += [{"name": "recovered_ratio", "activation": name, "depth": d} for d in depths]
        if 10 in depths and "he_normal" in dataset["initializer"]:
            # In float64, and He's wider weights reach where an activation bends. (Gradients of odd
            # activations cancel over the inputs here, and only rounding is left of them.)
            place = {"initializer": "he_normal", "depth": 10}
            found.append({"name": "error_share", "activation": name, **place})
    return found


METRICS: tuple[Metric, ...] = (
    recovered_ratio,
    recovered_magnitude,
    recovered_spread,
    recovered_smallest,
    ratio_factor,
    robust_ratio,
    error_share,
    error_share_of_output,
    theory_gap,
    pooled_slope,
    deep_slope_size,
    deep_error_share,
    deep_gradient_ratio,
    deep_largest_gradient,
    spread_over_theory,
)
