"""What a search found, as it is stored: matches in classes, near misses, and chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from actbench.store import stored
from actbench.study.recover.numbers import Chance, Printed, Stored
from actbench.study.recover.scrutiny import Part
from actbench.study.recover.search import Searched
from actbench.study.recover.space import Plan, same_drawings

_SCHEMA_VERSION = 1
SHOWN = 10
"""At most so many sets of values are kept."""
_SAME = 1e-5  # relative; the same number computed in another order


class Found(Stored):
    """Protocols that give the same numbers."""

    protocol: dict[str, Any]  # one of them, axis to choice
    values: list[float | None]  # what it gives, by number; None where that is not finite
    digits: list[int]
    matches: list[bool]  # whether these are enough, by number
    same: int = 1  # how many protocols give these values
    # Axes on which they differ, with the choices that occur.
    undecided: dict[str, list[Any]] = Field(default_factory=dict)


class Nearest(Stored):
    """The protocol that came nearest to one number, whatever it gives for the others."""

    protocol: dict[str, Any]  # axis to choice
    value: float | None  # what it gives; None where nothing finite was found
    digits: int


class Result(Stored):
    """A search as it is stored."""

    schema_version: int  # of the file's shape
    search: dict[str, Any]  # the search file's content
    environment: dict[str, str | int]
    listed: int  # protocols in the space, as the product of its axes
    different: int  # those that draw different networks or read them differently
    order: list[int]  # places of the numbers in the order in which they were evaluated
    evaluated: list[int]  # protocols whose value was looked at, by number
    networks: list[int]  # networks that this took, by number
    matched: int  # protocols that give the numbers, but for the allowed misses
    classes: list[Found]  # the best of them, those that give the same numbers as one
    nearest: list[Nearest]  # by number, the protocol that came nearest to it
    chance: Chance
    # Of the first class, if it is of trainings, how much its numbers say.
    parts: list[Part] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_the_same_numbers(self) -> Result:
        lists: list[Sequence[object]] = [self.evaluated, self.nearest, self.chance.shares]
        lists += [each for found in self.classes for each in (found.values, found.digits)]
        lists += [found.matches for found in self.classes]
        numbers = self.search.get("number")
        if not isinstance(numbers, list) or {len(each) for each in lists} != {len(numbers)}:
            raise ValueError("it has lists of other lengths than its search has numbers")
        return self

    @property
    def whole(self) -> bool:
        """Whether a protocol gives every number that is asked."""
        return bool(self.classes) and all(self.classes[0].matches)


def summarize(searched: Searched, environment: Mapping[str, str | int]) -> Result:
    """Turn the outcome of a search into what is stored of it."""
    plan, sifted = searched.plan, searched.sifted
    printed = plan.search.printed
    result = Result(
        schema_version=_SCHEMA_VERSION,
        search=plan.search.model_dump(mode="json"),
        environment=dict(environment),
        listed=plan.search.size,
        different=plan.size,
        order=list(searched.order),
        evaluated=sifted.evaluated.tolist(),
        networks=sifted.networks.tolist(),
        matched=sifted.matched,
        classes=_classes(searched, printed),
        nearest=[
            _nearest(plan, place, number)
            for place, number in zip(sifted.nearest, printed, strict=True)
        ],
        chance=searched.chance,
        parts=list(searched.parts),
    )
    return Result.model_validate_json(result.model_dump_json())  # as it is read again: no tuples


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _nearest(plan: Plan, place: NDArray[np.float64], printed: Printed) -> Nearest:
    if not math.isfinite(place[2]):
        return Nearest(protocol={}, value=None, digits=0)
    return Nearest(
        protocol=plan.protocol(int(place[0]), int(place[1])),
        value=float(place[2]),
        digits=int(printed.agreed(place[2:])[0]),
    )


def _classes(searched: Searched, printed: Sequence[Printed]) -> list[Found]:
    """Gather what gives the same numbers, and keep the best classes."""
    sifted, plan = searched.sifted, searched.plan
    asked = np.array([bool(number.required) for number in printed])
    wanted = [number for number in printed if number.required]
    classes: list[list[int]] = []
    for place, values in enumerate(sifted.values):
        for members in classes:
            if _alike(values[asked], sifted.values[members[0]][asked], wanted):
                members.append(place)
                break
        else:
            if len(classes) < SHOWN:
                classes.append([place])
    drawn = same_drawings(plan, {int(sifted.outer[m]) for members in classes for m in members})
    return [_found(searched, members, drawn, printed) for members in classes]


def _alike(
    some: NDArray[np.float64], others: NDArray[np.float64], printed: Sequence[Printed]
) -> bool:
    """Tell whether two protocols give the same numbers, to rounding and as far as is asked."""
    matching = [p.matches(np.array(pair)) for *pair, p in zip(some, others, printed, strict=True)]
    same = all(one == other for one, other in matching)
    return same and bool(np.allclose(some, others, rtol=_SAME, atol=0))


def _found(
    searched: Searched,
    members: Sequence[int],
    drawn: Mapping[int, Sequence[Mapping[str, Any]]],
    printed: Sequence[Printed],
) -> Found:
    sifted, plan = searched.sifted, searched.plan
    protocols = [
        {**choices, **plan.readings[int(sifted.reading[place])]}
        for place in members
        for choices in drawn[int(sifted.outer[place])]
    ]
    undecided = {}
    for axis, choices in plan.search.axes.items():
        occurring = [c for c in choices if any(p[axis] == c for p in protocols)]
        if len(occurring) > 1:
            undecided[axis] = occurring
    values = sifted.values[members[0]]
    columns = list(zip(values[:, None], printed, strict=True))
    return Found(
        protocol={axis: protocols[0][axis] for axis in plan.search.axes},
        values=_finite(values),
        digits=[int(number.agreed(value)[0]) for value, number in columns],
        matches=[bool(number.matches(value)[0]) for value, number in columns],
        same=len(protocols),
        undecided=undecided,
    )


def load(path: Path) -> Result:
    """Read a stored result."""
    remedy = "Search again with --overwrite, or choose another folder with --out"
    return stored.load(Result, path, _SCHEMA_VERSION, "the result of a search", remedy)
