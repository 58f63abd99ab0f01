"""Metrics: what number a claim is about, computed from a dataset, one value per seed.

Each function's first sentence is the metric's definition; ``METRICS`` finds it by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench.errors import ActbenchError

Values = NDArray[np.float64]

# A sigmoid network that has left the plateau of the best constant, 0.518, is below this.
_ESCAPED_LOSS = 0.5


def final_mse(dataset: xr.Dataset, activation: str) -> Values:
    """Mean squared error on the noisy targets after the last update, per seed."""
    return _values(dataset["final_mse"].sel(activation=activation))


def final_mse_clean(dataset: xr.Dataset, activation: str) -> Values:
    """Mean squared error against the sine without noise after the last update, per seed."""
    return _values(dataset["final_mse_clean"].sel(activation=activation))


def final_mse_ratio(dataset: xr.Dataset, activation: str, over: str) -> Values:
    """Final mean squared error of one activation over that of another, same seed."""
    return final_mse(dataset, activation) / final_mse(dataset, over)


def final_mse_clean_ratio(dataset: xr.Dataset, activation: str, over: str) -> Values:
    """Final error against the clean sine of one activation over that of another, same seed."""
    return final_mse_clean(dataset, activation) / final_mse_clean(dataset, over)


def final_mse_over_noise(dataset: xr.Dataset, activation: str) -> Values:
    """Final mean squared error over the mean square of the noise, per seed."""
    noise = _values(dataset["target_noisy"] - dataset["target_clean"])
    return final_mse(dataset, activation) / np.mean(np.square(noise))


def deviation_from_line(dataset: xr.Dataset, activation: str) -> Values:
    """RMS distance of the learned function from its best line, over that line's RMS deviation."""
    x = _values(dataset["x"])
    prediction = _values(dataset["prediction"].sel(activation=activation), keep_shape=True)
    lines = np.polynomial.polynomial.polyfit(x, prediction.T, 1)
    straight = np.polynomial.polynomial.polyval(x, lines)
    scale = np.abs(lines[1]) * np.std(x)
    distance: Values = np.sqrt(np.mean(np.square(prediction - straight), axis=1)) / scale
    return distance


def escape_epoch(dataset: xr.Dataset, activation: str) -> Values:
    """First epoch with a training loss below 0.5, per seed; infinite if there is none."""
    below = _values(dataset["loss"].sel(activation=activation), keep_shape=True) < _ESCAPED_LOSS
    return np.where(below.any(-1), below.argmax(-1), np.inf)


def weight_displacement(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Distance that one layer's weights moved in training, over their initial norm, per seed."""
    chosen = dataset["weight_displacement"].sel(activation=activation, layer=layer)
    return _values(chosen)


def weight_displacement_over(dataset: xr.Dataset, activation: str, over: str, layer: int) -> Values:
    """Relative displacement of a layer's weights under one activation over another, same seed."""
    return weight_displacement(dataset, activation, layer) / weight_displacement(
        dataset, over, layer
    )


def training_gradient_share(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Gradient magnitude of a layer at epoch 0 over that of the output layer, per seed."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, recorded_epoch=0)
    return _values(magnitude.sel(layer=layer)) / _values(magnitude.isel(layer=-1))


def early_loss(dataset: xr.Dataset, activation: str, epoch: int) -> Values:
    """Training loss before the update of an early epoch, per seed."""
    return _values(dataset["loss"].sel(activation=activation, epoch=epoch))


def first_gradient(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Mean |d loss / d W| of one layer before the first update, per seed."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, recorded_epoch=0)
    return _values(magnitude.sel(layer=layer))


def recovered_ratio(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Gradient magnitude of the output layer over that of layer 1, recovered protocol."""
    return _values(dataset["gradient_ratio"].sel(activation=activation, depth=depth))


def recovered_magnitude(dataset: xr.Dataset, activation: str, depth: int, layer: int) -> Values:
    """Mean |d loss / d W| of one layer, recovered protocol."""
    magnitude = dataset["gradient_magnitude"]
    return _values(magnitude.sel(activation=activation, depth=depth, layer=layer))


def recovered_spread(dataset: xr.Dataset, activation: str, depth: int) -> Values:
    """Largest gradient magnitude of any layer over the smallest, recovered protocol."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, depth=depth)
    return _values(magnitude.max()) / _values(magnitude.min())


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
    return _values(signal.sel(layer=1)) / _values(signal.sel(layer=depth))


def error_share_of_output(
    dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> Values:
    """RMS error signal d loss / d z at layer 1 over that at the output layer, per seed."""
    signal = dataset["error_signal"].sel(
        activation=activation, initializer=initializer, depth=depth
    )
    return _values(signal.sel(layer=1)) / _values(signal.sel(layer=depth + 1))


def derivative_min(dataset: xr.Dataset, activation: str) -> Values:
    """Smallest value that torch's derivative of an activation takes on the grid."""
    return _values(dataset["derivative"].sel(activation=activation).min())


def derivative_max(dataset: xr.Dataset, activation: str) -> Values:
    """Largest value that torch's derivative of an activation takes on the grid."""
    return _values(dataset["derivative"].sel(activation=activation).max())


def derivative_at(dataset: xr.Dataset, activation: str, z: float) -> Values:
    """Torch's derivative of an activation at the grid point nearest to one input."""
    return _values(dataset["derivative"].sel(activation=activation).sel(z=z, method="nearest"))


def closed_form(dataset: xr.Dataset, quantity: str, target: str) -> Values:
    """A closed form of a target that needs no training, such as the error of its best line."""
    return _values(dataset[quantity].sel(target=target))


def document_ratio(dataset: xr.Dataset, activation: str) -> Values:
    """Loss that the study's report prints over the one that its model card prints."""
    return _values(dataset["report_over_card"].sel(activation=activation))


def _robust_magnitude(
    dataset: xr.Dataset, activation: str, initializer: str, depth: int
) -> xr.DataArray:
    return dataset["robust_gradient_magnitude"].sel(
        activation=activation, initializer=initializer, depth=depth
    )


def _robust_ratio(dataset: xr.Dataset, activation: str, initializer: str, depth: int) -> Values:
    magnitude = _robust_magnitude(dataset, activation, initializer, depth)
    return _values(magnitude.sel(layer=depth + 1)) / _values(magnitude.sel(layer=1))


def _values(array: xr.DataArray, *, keep_shape: bool = False) -> Values:
    numbers = array.to_numpy().astype(np.float64)
    return numbers if keep_shape else np.atleast_1d(numbers).ravel()


METRICS: Mapping[str, Callable[..., Values]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            final_mse,
            final_mse_clean,
            final_mse_ratio,
            final_mse_clean_ratio,
            final_mse_over_noise,
            deviation_from_line,
            escape_epoch,
            weight_displacement,
            weight_displacement_over,
            training_gradient_share,
            early_loss,
            first_gradient,
            recovered_ratio,
            recovered_magnitude,
            recovered_spread,
            ratio_factor,
            robust_ratio,
            error_share,
            error_share_of_output,
            derivative_min,
            derivative_max,
            derivative_at,
            closed_form,
            document_ratio,
        )
    }
)
"""The registry: metric name to the function that computes it."""


def definition(name: str) -> str:
    """Return what a metric is, in one sentence.

    Args:
        name: A key of ``METRICS``.

    Returns:
        The sentence.
    """
    return (inspect.getdoc(METRICS[name]) or "").splitlines()[0]


def measure(metric: Mapping[str, Any], dataset: xr.Dataset) -> Values:
    """Compute a metric from a dataset.

    Args:
        metric: Its name under ``name``, and its arguments.
        dataset: Of an experiment that has the variables the metric reads.

    Returns:
        One value per seed, shape ``(seed,)``; a single one where no seed enters.

    Raises:
        ActbenchError: The arguments are not the metric's, or the dataset lacks what it reads.
    """
    arguments = {key: value for key, value in metric.items() if key != "name"}
    function = METRICS[str(metric["name"])]
    try:
        # Diverged members give infinities and NaN, which the judge counts as such.
        with np.errstate(all="ignore"):
            return function(dataset, **arguments)
    except (KeyError, TypeError) as error:
        raise ActbenchError(
            f"metric {dict(metric)!r} can't be computed from the dataset of "
            f"{dataset.attrs.get('experiment', 'an unknown experiment')!r}: {error}"
        ) from error
