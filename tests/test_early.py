"""Judging until it is decided: what is run, what is said, and the level of all looks together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actbench.claims import Claim, Verdict
from actbench.claims.early import judge_early, looks_of, until_decided


def claim(kind: str, value: float, **fields: Any) -> Claim:
    """A claim about a median, unless the fields say otherwise."""
    relation = {"kind": kind, "value": value, **fields.pop("relation", {})}
    told = {"id": "c", "statement": "It is so.", "protocol": "p", "relation": relation, **fields}
    return Claim.model_validate(told)


ABOVE = claim("above", 0.0)
WEAKER = claim("above", 0.0, direction={"kind": "above", "value": -1.0})
EVERY = claim("above", 0.0, quantifier="every", share=0.5)
CASES: list[tuple[Claim, float, Verdict, int | None]] = [
    (ABOVE, 1.0, Verdict.REPRODUCED, 11),
    (ABOVE, -1.0, Verdict.NOT_REPRODUCED, 11),
    (ABOVE, math.nan, Verdict.NOT_REPRODUCED, 11),
    (WEAKER, -0.5, Verdict.DIRECTION_ONLY, 11),
    (WEAKER, -2.0, Verdict.NOT_REPRODUCED, 11),
    (EVERY, 1.0, Verdict.REPRODUCED, 11),
    (claim("equals", 0.0, relation={"tolerance": 1.0}), 0.5, Verdict.REPRODUCED, 11),
    (claim("above", 0.0, quantifier="mean"), 1.0, Verdict.REPRODUCED, None),
]


@pytest.mark.parametrize(("subject", "value", "verdict", "runs"), CASES)
def test_as_many_runs_are_made_as_it_takes(
    subject: Claim, value: float, verdict: Verdict, runs: int | None
) -> None:
    """Runs that all say the same decide at the first look; a mean has one look, the last."""
    made: list[int] = []

    def values(_: Claim, count: int) -> NDArray[np.float64]:
        made.append(count)
        return np.full(count, value)

    (judgment,) = until_decided([subject], lambda _: 0.01, values, 100)
    assert judgment.verdict is verdict
    assert made == [runs or 100]
    assert judgment.seeds == (runs or 100)
    if runs:
        assert judgment.interval is None  # one of chance's own number of runs would be too narrow
        assert (
            f"decided after {runs} runs of at most 100, looking from {runs} on" in judgment.sentence
        )


def test_what_is_not_decided_says_so() -> None:
    """Half on either side never decides, and the last look is the last."""
    mixed = np.tile([1.0, -1.0], 50)
    (judgment,) = until_decided([ABOVE], lambda _: 0.01, lambda _, count: mixed[:count], 100, 10)
    assert judgment.verdict is Verdict.INCONCLUSIVE
    assert judgment.seeds == 100
    assert judgment.sentence.startswith("not decided after 100 runs of at most 100")


def test_later_runs_change_no_decision() -> None:
    """The first that is made stands, whatever would have followed."""
    looks = looks_of(ABOVE, 0.01, 100)
    values = np.concatenate([np.ones(looks[0]), -np.ones(100 - looks[0])])
    assert judge_early(ABOVE, values, 0.01, looks).verdict is Verdict.REPRODUCED
    assert judge_early(ABOVE, values, 0.01, looks).seeds == looks[0]


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_level_is_that_of_all_looks_together(alpha: float) -> None:
    """At the worst median, right on the bound, 1000 sequences of runs are seldom decided."""
    rng = np.random.default_rng(5)
    looks = looks_of(ABOVE, alpha, 60)
    drawn = rng.standard_cauchy(size=(1000, 60))
    wrong = [
        judge_early(ABOVE, row, alpha, looks).verdict is not Verdict.INCONCLUSIVE for row in drawn
    ]
    assert np.mean(wrong) <= alpha + 3 * math.sqrt(alpha / 1000)
