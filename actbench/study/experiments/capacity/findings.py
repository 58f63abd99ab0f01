"""What was found in the experiment ``capacity``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.statistics import quantiles
from actbench.pages.wording import listed, name, number
from actbench.store.terminal import plural
from actbench.study.catalog.targets import TARGETS

if TYPE_CHECKING:
    import xarray as xr

_LEARNED = 0.01  # of the variance
_NOTHING = 0.95  # of the variance
_ON_THE_LINE = 0.001  # relative
_SMOOTHERS = ("smoothing_spline", "kernel_ridge")


def findings(ds: xr.Dataset) -> list[str]:
    """Say which networks learned which targets, what depth changes, what classical fits reach."""
    return [*_learned(ds), *_depths(ds), *_classical(ds), *_lines(ds), *_nothing(ds)]


def _keys(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(key) for key in ds[dim].to_numpy()]


def _target(key: str) -> str:
    return TARGETS[key].name.lower() if key in TARGETS else key


def _shape(ds: xr.Dataset, depth: int) -> str:
    return f"{depth} x {int(ds['width'].sel(depth=depth))}"


def _error(ds: xr.Dataset, activation: str, target: str, depth: int) -> float:
    """Median error against the clean target over its variance; diverged seeds are infinite."""
    errors = ds["final_mse_clean"].sel(activation=activation, target=target, depth=depth)
    return quantiles(errors.to_numpy())[1] / _variance(ds, target)


def _variance(ds: xr.Dataset, target: str) -> float:
    return float(ds["target_clean"].sel(target=target).var())


def _reference(ds: xr.Dataset, target: str) -> float:
    errors = ds["reference_mse_clean"].sel(target=target, reference=list(_SMOOTHERS))
    return float(errors.min()) / _variance(ds, target)


def _learned(ds: xr.Dataset) -> list[str]:
    targets, sentences = _keys(ds, "target"), []
    for depth in ds["depth"].to_numpy().tolist():
        count = {
            key: sum(_error(ds, key, target, depth) < _LEARNED for target in targets)
            for key in _keys(ds, "activation")
        }
        counts = listed(f"{name(key)} {number(n)}" for key, n in count.items())
        sentences.append(f"{_shape(ds, depth)}: {counts}")
    return [
        f"Of {plural(len(targets), 'target')} each activation learned this many to a median error "
        f"(over {plural(ds.sizes['seed'], 'seed')}, without noise) below {_LEARNED:.0%} of the "
        f"variance, {'; '.join(sentences)}."
    ]


def _depths(ds: xr.Dataset) -> list[str]:
    depths = sorted(ds["depth"].to_numpy().tolist())
    if len(depths) < 2:
        return []
    shallow, deep = depths[0], depths[-1]
    keys = [key for key in _keys(ds, "activation") if key != "linear"]
    if not keys:
        return []
    wins = {
        target: sum(_error(ds, k, target, deep) < _error(ds, k, target, shallow) for k in keys)
        for target in _keys(ds, "target")
    }
    counts = listed(f"{_target(target)} {number(n)}" for target, n in wins.items())
    return [
        f"Of {plural(len(keys), 'nonlinear activation')} this many do better with {deep} hidden "
        f"layers than with {shallow} ({_parameters(ds, [shallow, deep])}): {counts}."
    ]


def _parameters(ds: xr.Dataset, depths: list[int]) -> str:
    counts = [int(ds["parameters"].sel(depth=depth)) for depth in depths]
    if len(set(counts)) == 1:
        return f"{counts[0]:,} parameters in both"
    return f"{counts[1]:,} and {counts[0]:,} parameters"


def _classical(ds: xr.Dataset) -> list[str]:
    cells = {
        target: [
            _error(ds, key, target, depth) < _reference(ds, target)
            for key in _keys(ds, "activation")
            for depth in ds["depth"].to_numpy().tolist()
        ]
        for target in _keys(ds, "target")
    }
    counts = listed(f"{_target(target)} {number(sum(found))}" for target, found in cells.items())
    total = len(next(iter(cells.values())))
    freedom = ds["kernel_ridge_freedom"].to_numpy()
    return [
        "The better of a smoothing spline and kernel ridge regression, fitted to the same points, "
        f"is beaten by this many of {plural(total, 'kind')} of network: {counts}.",
        f"Kernel ridge regression uses {freedom.min():.0f} to {freedom.max():.0f} effective "
        f"parameters for that; {int(ds['parameters'].max()):,} are far more than "
        f"{plural(ds.sizes['x'], 'point')} can fix, and what the networks do with the rest is "
        "Adam's choice.",
    ]


def _lines(ds: xr.Dataset) -> list[str]:
    if "linear" not in _keys(ds, "activation"):
        return []
    best = ds["reference_mse"].sel(reference="best_line")
    with np.errstate(all="ignore"):
        ratio = (ds["final_mse"].sel(activation="linear") / best).to_numpy()
        off = float(np.max(np.abs(ratio - 1)))
    if not off < _ON_THE_LINE:
        return []
    return [
        "Linear networks end on the best line of every target, whatever their depth: their loss "
        f"is off by {number(100 * off, 2)} % at most."
    ]


def _nothing(ds: xr.Dataset) -> list[str]:
    missed = [
        f"{name(key)} {_shape(ds, depth)} on {listed(on)}"
        for key in _keys(ds, "activation")
        if key != "linear"
        for depth in ds["depth"].to_numpy().tolist()
        if (
            on := [
                _target(t) for t in _keys(ds, "target") if not _error(ds, key, t, depth) < _NOTHING
            ]
        )
    ]
    if not missed:
        return []
    return [
        "That is what this training reaches, not what the networks could represent: no better "
        f"than a constant when it ends are {listed(missed)}."
    ]
