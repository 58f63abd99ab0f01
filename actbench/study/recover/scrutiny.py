"""What a protocol that was found rests on: other seeds, and the rounding of its own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import Field

from actbench.store.parallel import Progress, side_by_side
from actbench.study.nets.training import Schedule
from actbench.study.recover.evaluators import Trainings
from actbench.study.recover.numbers import Stored, joint_share
from actbench.study.recover.schema import Search, TrainingSearch
from actbench.study.recover.space import Plan, lay_out
from actbench.study.recover.streams import Beginning, Drawn, Streams

_OTHERS = 40
_FIRST_OTHER = 1000  # seeds that no search is likely to list
MOVED = 80
"""Runs from initial weights that differ in their last place."""


class Part(Stored):
    """Numbers that one network gives, and how much they say."""

    numbers: list[int]  # their places in the search
    chance: float  # share of other seeds that would give all of them under the same settings
    others: int  # how many other seeds it is estimated from
    # By the choices of `read`, the smallest and the largest value that a loss took from initial
    # weights moved by one unit in the last place; empty for gradients, which leave rounding no time
    # to grow.
    rounding: dict[str, tuple[float, float]] = Field(default_factory=dict)


def parts_of(search: Search) -> list[list[int]]:
    """Group the places of a search's numbers: the gradients of an activation, and each loss."""
    parts: dict[object, list[int]] = {}
    for place, number in enumerate(search.number):
        parts.setdefault(place if number.layer is None else number.activation, []).append(place)
    return list(parts.values())


def scrutinize(
    plan: Plan, protocol: dict[str, Any], progress: Progress, workers: int
) -> list[Part]:
    """Ask of a protocol of a training how easily it gives its numbers."""
    axes: dict[str, tuple[object, ...]] = {axis: (choice,) for axis, choice in protocol.items()}
    here = _narrowed(plan, axes)
    seeds = tuple(range(_FIRST_OTHER, _FIRST_OTHER + _OTHERS))
    there = _narrowed(plan, {**axes, "seed": seeds})
    jobs = [partial(_part, plan, here, there, places) for places in parts_of(plan.search)]
    return side_by_side(jobs, progress, workers)


def _narrowed(plan: Plan, axes: dict[str, tuple[object, ...]]) -> Plan:
    space = plan.search.space.model_copy(update=axes)
    return lay_out(plan.search.model_copy(update={"space": space}))


def _part(plan: Plan, here: Plan, there: Plan, places: Sequence[int], report: Progress) -> Part:
    numbers = [here.search.number[place] for place in places]
    asked = any(number.digits != 0 for number in numbers)
    chance = _share_of_others(there, places, report) if asked else 1.0
    rounding = _rounding(plan, here, places[0], report) if numbers[0].layer is None else {}
    report(1)
    others = len(there.outers) if asked else 0
    return Part(numbers=list(places), chance=chance, others=others, rounding=rounding)


def _share_of_others(there: Plan, places: Sequence[int], report: Progress) -> float:
    numbers = [there.search.number[place] for place in places]
    asked = np.ones((len(there.outers), 1), dtype=bool)
    values = [
        Trainings(there, report).values(n, [outer.draws[p] for outer in there.outers], asked)
        for p, n in zip(places, numbers, strict=True)
    ]
    return joint_share(np.concatenate(values, axis=1), [n.printed for n in numbers])


def _rounding(
    plan: Plan, here: Plan, place: int, report: Progress
) -> dict[str, tuple[float, float]]:
    """Train from initial weights that differ in their last place, and see how far losses part."""
    search, number = here.search, plan.search.number[place]
    if not isinstance(search, TrainingSearch) or not isinstance(plan.search, TrainingSearch):
        raise TypeError("not a search for the protocol of a training")
    space, draw = search.space, here.outers[0].draws[place]
    drawn = Streams().network(draw)
    schedule = Schedule(
        epochs=space.epochs[0],
        learning_rate=space.learning_rate[0],
        weight_decay=space.weight_decay[0],
        dtype=space.dtype[0],
    )
    beginnings = [Beginning(_moved(drawn, seed), space.bias[0]) for seed in range(MOVED)]
    values = Trainings(plan, report).read(number, draw, beginnings, schedule, space.noise_seed[0])
    ends = zip(values.min(0).tolist(), values.max(0).tolist(), strict=True)
    return dict(zip(plan.search.space.read, ends, strict=True))


def _moved(drawn: Drawn, seed: int) -> Drawn:
    """Move every weight by one unit in its last place, up or down."""
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.nextafter(w, w + torch.randint(0, 2, w.shape, generator=generator) * 2 - 1)
        for w in drawn.weights
    ]
    return replace(drawn, weights=weights)
