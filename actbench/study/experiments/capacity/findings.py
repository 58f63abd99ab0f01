"""What was found in the experiment ``capacity``."""

from __future__ import annotations

import itertools

import numpy as np
import xarray as xr

from actbench.claims.statistics import quantiles
from actbench.pages.wording import by_activation, listed, name, number
from actbench.store.terminal import plural
from actbench.study.catalog.targets import TARGETS

_LEARNED = 0.01  # of the variance
_NOTHING = 0.95  # of the variance
_ON_THE_LINE = 0.001  # relative
_SMOOTHERS = ("smoothing_spline", "kernel_ridge")


def findings(ds: xr.Dataset) -> list[str]:
    """Say which networks learned which targets, what depth changes, what classical fits reach."""
    variance = ds["target_clean"].var("x")
    errors = xr.apply_ufunc(
        lambda seeds: quantiles(seeds)[1],  # a seed that diverged is infinitely far
        ds["final_mse_clean"],
        input_core_dims=[["seed"]],
        vectorize=True,
    )
    shares = (errors / variance).transpose("activation", "target", "depth")
    fits = ds["reference_mse_clean"].sel(reference=list(_SMOOTHERS)).min("reference") / variance
    return [
        *_learned(ds, shares),
        *_depths(ds, shares),
        *_classical(ds, shares < fits),
        *_lines(ds),
        *_nothing(ds, shares),
    ]


def _target(key: str) -> str:
    return TARGETS[key].name.lower() if key in TARGETS else key


def _by_target(counts: xr.DataArray) -> str:
    return listed(f"{_target(key)} {number(n)}" for key, n in counts.to_series().items())


def _shape(ds: xr.Dataset, depth: int) -> str:
    return f"{depth} x {int(ds['width'].sel(depth=depth))}"


def _learned(ds: xr.Dataset, shares: xr.DataArray) -> list[str]:
    learned = (shares < _LEARNED).sum("target")
    sentences = [
        f"{_shape(ds, depth)}: {by_activation(learned.sel(depth=depth).to_series().to_dict())}"
        for depth in ds["depth"].to_numpy().tolist()
    ]
    return [
        f"Of {plural(ds.sizes['target'], 'target')} each activation learned this many to a median "
        f"error (over {plural(ds.sizes['seed'], 'seed')}, without noise) below {_LEARNED:.0%} of "
        f"the variance, {'; '.join(sentences)}."
    ]


def _depths(ds: xr.Dataset, shares: xr.DataArray) -> list[str]:
    depths = sorted(ds["depth"].to_numpy().tolist())
    keys = [key for key in ds["activation"].to_numpy() if key != "linear"]
    if len(depths) < 2 or not keys:
        return []
    shallow, deep = depths[0], depths[-1]
    nonlinear = shares.sel(activation=keys)
    wins = (nonlinear.sel(depth=deep) < nonlinear.sel(depth=shallow)).sum("activation")
    return [
        f"Of {plural(len(keys), 'nonlinear activation')} this many do better with {deep} hidden "
        f"layers than with {shallow} ({_parameters(ds, [shallow, deep])}): {_by_target(wins)}."
    ]


def _parameters(ds: xr.Dataset, depths: list[int]) -> str:
    counts = [int(ds["parameters"].sel(depth=depth)) for depth in depths]
    if len(set(counts)) == 1:
        return f"{counts[0]:,} parameters in both"
    return f"{counts[1]:,} and {counts[0]:,} parameters"


def _classical(ds: xr.Dataset, beaten: xr.DataArray) -> list[str]:
    kinds = ds.sizes["activation"] * ds.sizes["depth"]
    freedom = ds["kernel_ridge_freedom"].to_numpy()
    return [
        "The better of a smoothing spline and kernel ridge regression, fitted to the same points, "
        f"is beaten by this many of {plural(kinds, 'kind')} of network: "
        f"{_by_target(beaten.sum(('activation', 'depth')))}.",
        f"Kernel ridge regression uses {freedom.min():.0f} to {freedom.max():.0f} effective "
        f"parameters for that; {int(ds['parameters'].max()):,} are far more than "
        f"{plural(ds.sizes['x'], 'point')} can fix, and what the networks do with the rest is "
        "Adam's choice.",
    ]


def _lines(ds: xr.Dataset) -> list[str]:
    if "linear" not in ds["activation"]:
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


def _nothing(ds: xr.Dataset, shares: xr.DataArray) -> list[str]:
    missed, lost = [], ~(shares < _NOTHING)
    for key, depth in itertools.product(ds["activation"].to_numpy(), ds["depth"].to_numpy()):
        on = ds["target"][lost.sel(activation=key, depth=depth)].to_numpy()
        if key != "linear" and on.size:
            missed.append(f"{name(key)} {_shape(ds, depth)} on {listed(map(_target, on))}")
    if not missed:
        return []
    return [
        "That is what this training reaches, not what the networks could represent: no better "
        f"than a constant when it ends are {listed(missed)}."
    ]
