"""What was found in the experiment ``stability``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import by_activation, listed, name, number
from actbench.store.terminal import plural

if TYPE_CHECKING:
    import xarray as xr

_OUTCOMES = ("converged", "stuck", "unstable", "diverged")
_STUDY_RATE = 1e-3
_BLOWN_UP = 100.0  # times the larger of the first loss and the best constant's error
_HOW = {0: "without skip connections", 1: "with skip connections"}


def findings(ds: xr.Dataset) -> list[str]:
    """Say how training ends over the grid, where it still converges, and what skips change."""
    return [*_ends(ds), *_borders(ds), *_skips(ds), *_study_rate(ds), *_rises(ds)]


def _ends(ds: xr.Dataset) -> list[str]:
    outcome = ds["outcome"].to_numpy().astype(str)
    shares = [f"{100 * np.mean(outcome == end):.0f} % {end}" for end in _OUTCOMES]
    return [
        f"Of {outcome.size} trainings over {ds.sizes['epoch']} epochs, "
        f"{plural(ds.sizes['seed'], 'seed')} in each cell of the grid, {listed(shares)}. Stuck "
        "means no better than the best constant within these epochs; a longer training may get "
        "away from it."
    ]


def _borders(ds: xr.Dataset) -> list[str]:
    depths = sorted({int(ds["depth"].min()), int(ds["depth"].max())})
    return [
        f"{_HOW[int(how)].capitalize()}, the border of stability, the largest learning rate at "
        "which most seeds converge, is "
        f"{'; '.join(_borders_at(ds.sel(skip=how), depth) for depth in depths)}."
        for how in ds["skip"].to_numpy()
    ]


def _borders_at(ds: xr.Dataset, depth: int) -> str:
    most = (ds["outcome"].sel(depth=depth) == "converged").mean("seed") > 0.5
    borders = (most * ds["learning_rate"]).max("learning_rate").to_series().to_dict()
    some = {key: rate for key, rate in borders.items() if rate > 0}
    none = [name(key) for key in borders if key not in some]
    parts = [by_activation(some)] if some else []
    if none:
        parts.append(f"none for {listed(none) if some else 'any activation'}")
    return f"at {plural(depth, 'hidden layer')} {', '.join(parts)}"


def _skips(ds: xr.Dataset) -> list[str]:
    if ds.sizes["skip"] < 2:
        return []
    depth = int(ds["depth"].max())
    share = 100 * (ds["outcome"].sel(depth=depth) == "converged").mean(("learning_rate", "seed"))
    plain, skipped = (share.sel(skip=how).to_series().to_dict() for how in (0, 1))
    gained = {key: skipped[key] for key in plain if skipped[key] > plain[key]}
    rest = [name(key) for key in plain if key not in gained]
    if not gained:
        return [f"At depth {depth} skip connections help no activation over the learning rates."]
    moves = listed(f"{name(k)} from {plain[k]:.0f} to {gained[k]:.0f} %" for k in gained)
    without = f"; not for {listed(rest)}" if rest else ""
    return [
        f"At depth {depth} skip connections raise the share of all learning rates and seeds that "
        f"converge: {moves}{without}."
    ]


def _study_rate(ds: xr.Dataset) -> list[str]:
    rates = ds["learning_rate"].to_numpy()
    if not np.isclose(rates, _STUDY_RATE).any():
        return []
    at_rate = ds["outcome"].sel(learning_rate=_STUDY_RATE, method="nearest")
    deepest = ((at_rate == "converged").all("seed") * ds["depth"]).max("depth")
    sentences = [
        f"{_HOW[int(how)]} {by_activation(deepest.sel(skip=how).to_series().to_dict())}"
        for how in ds["skip"].to_numpy()
    ]
    return [
        f"At the study's learning rate, {number(_STUDY_RATE)}, the deepest networks of which "
        f"every seed converges have this many hidden layers (0: none): {'; '.join(sentences)}."
    ]


def _rises(ds: xr.Dataset) -> list[str]:
    converged = ds["outcome"].to_numpy().astype(str) == "converged"
    risen = converged & (ds["loss_peak"].to_numpy() > _BLOWN_UP)
    if not risen.any():
        return []
    return [
        f"Of {plural(int(converged.sum()), 'training')} that converged, {int(risen.sum())} had "
        f"seen their loss rise to more than {_BLOWN_UP:g} times the start: near the border Adam's "
        "first steps throw a network far away, and it learns anew from there."
    ]
