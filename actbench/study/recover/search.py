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
from actbench.study.recover.numbers import Chance, Group, Printed, estimate, share_matching
from actbench.study.recover.schema import GradientSearch, TrainingSearch
from actbench.study.recover.scrutiny import Part, parts_of, scrutinize
from actbench.study.recover.sifting import Sifted, evaluator, merge, printed_numbers, sift, table
from actbench.study.recover.space import Plan

_SAMPLING_SEED = 0


@dataclass(frozen=True)
class Sample:
    """Drawings to be evaluated for every number, and which of their readings."""

    outers: list[int]
    needed: NDArray[np.bool_]


def choose_sample(plan: Plan) -> Sample:
    """Choose the protocols that say how the space's values are spread."""
    generator = np.random.default_rng(_SAMPLING_SEED)
    wanted = plan.search.sample
    if isinstance(plan.search, GradientSearch):
        chosen: list[int] = []
        for places in _by_settings(plan).values():
            count = min(wanted, len(places))
            chosen += generator.choice(places, count, replace=False).tolist()
        return Sample(sorted(chosen), np.ones((len(chosen), len(plan.readings)), dtype=bool))
    flat = np.sort(generator.choice(plan.size, min(wanted, plan.size), replace=False))
    rows, readings = np.divmod(flat, len(plan.readings))
    outers = sorted(set(rows.tolist()))
    needed = np.zeros((len(outers), len(plan.readings)), dtype=bool)
    needed[np.searchsorted(outers, rows), readings] = True
    return Sample(outers, needed)


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


def chance_matches(
    plan: Plan, sample: Sample, values: NDArray[np.float64], printed: Sequence[Printed]
) -> Chance:
    """Estimate from a sample how many protocols of a plan match by chance."""
    rows = {outer: row for row, outer in enumerate(sample.outers)}
    groups = []
    for places in _by_settings(plan).values():
        here = [rows[place] for place in places if place in rows]
        groups.append(Group(len(places), values[:, here]))
    return estimate(groups, printed, len(plan.readings), plan.search.misses)


# Drawings per part: enough to fill a stack, few enough to lose little when interrupted.
_CHUNK_DRAWINGS = {"gradient_ratio": 48, "final_loss": 16}
_TIMED_PARTS = 5


@dataclass(frozen=True)
class Searched:
    """The outcome of a search."""

    plan: Plan  # what was searched
    order: tuple[int, ...]  # places of the numbers, in the order in which they were evaluated
    sifted: Sifted  # what was left of the whole space
    chance: Chance  # what chance alone would leave
    reused: int = 0  # how many parts an interrupted search had left
    parts: tuple[Part, ...] = ()  # of the best protocol of a training, how much its numbers say


def chunks(plan: Plan, count: int) -> list[range]:
    """Cut a number of drawings into parts that lie side by side."""
    size = _CHUNK_DRAWINGS[plan.search.quantity]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def steps(plan: Plan) -> int:
    """Return how many steps of progress ``run`` reports: drawings."""
    asked = len(parts_of(plan.search)) if isinstance(plan.search, TrainingSearch) else 0
    return len(choose_sample(plan).outers) + len(plan.outers) + asked


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
        sample = choose_sample(plan)
        values = _sampled(plan, sample, keep, progress, workers)
        printed = printed_numbers(plan.search)
        order = best_order(plan, values, printed)
        parts = {
            f"{part} {order}": (len(part), partial(_chunk, plan, part, order, prune))
            for part in chunks(plan, len(plan.outers))
        }
        sifted = merge([_sifted(p) for p in gather(keep, parts, progress, workers)], printed)
        scrutiny = _scrutinized(plan, sifted, progress, workers)
    if isinstance(keep, Folder):
        keep.discard()
    return Searched(
        plan=plan,
        order=order,
        sifted=sifted,
        chance=chance_matches(plan, sample, values, printed),
        reused=keep.reused if isinstance(keep, Folder) else 0,
        parts=tuple(scrutiny),
    )


def _scrutinized(plan: Plan, sifted: Sifted, progress: Progress, workers: int) -> list[Part]:
    if not isinstance(plan.search, TrainingSearch):
        return []
    if not len(sifted.outer):
        progress(len(parts_of(plan.search)))
        return []
    best = plan.protocol(int(sifted.outer[0]), int(sifted.reading[0]))
    return scrutinize(plan, best, progress, workers)


def _sampled(
    plan: Plan,
    sample: Sample,
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
        for part in chunks(plan, len(sample.outers))
    }
    found = gather(keep, parts, progress, workers)
    return np.concatenate([part["values"].to_numpy() for part in found], axis=1)


def _chunk(
    plan: Plan, part: range, order: Sequence[int], prune: bool, report: Progress
) -> xr.Dataset:
    found = sift(plan, part, order, evaluator(plan, report), prune=prune)
    report(len(part))
    return xr.Dataset({name: (dims, getattr(found, name)) for name, dims in _DIMS.items()})


def _sifted(kept: xr.Dataset) -> Sifted:
    arrays: dict[str, Any] = {name: kept[name].to_numpy() for name in _DIMS}
    return Sifted(**{**arrays, "matched": int(arrays["matched"])})


_DIMS: dict[str, tuple[str, ...]] = {
    "outer": ("found",),
    "reading": ("found",),
    "values": ("found", "number"),
    "matched": (),
    "evaluated": ("number",),
    "networks": ("number",),
    "nearest": ("number", "place"),
}


def estimated_seconds(plan: Plan) -> float:
    """Estimate how long one thread would search, from a small part of the space."""
    needed = np.zeros((1, len(plan.readings)), dtype=bool)
    needed[0, 0] = True
    table(plan, evaluator(plan), 0, [0], needed)  # the first use of torch loads modules for seconds
    start = time.perf_counter()
    if isinstance(plan.search, GradientSearch):
        # A drawing of the sample gives every number, one of the space what pruning leaves.
        per_drawing = [_seconds_per_drawing(plan, prune=prune) for prune in (False, True)]
        return per_drawing[0] * len(choose_sample(plan).outers) + per_drawing[1] * len(plan.outers)
    few = range(min(8, len(plan.outers)))
    table(plan, evaluator(plan), 0, few, np.repeat(needed, len(few), axis=0))
    per_training = (time.perf_counter() - start) / len(few)
    different = len({outer.draws[0] for outer in plan.outers})
    readings = len(plan.readings) // len(plan.search.axes["read"])
    trained = different * readings * (1 + plan.search.misses)
    return per_training * (trained + plan.search.sample * len(plan.search.number))


def _seconds_per_drawing(plan: Plan, *, prune: bool) -> float:
    parts = chunks(plan, len(plan.outers))
    some = parts[:: max(1, len(parts) // _TIMED_PARTS)]
    start = time.perf_counter()
    for part in some:
        sift(plan, part, range(len(plan.search.number)), evaluator(plan), prune=prune)
    return (time.perf_counter() - start) / sum(len(part) for part in some)
