"""Numbers judged from Python: what ends how, and what is told of it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import actbench
from actbench import claims
from actbench.claims import simulations
from actbench.claims.published_value import half_last_digit, joint_p, published_run
from actbench.claims.statistics import prediction_interval, values_for_prediction
from actbench.runs import evidence, judging
from actbench.store.errors import ActbenchError

GOOD = (0.93, 0.94, 0.95, 0.94, 0.93, 0.94, 0.96, 0.94)

VERDICTS: list[tuple[Any, dict[str, Any], str]] = [
    (GOOD, {"above": 0.92}, "reproduced"),
    (GOOD, {"above": 0.97}, "not_reproduced"),
    (GOOD, {"below": 0.97}, "reproduced"),
    (GOOD, {"above": 0.94}, "inconclusive"),
    (GOOD[:7], {"above": 0.92}, "inconclusive"),  # 2 * 0.5^7 is more than 0.01
    (GOOD[:7], {"above": 0.92, "alpha": 0.02}, "reproduced"),
    (GOOD, {"equals": 0.94, "tolerance": 0.03}, "reproduced"),
    (GOOD, {"equals": 1.0, "tolerance": 0.1, "relative": True}, "reproduced"),
    (GOOD, {"above": 0.92, "quantifier": "every"}, "inconclusive"),
    ([0.93] * 104, {"above": 0.92, "quantifier": "every"}, "reproduced"),
    ([1.0], {"equals": 1.0, "tolerance": 1e-6, "quantifier": "exact"}, "reproduced"),
    ([*GOOD[:7], math.nan], {"above": 0.92}, "inconclusive"),  # a run without a number agrees not
    ({1: 0.93, 2: 0.95}, {"above": 0.92, "alpha": 0.5}, "reproduced"),
    (np.linspace(0, 1, 38), {"plausible": 0.5}, "inconclusive"),
    (np.linspace(0, 1, 39), {"plausible": 0.5}, "reproduced"),
    (np.linspace(0, 1, 39), {"plausible": 1.01}, "not_reproduced"),
]


@pytest.mark.parametrize(("values", "asked", "verdict"), VERDICTS)
def test_verdicts_on_numbers(values: Any, asked: dict[str, Any], verdict: str) -> None:
    """One bound, one verdict; a notebook and a terminal can show each."""
    judgment = actbench.judge(values, **asked)
    assert judgment.verdict == verdict
    assert str(judgment).startswith(f"{verdict}: ")
    assert verdict.replace("_", " ") in judgment._repr_html_()


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (GOOD, {}, "judge takes one of above, below, equals and plausible, not none"),
    (GOOD, {"above": 1, "below": 2}, "not above and below"),
    (GOOD, {"equals": 1}, "'equals' needs a tolerance"),
    (GOOD, {"above": 1, "alpha": 2}, "alpha is 2, but must lie between 0 and 1"),
    (GOOD, {"above": 1, "quantifier": "most"}, "field 'quantifier' is 'most', but must be 'exact'"),
    ([], {"above": 1}, "there are no values; give one number per run"),
    (None, {"above": 1}, "there are no values"),
    (["high"], {"above": 1}, "the values are no numbers"),
    (["0.95"] * 10, {"above": 0.9}, "the values are no numbers, one per run, but ['0.95'"),
    (np.ones((10, 20)), {"above": 0.9}, "the values have shape (10, 20), but must be one number"),
    (GOOD, {"above": "0.9"}, "above is '0.9', but must be a number"),
    (GOOD, {"above": 1, "alpha": None}, "alpha is None, but must be a number"),
    (GOOD, {"equals": 1, "tolerance": 0}, "field 'tolerance' is 0, but must be above 0"),
]


@pytest.mark.parametrize(("values", "asked", "text"), MISTAKES)
def test_a_mistake_is_told(values: Any, asked: dict[str, Any], text: str) -> None:
    """In one sentence, with what to give instead."""
    with pytest.raises(ActbenchError, match=re.escape(text)):
        actbench.judge(values, **asked)


SHAPES: dict[str, Any] = {
    **simulations.SHAPES,
    "half diverged": lambda rng, size: np.where(rng.random(size) < 0.5, rng.random(size), np.inf),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_further_run_lies_where_it_is_said_to(shape: str) -> None:
    """At least 95 % of the time whatever the distribution, in 4000 repetitions of 39 and 100."""
    rng = np.random.default_rng(7)
    for count in (39, 100):
        drawn = SHAPES[shape](rng, (4000, count + 1))
        found = [prediction_interval(row[:-1], 0.95) for row in drawn]
        held = np.mean(
            [i is not None and i[0] <= x <= i[1] for i, x in zip(found, drawn[:, -1], strict=True)]
        )
        assert held > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 4000)
    assert values_for_prediction(0.95) == 39
    assert prediction_interval(np.arange(38), 0.95) is None
    assert prediction_interval(np.arange(39), 0.95) == (0, 38)


@pytest.mark.parametrize("shape", ["normal", "lognormal", "Cauchy"])
def test_no_more_verdicts_are_wrong_than_alpha_allows(shape: str) -> None:
    """Where the bound is the median itself, any decided verdict is chance; 2000 times of 8 and 25.

    Some are decided for all that: a judge that never decides would be never wrong.
    """
    rng = np.random.default_rng(11)
    median = {"lognormal": 1.0}.get(shape, 0.0)
    for count in (8, 25):
        drawn = SHAPES[shape](rng, (2000, count))
        verdicts = [actbench.judge(row, above=median, alpha=0.05).verdict for row in drawn]
        decided = np.mean([verdict != "inconclusive" for verdict in verdicts])
        assert 0 < decided < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_runs_pair_on_their_seed() -> None:
    """Wherever it stands; one that only one of both ran is refused."""
    first = judging.run(lambda seed: 2.0 * seed, [1, 2, 3])
    second = judging.run(lambda seed, by: float(seed) / by, [3, 1, 2], by=2)
    assert (first - second).values.tolist() == [1.5, 3.0, 4.5]
    assert (first / second).values.tolist() == [4.0, 4.0, 4.0]
    with pytest.raises(ActbenchError, match=r"do not pair: only one of them ran seed 3"):
        _ = first - judging.run(lambda seed: 1.0, [1, 2])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_like_the_others_is_seldom_called_another(shape: str) -> None:
    """At most 5 % of the time, alone and jointly with others, whatever the distribution."""
    rng = np.random.default_rng(11)
    drawn = SHAPES[shape](rng, (2000, 3 * 41)).reshape(2000, 41, 3)
    drawn[..., 1] += drawn[..., 0]  # numbers of one run depend on each other
    with np.errstate(invalid="ignore"):
        alone = [published_run(runs[:-1, 0], runs[-1, 0]) for runs in drawn]
        finite = [runs for runs in drawn if np.isfinite(runs[-1]).all()]
        together = [joint_p(runs[:-1], runs[-1]) <= 0.05 for runs in finite]
    slack = 3 * math.sqrt(0.05 * 0.95 / len(finite))
    assert np.mean([place.could_be_one is False for place in alone]) < 0.05 + slack
    assert np.mean(together) < 0.05 + slack


def test_what_no_number_shows_alone_two_show_together() -> None:
    """Two numbers that always agree, published apart: each is usual, and both are not."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=100)
    runs = np.stack([first, first + rng.normal(scale=0.01, size=100)], axis=1)
    apart = np.array([1.0, -1.0])
    for number in (0, 1):
        assert published_run(runs[:, number], apart[number]).could_be_one
    assert joint_p(runs, apart) < 0.02


def test_the_main_run_was_not_the_stated_one() -> None:
    """What the ledger should have said on the first day, from 100 runs of the stated protocol."""
    file = claims.published()
    found = {j.claim.id: j for j in evidence.judge_all(file, lambda name: None)}
    leaky = found["leaky-relu-final-mse"]
    assert leaky.verdict == "reproduced"
    assert leaky.published_run.startswith("it lies above 100 of 100 runs, so it is hardly one of")
    assert "the stated protocol is probably not the one that was run" in leaky.published_run
    assert "lies above 100 of 100 runs" in found["sigmoid-final-mse"].published_run
    # What rounding in float32 alone tells apart is no other run.
    assert "could be one" in found["linear-final-mse"].published_run
    assert "could be one" in found["sigmoid-final-mse-as-run"].published_run


@pytest.mark.parametrize(
    ("value", "half"), [(0.72, 0.005), (2.59e7, 0.5e5), (0.008041415, 5e-10), (0.5, 0.05), (0, 0)]
)
def test_digits_say_how_well_a_value_is_known(value: float, half: float) -> None:
    """Half a unit of the last one that is written."""
    assert half_last_digit(value) == pytest.approx(half)


@pytest.mark.parametrize(
    "seeds", [3, np.int64(3), range(42, 45), np.arange(42, 45), iter((42, 43, 44))]
)
def test_seeds_may_be_counted_or_named(seeds: Any) -> None:
    """The function gets Python's numbers, whatever they were given as."""
    runs = judging.run(lambda seed: isinstance(seed, int) * seed, seeds)
    assert runs.seeds == (42, 43, 44)
    assert runs.values.tolist() == [42, 43, 44]
