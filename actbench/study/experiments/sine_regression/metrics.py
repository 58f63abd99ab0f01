"""Metrics of the main experiment: losses, learned functions, weights and first gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.claims.metrics import Metric, Values, values
from actbench.study.catalog.activations import catalogued

if TYPE_CHECKING:
    import xarray as xr

# A sigmoid network that has left the plateau of the best constant, 0.518, is below this.
_ESCAPED_LOSS = 0.5
# After some ten epochs rounding, and so the processor, decides on which side of the kink a unit is.
_KINKED = ("relu", "leaky_relu")


def final_mse(dataset: xr.Dataset, activation: str) -> Values:
    """Mean squared error on the noisy targets after the last update, infinite if it diverged."""
    return values(dataset["final_mse"].sel(activation=activation), diverged=np.inf)


def final_mse_clean(dataset: xr.Dataset, activation: str) -> Values:
    """Final mean squared error against the sine without noise, infinite if the run diverged."""
    return values(dataset["final_mse_clean"].sel(activation=activation), diverged=np.inf)


def final_mse_ratio(dataset: xr.Dataset, activation: str, over: str) -> Values:
    """Final squared error over another activation's, same seed; a diverged error is infinite."""
    return final_mse(dataset, activation) / final_mse(dataset, over)


def final_mse_clean_ratio(dataset: xr.Dataset, activation: str, over: str) -> Values:
    """Error against the clean sine over another activation's; a diverged error is infinite."""
    return final_mse_clean(dataset, activation) / final_mse_clean(dataset, over)


def final_mse_over_noise(dataset: xr.Dataset, activation: str) -> Values:
    """Final mean squared error over the mean square of the noise; not a number if diverged."""
    noise = values(dataset["target_noisy"] - dataset["target_clean"])
    error = values(dataset["final_mse"].sel(activation=activation), diverged=np.nan)
    return error / np.mean(np.square(noise))


def deviation_from_line(dataset: xr.Dataset, activation: str) -> Values:
    """RMS distance of the learned function from its best line, over that line's RMS deviation."""
    x = values(dataset["x"])
    prediction = values(dataset["prediction"].sel(activation=activation), keep_shape=True)
    lines = np.polynomial.polynomial.polyfit(x, prediction.T, 1)
    straight = np.polynomial.polynomial.polyval(x, lines)
    scale = np.abs(lines[1]) * np.std(x)
    distance: Values = np.sqrt(np.mean(np.square(prediction - straight), axis=1)) / scale
    return distance


def rounding_ceiling(metric: Mapping[str, Any], settings: Mapping[str, Any]) -> float | None:
    """Bound a linear network's deviation from a line: depth + 1 products, each within its rounding.

    A sum of n terms is off by at most n eps / 2 times the sum of their magnitudes, in any order
    (Higham 2002, section 4.2).
    """
    if (metric["name"], metric.get("activation")) != ("deviation_from_line", "linear"):
        return None
    terms: int = (settings["depth"] + 1) * settings["width"]
    return terms * float(np.finfo(settings["dtype"]).eps)


def escape_epoch(dataset: xr.Dataset, activation: str) -> Values:
    """First epoch with a training loss below 0.5; infinite if none, as of a run that diverged."""
    return first_escaped(dataset["loss"].sel(activation=activation))


def first_escaped(loss: xr.DataArray) -> Values:
    """First epoch of losses ``(seed, epoch)`` that left the plateau; infinite if there is none."""
    below = values(loss, keep_shape=True) < _ESCAPED_LOSS
    return np.where(below.any(-1), below.argmax(-1), np.inf)


def weight_displacement(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Distance that a layer's weights moved over their initial norm; not a number if diverged."""
    chosen = dataset["weight_displacement"].sel(activation=activation, layer=layer)
    return values(chosen, diverged=np.nan)


def weight_displacement_over(dataset: xr.Dataset, activation: str, over: str, layer: int) -> Values:
    """Relative displacement of a layer's weights under one activation over another, same seed."""
    return weight_displacement(dataset, activation, layer) / weight_displacement(
        dataset, over, layer
    )


def training_gradient_share(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Gradient magnitude of a layer at epoch 0 over that of the output layer, per seed."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, recorded_epoch=0)
    return values(magnitude.sel(layer=layer)) / values(magnitude.isel(layer=-1))


def early_loss(dataset: xr.Dataset, activation: str, epoch: int) -> Values:
    """Training loss before the update of an early epoch, per seed."""
    return values(dataset["loss"].sel(activation=activation, epoch=epoch))


def first_gradient(dataset: xr.Dataset, activation: str, layer: int) -> Values:
    """Mean |d loss / d W| of one layer before the first update, per seed."""
    magnitude = dataset["gradient_magnitude"].sel(activation=activation, recorded_epoch=0)
    return values(magnitude.sel(layer=layer))


def loss_of_seed(dataset: xr.Dataset, activation: str, epoch: int, seed: int) -> Values:
    """Training loss before the update of an epoch, from one seed alone."""
    return values(dataset["loss"].sel(activation=activation, epoch=epoch, seed=seed))


def gradient_of_seed(
    dataset: xr.Dataset, activation: str, layer: int, recorded_epoch: int, seed: int
) -> Values:
    """Mean |d loss / d W| of one layer before the update of an epoch, from one seed alone."""
    at = {"activation": activation, "recorded_epoch": recorded_epoch, "layer": layer, "seed": seed}
    return values(dataset["gradient_magnitude"].sel(at))


def exact_metrics(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """List the first gradients and early losses of a training."""
    found: list[dict[str, Any]] = []
    trained = "loss" in dataset and "gradient_magnitude" in dataset
    for name in catalogued(dataset) if trained else ():
        last = 10 if name in _KINKED else 30
        epochs = [e for e in (0, 1, 10, 30) if e <= last and e < dataset.sizes["epoch"]]
        layers = dataset["layer"].to_numpy().tolist()
        found += [{"name": "early_loss", "activation": name, "epoch": e} for e in epochs]
        found += [{"name": "first_gradient", "activation": name, "layer": n} for n in layers]
    return found


METRICS: tuple[Metric, ...] = (
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
    loss_of_seed,
    gradient_of_seed,
)
