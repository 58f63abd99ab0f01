"""What was found in the experiment ``training-dynamics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import by_activation, listed, name, number
from actbench.store.terminal import plural
from actbench.study.experiments._losses import medians, noise_of

if TYPE_CHECKING:
    import xarray as xr

_FITTED = 2.0  # times the noise; a network below it has learned the function
_LEVEL = 10.0  # error signals within this factor of each other arrive evenly


def findings(ds: xr.Dataset) -> list[str]:
    """Say when networks learn, and how error signals and activations change on the way."""
    return [*_learned(ds), *_signals(ds), *_activations(ds), *_sparsity(ds)]


def _learned(ds: xr.Dataset) -> list[str]:
    fitted = ds["loss"] < _FITTED * noise_of(ds)
    first = fitted.argmax("epoch").where(fitted.any("epoch"), np.inf)
    epochs = medians(first)
    seeds = plural(ds.sizes["seed"], "seed")
    good = {key: epoch for key, epoch in epochs.items() if np.isfinite(epoch)}
    bad = {key: mse for key, mse in medians(ds["final_mse"]).items() if key not in good}
    sentences = []
    if good:
        sentences.append(
            f"Median epoch at which the loss first falls below {_FITTED:g} times the noise, over "
            f"{seeds}: {by_activation(good)}."
        )
    if bad:
        sentences.append(
            f"Never that low in most of {seeds}: {listed(name(key) for key in bad)}; the median "
            f"loss ends at {by_activation(bad)}."
        )
    return sentences


def _shares(ds: xr.Dataset, place: int) -> dict[str, float]:
    """Of the last hidden layer's error signal, what arrives at layer 1."""
    signal = ds["error_signal"].isel(recorded_epoch=place).astype(np.float64)
    with np.errstate(all="ignore"):
        return medians(signal.isel(layer=0) / signal.isel(layer=-2))


def _signals(ds: xr.Dataset) -> list[str]:
    depth = ds.sizes["hidden_layer"]
    if depth == 1:
        return []
    before, after = (_shares(ds, place) for place in (0, -1))
    even = [key for key, share in after.items() if 1 / _LEVEL < share < _LEVEL]
    healed = [key for key in even if before[key] < 1 / _LEVEL]
    sentence = (
        f"Of the error signal of hidden layer {depth} this share reaches layer 1: before the "
        f"first update {by_activation(before, 2)}; after the last {by_activation(after, 2)}."
    )
    if healed:
        who = "every network" if len(healed) == len(after) else listed(map(name, healed))
        sentence += (
            f" What had vanished before training is there again in {who}: vanishing at "
            "initialization did not last."
        )
    return [sentence]


def _activations(ds: xr.Dataset) -> list[str]:
    last = ds["activation_rms"].isel(hidden_layer=-1)
    first, final = (last.isel(recorded_epoch=place).astype(np.float64) for place in (0, -1))
    with np.errstate(all="ignore"):
        growth = {k: g for k, g in medians(final / first).items() if np.isfinite(g)}
    if not growth:
        return []
    return [
        "Over the training, the last hidden layer's root mean square changes by these factors: "
        f"{by_activation(growth, 2)}."
    ]


def _sparsity(ds: xr.Dataset) -> list[str]:
    if "relu" not in ds["activation"]:
        return []
    zeros = ds["zero_share"].sel(activation=["relu"]).mean("hidden_layer")
    before, after = (medians(zeros.isel(recorded_epoch=place))["relu"] for place in (0, -1))
    if not np.isfinite(before + after):
        return []
    return [
        f"ReLU's share of outputs that are exactly zero goes from {before:.1%} to {after:.1%}; "
        f"its final loss is {number(medians(ds['final_mse'])['relu'])}."
    ]
