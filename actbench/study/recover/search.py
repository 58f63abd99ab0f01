"""Searching a space: a sample first, then the number that rules out most for its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench.store import environment
from actbench.store.checkpoints import Checkpoint, Folder, compute_now, gather
from actbench.store.parallel import Progress
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.recover.evaluators import Evaluator, evaluator
from actbench.study.recover.numbers import Chance, Group, Printed, estimate, share_matching
from actbench.study.recover.schema import GradientSearch, TrainingSearch
from actbench.study.recover.scrutiny import Part, parts_of, scrutinize
from actbench.study.recover.space import Draw, Plan

_KEPT_PER_CHUNK = 500
_SAMPLING_SEED = 0
# Drawings per part: enough to fill a stack, few enough to lose little when interrupted.
_CHUNK_DRAWINGS = {"gradient_ratio": 48, "final_loss": 16}
_TIMED_PARTS = 5
_DIMS: dict[str, tuple[str, ...]] = {
    "outer": ("found",),
    "reading": ("found",),
    "values": ("found", "number"),
    "matched": (),
    "evaluated": ("number",),
    "networks": ("number",),
    "nearest": ("number", "place"),
}


@dataclass(frozen=True)
class _Sifted:
    """What was left of some drawings; the shapes of its arrays are those of ``_DIMS``."""

    outer: NDArray[np.int32]  # places of the protocols that are left, among the drawings
    reading: NDArray[np.int32]  # their places among the readings
    values: NDArray[np.float64]
    matched: int  # how many were left; those farthest from the numbers are not kept when many are
    evaluated: NDArray[np.int32]  # protocols whose value was looked at
    networks: NDArray[np.int32]  # networks that were evaluated for it
    nearest: NDArray[np.float64]  # outer, reading and value nearest to each number


def table(
    plan: Plan, which: Evaluator, number: int, outers: Sequence[int], needed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], int]:
    """Evaluate one number of some drawings, each different network once.

    Returns values of shape ``(drawing, reading)``, NaN where not needed and infinite where there is
    none, and how many networks they took.
    """
    values = np.full(needed.shape, np.nan)
    rows = np.flatnonzero(needed.any(axis=1)).tolist()
    if not rows:
        return values, 0
    draws: dict[Draw, int] = {}
    index = [draws.setdefault(plan.outers[outers[row]].draws[number], len(draws)) for row in rows]
    wanted = np.zeros((len(draws), needed.shape[1]), dtype=bool)
    np.logical_or.at(wanted, index, needed[rows])
    found = which.values(plan.search.number[number], list(draws), wanted)[index]
    values[rows] = np.where(needed[rows], np.nan_to_num(found, nan=np.inf, posinf=np.inf), np.nan)
    return values, len(draws)


def _sift(
    plan: Plan,
    outers: Sequence[int],
    order: Sequence[int],
    which: Evaluator,
    *,
    prune: bool = True,
) -> _Sifted:
    """Evaluate some drawings number by number, dropping protocols that miss too many."""
    printed = plan.search.printed
    shape = (len(outers), len(plan.readings))
    misses = np.zeros(shape, dtype=np.int16)
    values = np.full((len(printed), *shape), np.nan)
    evaluated, networks = (np.zeros(len(printed), dtype=np.int32) for _ in range(2))
    nearest = np.full((len(printed), 3), np.inf)
    for number in order:
        alive = misses <= plan.search.misses if prune else np.ones(shape, dtype=bool)
        values[number], networks[number] = table(plan, which, number, outers, alive)
        evaluated[number] = alive.sum()
        if alive.any():
            nearest[number] = _nearest(values[number], printed[number], outers)
        misses += alive & ~printed[number].matches(values[number])
    rows, readings = np.nonzero(misses <= plan.search.misses)
    left = values[:, rows, readings].T  # (found, number)
    kept = ranking(left, printed)[:_KEPT_PER_CHUNK]
    return _Sifted(
        outer=np.array(outers, dtype=np.int32)[rows[kept]],
        reading=readings[kept].astype(np.int32),
        values=left[kept],
        matched=len(rows),
        evaluated=evaluated,
        networks=networks,
        nearest=nearest,
    )


def _nearest(
    values: NDArray[np.float64], printed: Printed, outers: Sequence[int]
) -> NDArray[np.float64]:
    distance = np.abs(np.nan_to_num(values, nan=np.inf) - printed.value)
    row, reading = np.unravel_index(int(distance.argmin()), values.shape)
    return np.array([outers[int(row)], reading, values[row, reading]])


def ranking(values: NDArray[np.float64], printed: Sequence[Printed]) -> NDArray[np.intp]:
    """Order protocols: most numbers that match, then most digits, then the smallest distance.

    Only digits that are asked count, and only the distance of numbers that do not match: what
    rounding decides must not choose between protocols.
    """
    columns = [(v, p) for v, p in zip(values.T, printed, strict=True) if p.required]
    matching = sum((p.matches(v).astype(int) for v, p in columns), np.zeros(len(values), dtype=int))
    digits = sum(
        (np.minimum(p.agreed(v), p.required).astype(int) for v, p in columns),
        np.zeros(len(values), dtype=int),
    )
    distance = np.zeros(len(values))
    for column, number in columns:
        distance += np.abs(column / number.value - 1) * ~number.matches(column)
    # Which of two equal readings wins must not hang on the rounding of its sum.
    coarse = np.array([float(f"{value:.3g}") for value in distance])
    return np.lexsort((coarse, -digits, -matching))


def _merge(parts: Sequence[_Sifted], printed: Sequence[Printed]) -> _Sifted:
    """Put together what is left of several parts of a space."""
    values = np.concatenate([part.values for part in parts])
    best = ranking(values, printed)
    nearest = np.stack([part.nearest for part in parts])  # (part, number, 3)
    distance = np.abs(nearest[:, :, 2] - [number.value for number in printed])
    chosen = distance.argmin(axis=0)
    return _Sifted(
        outer=np.concatenate([part.outer for part in parts])[best],
        reading=np.concatenate([part.reading for part in parts])[best],
        values=values[best],
        matched=sum(part.matched for part in parts),
        evaluated=np.sum([part.evaluated for part in parts], axis=0),
        networks=np.sum([part.networks for part in parts], axis=0),
        nearest=nearest[chosen, np.arange(len(printed))],
    )


@dataclass(frozen=True)
class _Sample:
    """Drawings to be evaluated for every number, and which of their readings."""

    outers: list[int]
    needed: NDArray[np.bool_]


def _choose_sample(plan: Plan) -> _Sample:
    """Choose the protocols that say how the space's values are spread."""
    generator = np.random.default_rng(_SAMPLING_SEED)
    wanted = plan.search.sample
    if isinstance(plan.search, GradientSearch):
        chosen: list[int] = []
        for places in _by_settings(plan).values():
            count = min(wanted, len(places))
            chosen += generator.choice(places, count, replace=False).tolist()
        return _Sample(sorted(chosen), np.ones((len(chosen), len(plan.readings)), dtype=bool))
    flat = np.sort(generator.choice(plan.size, min(wanted, plan.size), replace=False))
    rows, readings = np.divmod(flat, len(plan.readings))
    outers = sorted(set(rows.tolist()))
    needed = np.zeros((len(outers), len(plan.readings)), dtype=bool)
    needed[np.searchsorted(outers, rows), readings] = True
    return _Sample(outers, needed)


def _by_settings(plan: Plan) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for place, outer in enumerate(plan.outers):
        groups.setdefault(outer.settings, []).append(place)
    return groups


def best_order(
    plan: Plan, values: NDArray[np.float64], printed: Sequence[Printed]
) -> tuple[int, ...]:
    """Order the numbers by the work that it takes to rule out one protocol."""

    def price(number: int) -> float:
        seen = values[number][~np.isnan(values[number])]
        passing = min(share_matching(seen, printed[number]), 0.999)
        return _work(plan, number) / (1 - passing)

    return tuple(sorted(range(len(printed)), key=price))


def _work(plan: Plan, number: int) -> float:
    if not isinstance(plan.search, GradientSearch):
        updates = plan.search.number[number].updates
        return 1.0 + (max(plan.search.space.epochs) if updates is None else updates)
    return float(np.mean([outer.draws[number].layers_drawn for outer in plan.outers]))


def _chance_matches(
    plan: Plan, sample: _Sample, values: NDArray[np.float64], printed: Sequence[Printed]
) -> Chance:
    """Estimate from a sample how many protocols of a plan match by chance."""
    rows = {outer: row for row, outer in enumerate(sample.outers)}
    groups = []
    for places in _by_settings(plan).values():
        here = [rows[place] for place in places if place in rows]
        groups.append(Group(len(places), values[:, here]))
    return estimate(groups, printed, len(plan.readings), plan.search.misses)


@dataclass(frozen=True)
class Searched:
    """The outcome of a search."""

    plan: Plan
    order: tuple[int, ...]  # places of the numbers, in the order in which they were evaluated
    sifted: _Sifted  # what was left of the whole space
    chance: Chance
    reused: int = 0  # how many parts an interrupted search had left
    parts: tuple[Part, ...] = ()  # of the best protocol of a training, how much its numbers say


def _chunks(plan: Plan, count: int) -> list[range]:
    """Cut a number of drawings into parts that lie side by side."""
    size = _CHUNK_DRAWINGS[plan.search.quantity]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def steps(plan: Plan) -> int:
    """Return how many steps of progress ``run`` reports: drawings."""
    asked = len(parts_of(plan.search)) if isinstance(plan.search, TrainingSearch) else 0
    return len(_choose_sample(plan).outers) + len(plan.outers) + asked


@pinned_state()
def run(
    plan: Plan,
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
    parts_beside: Path | None = None,
    *,
    prune: bool = True,
) -> Searched:
    """Search a whole space."""
    keep: Checkpoint = compute_now
    if parts_beside is not None:
        protocol = plan.search.model_dump(mode="json")
        here = environment.describe("cpu", 1)
        keep = Folder(parts_beside, "recover", protocol, here, progress)
    with devices.using_threads(threads) as workers:
        sample = _choose_sample(plan)
        values = _sampled(plan, sample, keep, progress, workers)
        printed = plan.search.printed
        order = best_order(plan, values, printed)
        parts = {
            f"{part} {order}": (len(part), partial(_chunk, plan, part, order, prune))
            for part in _chunks(plan, len(plan.outers))
        }
        sifted = _merge([_sifted(p) for p in gather(keep, parts, progress, workers)], printed)
        scrutiny = _scrutinized(plan, sifted, progress, workers)
    if isinstance(keep, Folder):
        keep.discard()
    return Searched(
        plan=plan,
        order=order,
        sifted=sifted,
        chance=_chance_matches(plan, sample, values, printed),
        reused=keep.reused if isinstance(keep, Folder) else 0,
        parts=tuple(scrutiny),
    )


def _scrutinized(plan: Plan, sifted: _Sifted, progress: Progress, workers: int) -> list[Part]:
    if not isinstance(plan.search, TrainingSearch):
        return []
    if not len(sifted.outer):
        progress(len(parts_of(plan.search)))
        return []
    best = plan.protocol(int(sifted.outer[0]), int(sifted.reading[0]))
    return scrutinize(plan, best, progress, workers)


def _sampled(
    plan: Plan,
    sample: _Sample,
    keep: Checkpoint,
    progress: Progress,
    workers: int,
) -> NDArray[np.float64]:
    def compute(part: range, report: Progress) -> xr.Dataset:
        which = evaluator(plan, report)
        rows = [sample.outers[place] for place in part]
        needed = sample.needed[part.start : part.stop]
        numbers = range(len(plan.search.number))
        values = np.stack([table(plan, which, n, rows, needed)[0] for n in numbers])
        report(len(part))
        return xr.Dataset({"values": (("number", "drawing", "reading"), values)})

    parts = {
        f"sample {part}": (len(part), partial(compute, part))
        for part in _chunks(plan, len(sample.outers))
    }
    found = gather(keep, parts, progress, workers)
    return np.concatenate([part["values"].to_numpy() for part in found], axis=1)


def _chunk(
    plan: Plan, part: range, order: Sequence[int], prune: bool, report: Progress
) -> xr.Dataset:
    found = _sift(plan, part, order, evaluator(plan, report), prune=prune)
    report(len(part))
    return xr.Dataset({name: (dims, getattr(found, name)) for name, dims in _DIMS.items()})


def _sifted(kept: xr.Dataset) -> _Sifted:
    arrays: dict[str, Any] = {name: kept[name].to_numpy() for name in _DIMS}
    return _Sifted(**{**arrays, "matched": int(arrays["matched"])})


def estimated_seconds(plan: Plan) -> float:
    """Estimate how long one thread would search, from a small part of the space."""
    needed = np.zeros((1, len(plan.readings)), dtype=bool)
    needed[0, 0] = True
    table(plan, evaluator(plan), 0, [0], needed)  # the first use of torch loads modules for seconds
    start = time.perf_counter()
    if isinstance(plan.search, GradientSearch):
        # A drawing of the sample gives every number, one of the space what pruning leaves.
        per_drawing = [_seconds_per_drawing(plan, prune=prune) for prune in (False, True)]
        return per_drawing[0] * len(_choose_sample(plan).outers) + per_drawing[1] * len(plan.outers)
    few = range(min(8, len(plan.outers)))
    table(plan, evaluator(plan), 0, few, np.repeat(needed, len(few), axis=0))
    per_training = (time.perf_counter() - start) / len(few)
    different = len({outer.draws[0] for outer in plan.outers})
    readings = len(plan.readings) // len(plan.search.axes["read"])
    trained = different * readings * (1 + plan.search.misses)
    return per_training * (trained + plan.search.sample * len(plan.search.number))


def _seconds_per_drawing(plan: Plan, *, prune: bool) -> float:
    parts = _chunks(plan, len(plan.outers))
    some = parts[:: max(1, len(parts) // _TIMED_PARTS)]
    start = time.perf_counter()
    for part in some:
        _sift(plan, part, range(len(plan.search.number)), evaluator(plan), prune=prune)
    return (time.perf_counter() - start) / sum(len(part) for part in some)
