"""Searching a space: the number that rules out most for its work comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench import devices, environment
from actbench.checkpoints import Checkpoint, Folder, compute_now
from actbench.parallel import side_by_side
from actbench.recover.chance import Chance, Group, estimate, share_matching
from actbench.recover.gradients import Gradients
from actbench.recover.numbers import Printed
from actbench.recover.schema import GradientSearch, Search
from actbench.recover.space import Draw, Plan
from actbench.recover.trainings import Trainings

# Drawings per part: enough to fill a stack, few enough to lose little when interrupted.
_CHUNK_DRAWINGS = {"gradient_ratio": 48, "final_loss": 16}
_SAMPLING_SEED = 0
_TIMED_PARTS = 3
_KEPT_PER_CHUNK = 500


class Evaluator(Protocol):
    """Computes numbers of networks."""

    def values(
        self, activation: str, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return one value per draw and reading, NaN at will where none is needed."""


@dataclass(frozen=True)
class Sifted:
    """What was left of some drawings.

    Args:
        outer: Places of the protocols that are left, among the drawings, shape ``(found,)``.
        reading: Their places among the readings, shape ``(found,)``.
        values: Their numbers, shape ``(found, number)``.
        matched: How many were left; those farthest from the numbers are not kept when many are.
        evaluated: Protocols whose value was looked at, by number.
        networks: Networks that were evaluated for it, by number.
        nearest: Outer, reading and value nearest to each number, shape ``(number, 3)``.
    """

    outer: NDArray[np.int32]
    reading: NDArray[np.int32]
    values: NDArray[np.float64]
    matched: int
    evaluated: NDArray[np.int32]
    networks: NDArray[np.int32]
    nearest: NDArray[np.float64]


@dataclass(frozen=True)
class Searched:
    """The outcome of a search.

    Args:
        plan: What was searched.
        order: Places of the numbers, in the order in which they were evaluated.
        sifted: What was left of the whole space.
        chance: What chance alone would leave.
        reused: How many parts an interrupted search had left.
    """

    plan: Plan
    order: tuple[int, ...]
    sifted: Sifted
    chance: Chance
    reused: int = 0


def evaluator(plan: Plan, report: Callable[[int], None] = lambda done: None) -> Evaluator:
    """Return what computes a plan's numbers.

    Args:
        plan: The plan.
        report: Called now and then with 0, so that an interruption is noticed.

    Returns:
        The evaluator; it remembers the streams that it walked.
    """
    gradients = isinstance(plan.search, GradientSearch)
    return Gradients(plan, report) if gradients else Trainings(plan, report)


def printed_numbers(search: Search) -> list[Printed]:
    """Return the numbers of a search with their digits, in the file's order."""
    return [number.printed for number in search.number]


def table(
    plan: Plan, which: Evaluator, number: int, outers: Sequence[int], needed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], int]:
    """Evaluate one number of some drawings, each different network once.

    Args:
        plan: The plan.
        which: Computes it.
        number: Place of the number.
        outers: Places of the drawings.
        needed: Which readings are wanted, shape ``(drawing, reading)``.

    Returns:
        Values of shape ``(drawing, reading)``, NaN where not needed and infinite where there is
        none; and how many networks they took.
    """
    values = np.full(needed.shape, np.nan)
    rows = np.flatnonzero(needed.any(axis=1)).tolist()
    if not rows:
        return values, 0
    draws: dict[Draw, int] = {}
    index = [draws.setdefault(plan.outers[outers[row]].draws[number], len(draws)) for row in rows]
    wanted = np.zeros((len(draws), needed.shape[1]), dtype=bool)
    np.logical_or.at(wanted, index, needed[rows])
    activation = plan.search.number[number].activation
    found = which.values(activation, list(draws), wanted)[index]
    values[rows] = np.where(needed[rows], np.nan_to_num(found, nan=np.inf, posinf=np.inf), np.nan)
    return values, len(draws)


def sift(
    plan: Plan,
    outers: Sequence[int],
    order: Sequence[int],
    which: Evaluator,
    *,
    prune: bool = True,
) -> Sifted:
    """Evaluate some drawings number by number, dropping protocols that miss too many.

    Args:
        plan: The plan.
        outers: Places of the drawings.
        order: Places of the numbers, the first to be evaluated first.
        which: Computes them.
        prune: Whether a protocol is dropped as soon as it can't be reported any more; the result
            is the same without.

    Returns:
        What is left.
    """
    printed = printed_numbers(plan.search)
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
    return Sifted(
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

    Args:
        values: Shape ``(protocol, number)``.
        printed: The numbers.

    Returns:
        Places, the best first; what is alike keeps its order.
    """
    columns = list(zip(values.T, printed, strict=True))
    matching = sum((p.matches(v).astype(int) for v, p in columns), np.zeros(len(values), dtype=int))
    digits = sum((p.agreed(v).astype(int) for v, p in columns), np.zeros(len(values), dtype=int))
    distance = np.zeros(len(values))
    for column, number in columns:
        distance += np.abs(column / number.value - 1)
    # Which of two equal readings wins must not hang on the rounding of its sum.
    coarse = np.array([float(f"{value:.3g}") for value in distance])
    return np.lexsort((coarse, -digits, -matching))


def merge(parts: Sequence[Sifted], printed: Sequence[Printed]) -> Sifted:
    """Put together what is left of several parts of a space.

    Args:
        parts: At least one.
        printed: The numbers.

    Returns:
        The whole, best first.
    """
    values = np.concatenate([part.values for part in parts])
    best = ranking(values, printed)
    nearest = np.stack([part.nearest for part in parts])  # (part, number, 3)
    distance = np.abs(nearest[:, :, 2] - [number.value for number in printed])
    chosen = distance.argmin(axis=0)
    return Sifted(
        outer=np.concatenate([part.outer for part in parts])[best],
        reading=np.concatenate([part.reading for part in parts])[best],
        values=values[best],
        matched=sum(part.matched for part in parts),
        evaluated=np.sum([part.evaluated for part in parts], axis=0),
        networks=np.sum([part.networks for part in parts], axis=0),
        nearest=nearest[chosen, np.arange(len(printed))],
    )


def chunks(plan: Plan, count: int) -> list[range]:
    """Cut a number of drawings into parts that lie side by side."""
    size = _CHUNK_DRAWINGS[plan.search.quantity]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


@dataclass(frozen=True)
class _Sample:
    """Drawings to be evaluated for every number, and which of their readings."""

    outers: list[int]
    needed: NDArray[np.bool_]


def choose_sample(plan: Plan) -> _Sample:
    """Choose the protocols that say how the space's values are spread.

    Args:
        plan: The plan.

    Returns:
        Some drawings of each setting with all their readings where these come together; else
        some protocols of the whole space.
    """
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
    """Order the numbers by the work that it takes to rule out one protocol.

    Args:
        plan: The plan.
        values: Of the sample, shape ``(number, drawing, reading)``.
        printed: The numbers.

    Returns:
        Places of the numbers, the cheapest first. A gradient costs the layers that its stream
        draws to get there, a training the same for every number.
    """

    def price(number: int) -> float:
        seen = values[number][~np.isnan(values[number])]
        passing = min(share_matching(seen, printed[number]), 0.999)
        return _work(plan, number) / (1 - passing)

    return tuple(sorted(range(len(printed)), key=price))


def _work(plan: Plan, number: int) -> float:
    if not isinstance(plan.search, GradientSearch):
        return 1.0
    return float(np.mean([outer.draws[number].layers_drawn for outer in plan.outers]))


def steps(plan: Plan) -> int:
    """Return how many steps of progress ``run`` reports: drawings.

    Args:
        plan: The plan.

    Returns:
        Those of the sample and those of the space.
    """
    return len(choose_sample(plan).outers) + len(plan.outers)


def run(
    plan: Plan,
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
    parts_beside: Path | None = None,
    *,
    prune: bool = True,
) -> Searched:
    """Search a whole space.

    Args:
        plan: The space.
        progress: Called with the number of drawings done since the last call, from one thread at
            a time.
        threads: Parts that are searched side by side; ``None`` takes the physical cores.
        parts_beside: A file beside which finished parts are kept, so that an interrupted search
            goes on; ``None`` keeps none.
        prune: As for ``sift``.

    Returns:
        What was found.

    Raises:
        ActbenchError: The folder of the parts can't be written.
    """
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
        jobs = [
            partial(_chunk, plan, part, order, keep, prune)
            for part in chunks(plan, len(plan.outers))
        ]
        sifted = side_by_side(jobs, progress, workers)
    if isinstance(keep, Folder):
        keep.discard()
    return Searched(
        plan=plan,
        order=order,
        sifted=merge(sifted, printed),
        chance=_chance(plan, sample, values, printed),
        reused=keep.reused if isinstance(keep, Folder) else 0,
    )


def _sampled(
    plan: Plan,
    sample: _Sample,
    keep: Checkpoint,
    progress: Callable[[int], None],
    workers: int,
) -> NDArray[np.float64]:
    def job(part: range, report: Callable[[int], None]) -> xr.Dataset:
        def compute() -> xr.Dataset:
            which = evaluator(plan, report)
            rows = [sample.outers[place] for place in part]
            needed = sample.needed[part.start : part.stop]
            numbers = range(len(plan.search.number))
            values = np.stack([table(plan, which, n, rows, needed)[0] for n in numbers])
            report(len(part))
            return xr.Dataset({"values": (("number", "drawing", "reading"), values)})

        return keep(f"sample {part}", len(part), compute)

    parts = side_by_side(
        [partial(job, part) for part in chunks(plan, len(sample.outers))], progress, workers
    )
    return np.concatenate([part["values"].to_numpy() for part in parts], axis=1)


def _chunk(
    plan: Plan,
    part: range,
    order: Sequence[int],
    keep: Checkpoint,
    prune: bool,
    report: Callable[[int], None],
) -> Sifted:
    def compute() -> xr.Dataset:
        found = sift(plan, part, order, evaluator(plan, report), prune=prune)
        report(len(part))
        return xr.Dataset({name: (dims, getattr(found, name)) for name, dims in _DIMS.items()})

    kept = keep(f"{part} {order}", len(part), compute)
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


def _chance(
    plan: Plan, sample: _Sample, values: NDArray[np.float64], printed: Sequence[Printed]
) -> Chance:
    rows = {outer: row for row, outer in enumerate(sample.outers)}
    groups = []
    for places in _by_settings(plan).values():
        here = [rows[place] for place in places if place in rows]
        groups.append(Group(len(places), values[:, here]))
    return estimate(groups, printed, len(plan.readings), plan.search.misses)


def estimated_seconds(plan: Plan) -> float:
    """Estimate how long one thread would search, from a small part of the space.

    Args:
        plan: The space.

    Returns:
        Seconds; what is pruned is guessed from the part.
    """
    needed = np.zeros((1, len(plan.readings)), dtype=bool)
    needed[0, 0] = True
    table(plan, evaluator(plan), 0, [0], needed)  # the first use of torch loads modules for seconds
    start = time.perf_counter()
    if isinstance(plan.search, GradientSearch):
        parts = chunks(plan, len(plan.outers))
        some = parts[:: max(1, len(parts) // _TIMED_PARTS)]
        for part in some:
            sift(plan, part, range(len(plan.search.number)), evaluator(plan))
        per_drawing = (time.perf_counter() - start) / sum(len(part) for part in some)
        return per_drawing * steps(plan)
    few = range(min(8, len(plan.outers)))
    table(plan, evaluator(plan), 0, few, np.repeat(needed, len(few), axis=0))
    per_training = (time.perf_counter() - start) / len(few)
    different = len({outer.draws[0] for outer in plan.outers})
    readings = len(plan.readings) // len(plan.search.axes["read"])
    trained = different * readings * (1 + plan.search.misses)
    return per_training * (trained + plan.search.sample * len(plan.search.number))
