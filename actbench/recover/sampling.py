"""A sample of a space: what it says of the order of the numbers, and of chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actbench.recover.chance import Chance, Group, estimate, share_matching
from actbench.recover.numbers import Printed
from actbench.recover.schema import GradientSearch
from actbench.recover.space import Plan

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
