"""Metrics of gradients and error signals at initialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actbench.claims.metrics import Metric, Values, values
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
    one, other = (_robust_ratio(dataset, a, initializer, depth) for a in (activation, over))
    return one / other


def robust_ratio(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    """Gradient magnitude of the output layer over that of layer 1, per seed, one initializer."""
    return _robust_ratio(dataset, activation, initializer, depth)


def error_share(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    """RMS error signal d loss / d z at layer 1 over that at the last hidden layer, per seed."""
    signal = dataset["error_signal"].sel(
        activation=activation, initializer=initializer, depth=depth
    )
    return values(signal.sel(layer=1)) / values(signal.sel(layer=depth))


def error_share_of_output(
    dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> Values:
    """RMS error signal d loss / d z at layer 1 over that at the output layer, per seed."""
    signal = dataset["error_signal"].sel(
        activation=activation, initializer=initializer, depth=depth
    )
    return values(signal.sel(layer=1)) / values(signal.sel(layer=depth + 1))


def _robust_ratio(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    magnitude = _robust_magnitude(dataset, activation, initializer, depth)
    return values(magnitude.sel(layer=depth + 1)) / values(magnitude.sel(layer=1))


def _robust_magnitude(
    dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> xr.DataArray:
    return dataset["robust_gradient_magnitude"].sel(
        activation=activation, initializer=initializer, depth=depth
    )


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
)
