"""Judging until it is decided: what is run, what is said, and the level of all looks together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actbench.claims import Claim, Verdict
from actbench.claims.looks import boundaries
from actbench.runs.early import judge_early, looks_of, until_decided


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
    """Runs that all say the same decide at the first look; a mean takes a number that is fixed."""
    made: list[int] = []

    def values(_: Claim, count: int) -> NDArray[np.float64]:
        made.append(count)
        return np.full(count, value)

    looks = looks_of([subject], lambda _: 0.01, 100)
    (judgment,) = until_decided([subject], lambda _: 0.01, values, looks, 30)
    assert judgment.verdict is verdict
    assert made == [runs or 30]
    assert judgment.seeds == (runs or 30)
    if runs:
        assert judgment.interval is None  # one of chance's own number of runs would be too narrow
        assert (
            f"decided after {runs} runs of at most 100, looking from {runs} on" in judgment.sentence
        )


def test_what_is_not_decided_says_so() -> None:
    """Half on either side never decides, and the last look is the last."""
    mixed = np.tile([1.0, -1.0], 50)
    looks = looks_of([ABOVE], lambda _: 0.01, 100, 10)
    (judgment,) = until_decided([ABOVE], lambda _: 0.01, lambda _, n: mixed[:n], looks, 100)
    assert (judgment.verdict, judgment.seeds) == (Verdict.INCONCLUSIVE, 100)
    assert judgment.sentence.startswith("not decided after 100 runs of at most 100")
    assert [look.runs for look in judgment.looks] == [*range(11, 100, 10), 100]


def test_later_runs_change_no_decision() -> None:
    """The first that is made stands, whatever would have followed."""
    looks = looks_of([ABOVE], lambda _: 0.01, 100)["c"]
    values = np.concatenate([np.ones(looks[0]), -np.ones(100 - looks[0])])
    judgment = judge_early(ABOVE, values, 0.01, looks)
    assert (judgment.verdict, judgment.seeds) == (Verdict.REPRODUCED, looks[0])


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_level_is_that_of_all_looks_together(alpha: float) -> None:
    """At the worst median, right on the bound, 1000 sequences of runs are seldom decided."""
    rng = np.random.default_rng(5)
    looks = looks_of([ABOVE], lambda _: alpha, 60)["c"]
    drawn = rng.standard_cauchy(size=(1000, 60))
    wrong = [
        judge_early(ABOVE, row, alpha, looks).verdict is not Verdict.INCONCLUSIVE for row in drawn
    ]
    assert np.mean(wrong) <= alpha + 3 * math.sqrt(alpha / 1000)


def test_each_look_and_what_it_spent_are_in_the_record() -> None:
    """Those that were made, up to the one that decided; a judgment at once has none."""
    looks = looks_of([ABOVE], lambda _: 0.01, 100, 8)["c"]
    values = np.where(np.arange(100) % 10 == 3, -1.0, 1.0)
    judgment = judge_early(ABOVE, values, 0.01, looks)
    row = judgment.row()
    # 17 of 19 or more, without those paths that had 11 of the first 11.
    later = (171 + 19 + 1 - (28 + 8 + 1)) / 2**19
    spent = [2 / 2**11, pytest.approx(2 / 2**11 + 2 * later)]
    assert row["looks"] == [
        {"runs": 11, "level_spent": spent[0], "at_least": 11, "at_most": 0},
        {"runs": 19, "level_spent": spent[1], "at_least": 17, "at_most": 2},
    ]
    assert judgment.looks == boundaries(looks, 0.5, 0.01)[:2]
    assert f"{judgment.looks[-1].level_spent:.2g} of the level 0.01 was spent" in judgment.sentence
    at_once = judge_early(claim("above", 0.0, quantifier="mean"), values, 0.01, looks)
    assert at_once.row()["looks"] is None


def test_claims_about_the_same_runs_are_looked_at_together() -> None:
    """In batches, from the number of runs on at which each could be decided; one by one, alone."""
    about = [ABOVE, EVERY.model_copy(update={"id": "e", "share": 0.95})]
    mean = claim("above", 0.0, quantifier="mean")
    alone = looks_of([*about, mean], lambda _: 0.01)
    assert {key: (each[0], each[-1]) for key, each in alone.items()} == {
        "c": (11, 100),
        "e": (4, 208),
    }
    batches = looks_of(about, lambda _: 0.01, None, 8)
    assert batches["c"] == (*range(11, 100, 8), 100)
    assert batches["e"] == (*range(11, 208, 8), 208)
    assert looks_of(about, lambda _: 0.01, 7, 8) == {"c": (7,), "e": (7,)}
    assert looks_of([ABOVE], lambda _: 0.01, 100, None)["c"] == (11, 22, 44, 88, 100)


def test_a_mean_takes_a_fixed_number_whatever_the_others_take() -> None:
    """Its runs come first; a value that no seed changes takes those that there are."""
    values = np.where(np.arange(200) % 3 == 1, -1.0, 1.0)
    made: list[tuple[str, int]] = []

    def numbers(about: Claim, count: int) -> NDArray[np.float64]:
        made.append((about.id, count))
        return np.ones(1) if about.id == "x" else values[:count]

    about = [
        ABOVE,
        claim("above", -1.0, quantifier="mean").model_copy(update={"id": "m"}),
        claim("above", 0.0, quantifier="exact").model_copy(update={"id": "x"}),
    ]
    looks = looks_of(about, lambda _: 0.01, 100, 8)
    judged = until_decided(about, lambda _: 0.01, numbers, looks, 20)
    assert [judgment.claim.id for judgment in judged] == ["c", "m", "x"]
    assert made[0] == ("m", 20)
    assert made[-1] == ("x", made[-2][1])
    assert [count for key, count in made if key == "c"] == list(looks["c"][: len(made) - 2])
    assert judged[1].seeds == 20
    alone = until_decided(about[2:], lambda _: 0.01, numbers, {}, 20)
    assert (alone[0].verdict, made[-1]) == (Verdict.REPRODUCED, ("x", 20))


def test_every_says_which_share_its_runs_show() -> None:
    """Until decided by the looks, and only of the relation itself, not of a weaker one."""
    asked = claim("above", 0.0, quantifier="every", direction={"kind": "above", "value": -2.0})
    looks = looks_of([asked], lambda _: 1e-4)["c"]
    reproduced = judge_early(asked, np.ones(388), 1e-4, looks)
    assert "206 lie in the range, which shows that at least 95 % do, every 1" in str(reproduced)
    weaker = judge_early(asked, np.tile([1.0, -1.0], 194), 1e-4, looks)
    assert weaker.verdict is Verdict.DIRECTION_ONLY
    assert "206 lie in the range, every 0.5;" in str(weaker)
