"""Runs of a function that the fixture ``judge`` makes until a claim about them is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.early import looks_of, until_decided
from actbench.judging import Askable, Runs, bound_of, claim_of, name_of, run
from actbench.seeds import FIRST_SEED

if TYPE_CHECKING:
    from actbench.claims import Claim
    from actbench.claims.verdicts import Judgment

__tracebackhide__ = True


@dataclass(frozen=True, eq=False)
class Growing(Askable):
    """Runs of a function that are made until a claim about them is decided.

    Args:
        function: As for ``run``.
        settings: What to give it besides the seed.
        largest: Most runs.
        number: Which of several numbers; empty where a run gives one.
        judged: As of ``Runs``.
    """

    function: Callable[..., Any]
    settings: Mapping[str, Any]
    largest: int = 100
    number: str = ""
    judged: Callable[[Runs, Judgment], None] = lambda runs, judgment: None

    @property
    def name(self) -> str:
        """What runs, for messages."""
        return name_of(self.function)

    def __getitem__(self, number: str) -> Growing:
        return replace(self, number=number)

    def _judge(
        self,
        *,
        above: float | None = None,
        below: float | None = None,
        equals: float | None = None,
        alpha: float = 0.01,
        tolerance: float | None = None,
        relative: bool = False,
        **said: Any,
    ) -> Judgment:
        kind, value = bound_of({"above": above, "below": below, "equals": equals}, alpha)
        relation = {"kind": kind, "value": value, "tolerance": tolerance, "relative": relative}
        claim = claim_of(relation, **{"statement": self.name, **said})
        made: list[Runs] = []

        def values(_: Claim, runs: int) -> NDArray[np.float64]:
            first = sum(len(part) for part in made)
            seeds = range(FIRST_SEED + first, FIRST_SEED + runs)
            made.append(run(self.function, seeds, **self.settings))
            return _together(made, self.number).values

        looks = looks_of([claim], lambda _: alpha, self.largest)
        (judgment,) = until_decided([claim], lambda _: alpha, values, looks, self.largest)
        self.judged(_together(made, self.number), judgment)
        return judgment


def _together(parts: list[Runs], number: str) -> Runs:
    """Join runs that were made one after another."""
    seeds = tuple(seed for part in parts for seed in part.seeds)
    numbers = {
        name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers
    }
    whole = replace(parts[0], seeds=seeds, numbers=numbers)
    return whole[number] if number else whole
