"""Runs of a function that the fixture ``judge`` makes until a claim about them is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.early import until_decided
from actbench.judging import FIRST_SEED, Runs, claim_of, name_of, run

if TYPE_CHECKING:
    from actbench.claims import Claim
    from actbench.claims.verdicts import Judgment

__tracebackhide__ = True


@dataclass(frozen=True, eq=False)
class Growing:
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

    def above(self, bound: float, **options: Any) -> Judgment:
        """Judge that the runs lie at or above a bound, as ``Runs.above`` does."""
        return self._judge("above", bound, **options)

    def below(self, bound: float, **options: Any) -> Judgment:
        """Judge that the runs lie at or below a bound, as ``Runs.below`` does."""
        return self._judge("below", bound, **options)

    def equals(self, value: float, *, tolerance: float, **options: Any) -> Judgment:
        """Judge that the runs are a value, as ``Runs.equals`` does."""
        return self._judge("equals", value, tolerance=tolerance, **options)

    def _judge(
        self,
        kind: str,
        value: float,
        *,
        alpha: float = 0.01,
        tolerance: float | None = None,
        relative: bool = False,
        **said: Any,
    ) -> Judgment:
        relation = {"kind": kind, "value": value, "tolerance": tolerance, "relative": relative}
        claim = claim_of(relation, **{"statement": self.name, **said})
        made: list[Runs] = []

        def values(_: Claim, runs: int) -> NDArray[np.float64]:
            first = sum(len(part) for part in made)
            seeds = range(FIRST_SEED + first, FIRST_SEED + runs)
            made.append(run(self.function, seeds, **self.settings))
            return _together(made, self.number).values

        (judgment,) = until_decided([claim], lambda _: alpha, values, self.largest)
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
