"""Evaluating a part of a space number by number, and dropping what misses too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actbench.study.recover.gradients import Gradients
from actbench.study.recover.numbers import Printed
from actbench.study.recover.schema import GradientSearch, Number, Search
from actbench.study.recover.space import Draw, Plan
from actbench.study.recover.trainings import Trainings

_KEPT_PER_CHUNK = 500


class Evaluator(Protocol):
    """Computes numbers of networks."""

    def values(
        self, number: Number, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return one value per draw and reading, NaN at will where none is needed."""


@dataclass(frozen=True)
class Sifted:
    """What was left of some drawings."""

    # places of the protocols that are left, among the drawings, shape `(found,)`
    outer: NDArray[np.int32]
    reading: NDArray[np.int32]  # their places among the readings, shape `(found,)`
    values: NDArray[np.float64]  # their numbers, shape `(found, number)`
    matched: int  # how many were left; those farthest from the numbers are not kept when many are
    evaluated: NDArray[np.int32]  # protocols whose value was looked at, by number
    networks: NDArray[np.int32]  # networks that were evaluated for it, by number
    # outer, reading and value nearest to each number, shape `(number, 3)`
    nearest: NDArray[np.float64]


def evaluator(plan: Plan, report: Callable[[int], None] = lambda done: None) -> Evaluator:
    """Return what computes a plan's numbers."""
    gradients = isinstance(plan.search, GradientSearch)
    return Gradients(plan, report) if gradients else Trainings(plan, report)


def printed_numbers(search: Search) -> list[Printed]:
    """Return the numbers of a search with their digits, in the file's order."""
    return [number.printed for number in search.number]


def table(
    plan: Plan, which: Evaluator, number: int, outers: Sequence[int], needed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], int]:
    """Evaluate one number of some drawings, each different network once."""
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


def sift(
    plan: Plan,
    outers: Sequence[int],
    order: Sequence[int],
    which: Evaluator,
    *,
    prune: bool = True,
) -> Sifted:
    """Evaluate some drawings number by number, dropping protocols that miss too many."""
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


def merge(parts: Sequence[Sifted], printed: Sequence[Printed]) -> Sifted:
    """Put together what is left of several parts of a space."""
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
