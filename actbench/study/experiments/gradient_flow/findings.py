"""What was found in the experiment ``gradient-flow``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import by_activation, listed, name, number
from actbench.store.terminal import plural

if TYPE_CHECKING:
    import xarray as xr

_STUDY_DEPTH = 10
_LEVEL = 10.0  # a ratio within this factor of 1 is what the study takes for healthy
_VANISHED = 1e-6  # of a gradient's mean size, where the loss is of order 1


def findings(ds: xr.Dataset) -> list[str]:
    """Say what the published ratio gives, what it hides, and how much signal reaches layer 1."""
    return [*_ratios(ds), *level_but_vanished(ds), *_signals(ds)]


def held_depths(values: xr.DataArray) -> list[int]:
    """Return the depths that a protocol has; those of the other one are NaN throughout."""
    held = values.notnull().any([dim for dim in values.dims if dim != "depth"])
    return [int(depth) for depth in values["depth"].to_numpy()[held.to_numpy()]]


def _ratios(ds: xr.Dataset) -> list[str]:
    depths = held_depths(ds["gradient_magnitude"])
    if not depths:
        return []
    depth = _STUDY_DEPTH if _STUDY_DEPTH in depths else depths[0]
    values = ds["gradient_ratio"].sel(depth=depth).to_series().to_dict()
    return [
        "The study's protocol as recovered, one network per activation, gives at "
        f"{depth} hidden layers these ratios of weight gradients, output layer over layer 1: "
        f"{by_activation(values)}."
    ]


def level_but_vanished(ds: xr.Dataset) -> list[str]:
    """Name the networks whose gradient ratio is near 1 although their gradients have vanished."""
    depths = held_depths(ds["gradient_magnitude"])
    if not depths:
        return []
    deepest = max(depths)
    found = []
    for key in ds["activation"].to_numpy():
        chosen = ds.sel(activation=key, depth=deepest)
        layers = chosen["gradient_magnitude"].to_numpy()[: deepest + 1]
        ratio = float(chosen["gradient_ratio"])
        if 1 / _LEVEL < ratio < _LEVEL and layers.max() < _VANISHED:
            found.append(
                f"{name(key)} has a ratio of {number(ratio)} and gradients from "
                f"{number(layers.min(), 2)} to {number(layers.max(), 2)}"
            )
    if not found:
        return []
    return [
        f"At {deepest} hidden layers a ratio near 1 goes together with weight gradients (mean "
        f"|∂loss/∂W| of the least and the largest layer) that have all but vanished: "
        f"{'; '.join(found)}."
    ]


def _signals(ds: xr.Dataset) -> list[str]:
    depths = held_depths(ds["error_signal_rms"])
    if not depths or depths[0] < 2:
        return []
    depth, sentences = depths[0], []
    weakest: dict[str, str] = {}
    for initializer in _one_of_each_family(ds):
        signal = ds["error_signal_rms"].sel(depth=depth, initializer=initializer)
        with np.errstate(all="ignore"):
            values = (signal.sel(layer=1) / signal.sel(layer=depth)).to_series().to_dict()
        weakest[initializer] = min(values, key=values.__getitem__)
        sentences.append(
            f"Under {initializer} ({plural(ds.sizes['seed'], 'network')} each), of the error "
            f"signal of hidden layer {depth} this share reaches layer 1: "
            f"{by_activation(values, 2)}."
        )
    if min(ds.sizes["activation"], len(weakest)) > 1 and len(set(weakest.values())) == 1:
        sentences.append(
            f"{name(next(iter(weakest.values())))} loses the most under {listed(weakest)} alike."
        )
    return sentences


def _one_of_each_family(ds: xr.Dataset) -> list[str]:
    """One initializer each of torch's default, Xavier's and He's; uniform and normal agree."""
    keys = [str(key) for key in ds["initializer"].to_numpy()]
    return list({key.split("_")[0]: key for key in reversed(keys)}.values())[::-1]
