"""What was found in the experiment ``activation-statistics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import by_activation, listed, name
from actbench.store.datasets import protocol_of
from actbench.store.terminal import plural

if TYPE_CHECKING:
    import xarray as xr

_BOUNDED = ("sigmoid", "tanh")
_WORTH_NAMING = 0.001  # of all outputs; now and then a sum happens to be exactly zero


def findings(ds: xr.Dataset) -> list[str]:
    """Say how activations spread with depth, which are sparse, and which units are dead."""
    return [*_spreads(ds), *_zeros(ds), *_dead(ds), *_saturation(ds)]


def _trained(ds: xr.Dataset) -> list[str]:
    """Initializers from which networks were trained."""
    return [str(key) for key in ds["initializer"][ds["trained"].any("seed")].to_numpy()]


def _looked_at(ds: xr.Dataset) -> list[str]:
    """The initializers that the figures show."""
    return _trained(ds) or [str(ds["initializer"].to_numpy()[0])]


def _pairs(ds: xr.Dataset, initializer: str) -> xr.Dataset:
    """The networks that are there at both stages; where none was trained, all."""
    chosen = ds.sel(initializer=initializer)
    trained = np.flatnonzero(chosen["trained"].to_numpy())
    return chosen.isel(seed=trained) if trained.size else chosen


def _medians(values: xr.DataArray) -> dict[str, float]:
    """Median over networks of the finite values, by activation; those without any are left out."""
    medians = values.where(np.isfinite(values)).median("seed")
    found: dict[str, float] = medians.dropna("activation").to_series().to_dict()
    return found


def _percent(shares: dict[str, float]) -> str:
    return listed(f"{name(key)} {share:.1%}" for key, share in shares.items())


def _spreads(ds: xr.Dataset) -> list[str]:
    depth, sentences = int(ds["hidden_layer"].to_numpy()[-1]), []
    if depth == 1:
        return []
    for initializer in _looked_at(ds):
        std = ds["activation_std"].sel(initializer=initializer, stage="initial")
        shrink = _medians(std.isel(hidden_layer=-1) / std.isel(hidden_layer=0))
        if shrink:
            sentences.append(
                f"Under {initializer}, before training ({plural(ds.sizes['seed'], 'network')} "
                f"each), the standard deviation of hidden layer {depth}'s output over that of "
                f"layer 1 is {by_activation(shrink, 2)}."
            )
    return sentences


def _zeros(ds: xr.Dataset) -> list[str]:
    initial = ds["zero_share"].sel(stage="initial").max(("initializer", "seed", "hidden_layer"))
    sparse = [key for key, share in initial.to_series().items() if share >= _WORTH_NAMING]
    if not sparse:
        return ["No activation is sparse: before training, outputs of exactly zero are absent."]
    whole = ds["zero_share"].sel(stage="initial").mean(("initializer", "seed", "hidden_layer"))
    shares = whole.sel(activation=sparse).to_series().to_dict()
    sentence = (
        f"Outputs of exactly zero before training, over all layers and initializers: "
        f"{_percent(shares)}; other activations have none to speak of."
    )
    if "relu" in shares:
        sentence += " Weights that are symmetric about zero let ReLU expect one half."
    if {"gelu", "swish"} & set(sparse):
        sentence += (
            " A smooth activation's zeros are a matter of rounding: far below zero its value "
            f"is too small for {protocol_of(ds)['dtype']}."
        )
    return [sentence]


def _dead(ds: xr.Dataset) -> list[str]:
    keys, dead = ds["activation"].to_numpy().tolist(), ds["dead_unit_share"]
    mortal = [key for key in keys if dead.sel(activation=key).max() > 0]
    if not mortal:
        return ["No unit is dead, before or after training: each answers to some input."]
    sentences = []
    for initializer in _looked_at(ds):
        pairs = _pairs(ds, initializer)
        shares = pairs["dead_unit_share"].sel(activation=mortal).mean("hidden_layer")
        sentence = (
            f"Dead units under {initializer} before training "
            f"({plural(pairs.sizes['seed'], 'network')} each, median): "
            f"{_percent(_medians(shares.sel(stage='initial')))}"
        )
        if initializer in _trained(ds):
            after = _percent(_medians(shares.sel(stage="trained")))
            sentence += f"; after {plural(protocol_of(ds)['epochs'], 'epoch')} of it: {after}"
        sentences.append(f"{sentence}.")
    rest = [key for key in keys if key not in mortal]
    if rest:
        sentences[-1] += f" {listed(name(key) for key in rest)}: none anywhere."
    return sentences


def _saturation(ds: xr.Dataset) -> list[str]:
    bounded = [key for key in ds["activation"].to_numpy() if key in _BOUNDED]
    trained = _trained(ds)
    if not bounded or not trained:
        return []
    bound = protocol_of(ds)["saturation"]
    parts = []
    for initializer in trained:
        pairs = _pairs(ds, initializer)
        shares = pairs["saturated_share"].sel(activation=bounded).mean("hidden_layer")
        before, after = (_percent(_medians(shares.sel(stage=s))) for s in ("initial", "trained"))
        parts.append(f"{initializer} {before} before, {after} after")
    return [
        f"Where the derivative is below {bound:.0%} of its maximum, a bounded activation is "
        f"saturated there. Share of outputs, over training: {'; '.join(parts)}."
    ]
