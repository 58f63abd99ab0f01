"""Stopping early keeps the level that it promises, and costs what it says."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
from claim_factory import claim
from numpy.typing import NDArray

from actbench.claims.claim import Claim
from actbench.claims.looks import (
    Look,
    boundaries,
    crossing,
    decide,
    judge_sequential,
    schedule,
    share_shown,
    table,
)
from actbench.claims.simulations import DISTRIBUTIONS
from actbench.claims.verdicts import judge_values

ALPHAS = (0.05, 0.01, 1e-4)
SHARES = (0.5, 0.9, 0.95)
LOOKS = {"each": tuple(range(1, 13)), "fours": (4, 8, 12, 16), "uneven": (3, 10, 11, 16)}


def about(kind: str = "above", quantifier: str = "median", **fields: Any) -> Claim:
    """Return a claim about values around 0."""
    tolerance = {"tolerance": 1.0} if kind == "equals" else {}
    return claim({"kind": kind, "value": 0.0, **tolerance}, quantifier, **fields)


@functools.cache
def every_path(runs: int) -> NDArray[np.int64]:
    """Return the successes after each run, of each of the 2^n paths."""
    return np.array(list(itertools.product((0, 1), repeat=runs))).cumsum(axis=1)


def ends(counts: NDArray[np.int64], looks: tuple[Look, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return 1, -1 or 0 for each path that ends above, below or undecided, and its runs."""
    ended, runs = np.zeros(len(counts), int), np.full(len(counts), looks[-1].runs)
    for look in looks:
        seen, still = counts[:, look.runs - 1], ended == 0
        above = still & (seen >= (math.inf if look.at_least is None else look.at_least))
        below = still & (seen <= (-1 if look.at_most is None else look.at_most))
        ended[above], ended[below] = 1, -1
        runs[above | below] = look.runs
    return ended, runs


@pytest.mark.parametrize("p0", SHARES)
@pytest.mark.parametrize("alpha", [0.3, *ALPHAS])
@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
def test_every_path_counted_one_by_one(looks: tuple[int, ...], alpha: float, p0: float) -> None:
    """What looks promise is so, and one count more at any look would spend more than its level."""
    found, counts = boundaries(looks, p0, alpha), every_path(looks[-1])
    successes = counts[:, -1]

    def weigh(p: float) -> NDArray[np.float64]:
        return np.asarray(p**successes * (1 - p) ** (looks[-1] - successes))

    for p in (0.0, 0.2, p0, 0.97, 1.0):
        ended, runs = ends(counts, found)
        weights, outcome = weigh(p), crossing(found, p)
        told = (outcome.above, outcome.below, outcome.undecided, outcome.runs)
        counted = [weights[ended == end].sum() for end in (1, -1, 0)]
        assert told == pytest.approx((*counted, (weights * runs).sum()), rel=1e-9, abs=1e-15)

    weights = weigh(p0)
    for place, look in enumerate(found):
        seen = counts[:, look.runs - 1]
        before = ends(counts, found[:place])[0] if place else np.zeros(len(counts), int)
        level = alpha / 2 * look.runs / looks[-1] * (1 + 1e-12)
        least = look.runs + 1 if look.at_least is None else look.at_least
        most = -1 if look.at_most is None else look.at_most
        for sign, stops, further in (
            (1, seen >= least, seen >= least - 1),
            (-1, seen <= most, seen <= most + 1),
        ):
            spent = weights[before == sign].sum()
            assert spent + weights[(before == 0) & stops].sum() <= level
            assert spent + weights[(before == 0) & further].sum() > level
        assert look.level_spent == pytest.approx(
            weights[ends(counts, found[: place + 1])[0] != 0].sum(), rel=1e-9, abs=1e-15
        )


@pytest.mark.parametrize("p0", SHARES)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_level_is_kept_whatever_the_share(alpha: float, p0: float) -> None:
    """Each error is largest at p0 and at most half of alpha there, for long schedules too."""
    for looks in (schedule(p0, alpha), schedule(p0, alpha, 60, step=7), (50, 51, 150)):
        found = boundaries(looks, p0, alpha)
        outcomes = [crossing(found, p) for p in (p0 - 0.05, p0 - 0.01, p0, p0 + 0.01, p0 + 0.04)]
        above, below = ([o.above for o in outcomes], [o.below for o in outcomes])
        assert above == sorted(above)
        assert below == sorted(below, reverse=True)
        assert max(outcomes[2].above, outcomes[2].below) <= alpha / 2 * (1 + 1e-12)
        assert found[-1].level_spent == pytest.approx(outcomes[2].above + outcomes[2].below)


def mixture(looks: tuple[int, ...], alpha: float) -> tuple[Look, ...]:
    """Return where the uniform mixture of binomials is 1 / alpha times as likely as a fair coin."""
    least = [
        next(s for s in range(n + 1) if 2 * s > n and (n + 1) * math.comb(n, s) <= alpha * 2**n)
        for n in looks
    ]
    return tuple(Look(n, alpha, s, n - s) for n, s in zip(looks, least, strict=True))


def test_what_stopping_early_costs() -> None:
    """The figures of the documentation, and those of what was not chosen."""
    looks = schedule(0.5, 1e-4)
    chosen = [crossing(boundaries(looks, 0.5, 1e-4), p) for p in (0.95, 0.8)]
    other = [crossing(mixture(tuple(range(18, 101)), 1e-4), p) for p in (0.95, 0.8)]
    assert [round(o.runs, 1) for o in (*chosen, *other)] == [22.5, 52.3, 23.2, 56.4]
    assert [round(o.undecided, 3) for o in (*chosen, *other)] == [0, 0.016, 0, 0.04]
    for step, runs in {8: [24.5, 54.9], 10: [24.4, 55.8], 16: [26.7, 58.4]}.items():
        batches = boundaries(schedule(0.5, 1e-4, step=step), 0.5, 1e-4)
        assert [round(crossing(batches, p).runs, 1) for p in (0.95, 0.8)] == runs
    agreeing = next(n for n in itertools.count(1) if (n + 1) * 0.95**n <= 1e-4)
    assert (agreeing, judge_sequential(about("above", "every"), np.ones(388), 1e-4)) == (
        291,
        (True, 206),
    )
    rows = table().splitlines()
    assert rows[3].startswith("| median | 0.0001 | 17 to 100 |")
    assert "| 52.3 runs, 1.6% undecided | 29.3 runs, 0.0% undecided | 22.5 runs" in rows[3]
    assert rows[5].startswith("| every, 0.95 | 0.0001 | 5 to 388 |")
    assert rows[5].endswith("| 206.0 runs, 0.0% undecided |")


@pytest.mark.parametrize("step", [1, 8])
def test_as_few_runs_as_must_be(step: int) -> None:
    """At 1e-4 at most 25 on average where 95 % agree and 65 where 80 % do, 2 % undecided at 100."""
    looks = boundaries(schedule(0.5, 1e-4, 100, step), 0.5, 1e-4)
    nearly_all, most = (crossing(looks, p) for p in (0.95, 0.8))
    assert nearly_all.runs <= 25
    assert most.runs <= 65
    assert max(nearly_all.undecided, most.undecided) <= 0.02
    assert max(nearly_all.below, most.below) < 1e-10


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_decisions_fall_where_the_counts_cross(distribution: str) -> None:
    """Whatever the values; how often that is wrong at the true median, simulations show."""
    values = DISTRIBUTIONS[distribution](np.random.default_rng(7).random((300, 100)), 0.5)
    answers = {1: True, -1: False, 0: None}
    for alpha in (0.05, 0.01):
        found = boundaries(schedule(0.5, alpha), 0.5, alpha)
        ended, runs = ends((values >= 0).cumsum(axis=1), found)
        told = [judge_sequential(about(), row, alpha) for row in values]
        assert told == [(answers[e], n) for e, n in zip(ended, runs, strict=True)]
        assert alpha < 0.05 or set(ended.tolist()) == {-1, 0, 1}


def test_an_interval_with_half_of_all_runs_on_either_side() -> None:
    """Two questions, each wrong with half of alpha, are wrong with alpha together."""
    values = DISTRIBUTIONS["bimodal"](np.random.default_rng(1).random((2000, 60)), 0.5)
    looks = schedule(0.5, 0.05, 60)
    told = [judge_sequential(about("equals"), row, 0.05, looks)[0] for row in values]
    assert True not in told
    assert 0.03 < told.count(False) / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(
    "asked",
    [
        about("above"),
        about("below"),
        about("equals"),
        about("equals", "every", share=0.8),
        about("above", "every"),
    ],
    ids=lambda asked: f"{asked.quantifier} {asked.relation.kind}",
)
def test_one_look_is_the_judge(asked: Claim) -> None:
    """With a single look the answer is that of `judge_values`, for all counts and on the bound."""
    answers = {"reproduced": True, "not_reproduced": False, "inconclusive": None}
    found = set()
    for runs, alpha in ((7, 0.3), (10, 2.0**-9), (23, 1e-3), (110, 0.01), (240, 1e-4)):
        for wrong in range(0, runs + 1, 1 + runs // 60):
            for outside in ((-1.5,), (1.5,), (math.nan,), (-1.5, 1.5), (-math.inf, math.inf)):
                values = np.array([*itertools.islice(itertools.cycle(outside), wrong)])
                values = np.r_[values, np.zeros(runs - wrong)]
                told = judge_sequential(asked, values, alpha, (runs,))
                assert told == (answers[judge_values(asked, values, alpha).verdict], runs)
                found.add(told[0])
    assert found == {True, False, None}


@pytest.mark.parametrize("kind", ["above", "below", "equals"])
@pytest.mark.parametrize("quantifier", ["median", "every"])
def test_more_that_agrees_never_harms(kind: str, quantifier: str) -> None:
    """Moving values into the relation never turns "holds" into less, nor into "does not"."""
    rng, rank = np.random.default_rng(3), {False: 0, None: 1, True: 2}
    asked, found = about(kind, quantifier, share=0.6), set()
    for _ in range(400):
        values = rng.choice((-2.0, 0.0, 2.0, math.nan), 40, p=rng.dirichlet(np.ones(4)))
        more = np.where(rng.random(40) < rng.random(), 0.0, values)
        answers = [judge_sequential(asked, v, 0.1, tuple(range(1, 41)))[0] for v in (values, more)]
        assert rank[answers[1]] >= rank[answers[0]]
        found.add(tuple(answers))
    assert {(False, True), (True, True), (False, False)} <= found


def test_a_decision_stands_and_runs_after_it_are_not_looked_at() -> None:
    """It falls at the first look that decides, whatever follows."""
    assert judge_sequential(about(), np.ones(16), 1e-4) == (None, 0)
    assert judge_sequential(about(), np.r_[np.ones(17), np.full(83, -1.0)], 1e-4) == (True, 17)
    assert judge_sequential(about("below"), np.ones(99), 1e-4) == (False, 17)
    assert judge_sequential(about(), np.ones(99), 1e-4, schedule(0.5, 1e-4, 20)) == (True, 15)
    assert judge_sequential(about(), np.resize((1, -1), 300), 1e-4) == (None, 100)
    weaker = about("below").relation
    assert judge_sequential(about(), -np.ones(99), 1e-4, relation=weaker) == (True, 17)
    assert judge_sequential(about("equals"), np.full(99, -5.0), 1e-4) == (False, 17)
    assert decide([3, 17], (Look(5, 0, None, None), Look(17, 0, 17, 0))) == (True, 17)


def test_the_share_that_the_runs_show() -> None:
    """The closed form where all agree; too large a share with half of alpha at most."""
    asked = about("above", "every")
    shown = [share_shown(asked, np.ones(n), 1e-4) for n in (5, 50, 100, 206)]
    assert shown == [
        max(q for q in range(100) if (q / 100) ** n <= 5e-5 * n / 388) / 100
        for n in (5, 50, 100, 206)
    ]
    assert shown[-1] == 0.95
    looks, alpha = (2, 4, 6, 7), 0.2
    paths = np.array(list(itertools.product((-1.0, 1.0), repeat=7)))
    told = np.array([share_shown(asked, path, alpha, looks) for path in paths])
    for p in (0.3, 0.495, 0.6, 0.7):
        agreeing = (paths > 0).sum(axis=1)
        wrong = (p**agreeing * (1 - p) ** (7 - agreeing))[told > p].sum()
        assert 0 < wrong <= alpha / 2


@pytest.mark.parametrize(
    ("looks", "p0", "alpha"),
    [((), 0.5, 0.1), ((0, 5), 0.5, 0.1), ((5, 5), 0.5, 0.1), ((5,), 1, 0.1), ((5,), 0.5, 0)],
)
def test_impossible_looks_are_refused(looks: tuple[int, ...], p0: float, alpha: float) -> None:
    """Looks increase; shares and levels lie between 0 and 1."""
    with pytest.raises(ValueError, match="must"):
        boundaries(looks, p0, alpha)


def test_claims_without_a_share_are_refused() -> None:
    """A mean is no share of runs; a share is shown for `every` only."""
    with pytest.raises(ValueError, match="this is for median or every"):
        judge_sequential(about(quantifier="mean"), np.ones(20), 0.01)
    with pytest.raises(ValueError, match="this is for every"):
        share_shown(about(), np.ones(20), 0.01)
