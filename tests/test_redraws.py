"""A verdict's predicted stability is the observed one, and the runs that are planned suffice."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_factory import claim
from numpy.typing import NDArray
from scipy import special, stats

from actbench import claims
from actbench.claims import looks, redraws
from actbench.claims.claim import Claim, Verdict
from actbench.claims.redraws import (
    flip_probability,
    runs_for_decision,
    smallest_difference,
    verdict_probabilities,
)
from actbench.claims.statistics import median_interval, seeds_for_median, seeds_for_proportion
from actbench.claims.verdicts import judge_values
from actbench.runs import evidence

ABOVE = {"kind": "above", "value": 1.0}
BELOW = {"kind": "below", "value": 1.0}
EQUALS = {"kind": "equals", "value": 1.0, "tolerance": 0.25}
WEAKER: dict[str, dict[str, Any]] = {
    "above": {"kind": "above", "value": 0.0},
    "below": {"kind": "below", "value": 2.0},
    "equals": {"kind": "above", "value": 0.0},
    "within": {"kind": "equals", "value": 1.0, "tolerance": 1.5},
    "elsewhere": {"kind": "below", "value": 0.5},
}
NAN, INF = math.nan, math.inf


def ones(agreeing: int, runs: int) -> NDArray[np.float64]:
    """Runs of which some lie above 1, the others below."""
    return np.where(np.arange(runs) < agreeing, 2.0, 0.5)


ASKED = [
    *((ABOVE, None), (ABOVE, "above"), (ABOVE, "elsewhere"), (BELOW, None), (BELOW, "below")),
    *((EQUALS, None), (EQUALS, "equals"), (EQUALS, "within"), (EQUALS, "elsewhere")),
]


@pytest.mark.parametrize("quantifier", ["median", "every"])
@pytest.mark.parametrize(("relation", "weaker"), ASKED)
def test_counts_are_judged_as_the_values_are(
    relation: dict[str, Any], weaker: str | None, quantifier: str
) -> None:
    """Whatever nine or twelve runs count in the cells, NaN and infinite among them, one verdict."""
    direction = {"direction": WEAKER[weaker]} if weaker else {}
    asked = claim(relation, quantifier, share=0.6, **direction)
    points = (-INF, -0.5, 0.25, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, INF, NAN)
    pools: dict[tuple[int, ...], list[float]] = {}
    for point in points:
        found, counts = redraws._cells(asked, np.array([point]))
        pools.setdefault(found[counts.index(1)], []).append(point)
    cells, pick = tuple(pools), np.random.default_rng(0)
    assert set(redraws._cells(asked, np.array(points))[0]) == set(cells)
    for runs, alpha in product((9, 12), (0.01, 0.05)):
        vectors = redraws._count_vectors(runs, len(cells))
        assert len(set(map(tuple, vectors))) == math.comb(runs + len(cells) - 1, runs)
        places = redraws._verdicts((quantifier, 0.6, alpha), cells, vectors)
        for vector, place in zip(vectors, places, strict=True):
            drawn = [pick.choice(pools[cell], n) for cell, n in zip(cells, vector, strict=True)]
            found_by_values = judge_values(asked, np.concatenate(drawn), alpha).verdict
            assert found_by_values is redraws._VERDICTS[place]


def assert_calibrated(predicted: NDArray[np.float64], flipped: NDArray[np.bool_]) -> None:
    """In four bins of equal size the mean prediction is the observed rate within 3 errors."""
    for part in np.array_split(np.argsort(predicted, kind="stable"), 4):
        error = np.sqrt(np.sum(predicted[part] * (1 - predicted[part]))) / len(part)
        assert abs(predicted[part].mean() - flipped[part].mean()) <= 3 * error + 1e-6


@pytest.mark.parametrize(
    ("relation", "quantifier", "alpha", "cells"),
    [
        (ABOVE, "median", 8.5e-5, [2.0, 0.5]),
        (ABOVE, "every", 0.05, [2.0, 0.5]),
        (EQUALS, "median", 0.01, [1.0, 0.5, 2.0]),
    ],
)
@pytest.mark.parametrize("runs", [16, 32])
def test_verdicts_flip_as_often_as_predicted(
    relation: dict[str, Any], quantifier: str, alpha: float, cells: list[float], runs: int
) -> None:
    """Of 40,000 drawn truths, each seen in two sets of runs, as many pairs differ as predicted."""
    random, asked = np.random.default_rng(1), claim(relation, quantifier, share=0.6)
    outside = len(cells) - 1
    weights = [0.5 if satisfies(asked, cell) else 0.5 / outside for cell in cells]
    truths = random.dirichlet(weights, 40_000)
    first, again = random.multinomial(runs, truths), random.multinomial(runs, truths)
    kinds, place = np.unique(np.concatenate([first, again]), axis=0, return_inverse=True)
    samples = [np.repeat(cells, kind) for kind in kinds]
    verdicts = np.array([judge_values(asked, values, alpha).verdict for values in samples])
    flips = np.array([flip_probability(asked, values, alpha) for values in samples])
    one, other = np.split(place.ravel(), 2)
    assert_calibrated(flips[one], verdicts[one] != verdicts[other])


def satisfies(asked: Claim, value: float) -> bool:
    """Whether a value satisfies the relation."""
    return asked.relation is not None and asked.relation.contains(value)


def test_verdicts_on_means_flip_as_often_as_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above for normal runs whose mean lies anywhere around the bound."""
    monkeypatch.setattr(redraws, "_DRAWS", 1000)
    random, asked = np.random.default_rng(2), claim(ABOVE, "mean")
    truths = random.uniform(-0.5, 2.5, (3000, 1))
    first, again = random.normal(truths, 1, (2, 3000, 20))
    predicted = np.array([flip_probability(asked, values, 0.01) for values in first])
    verdicts = [
        [judge_values(asked, values, 0.01).verdict for values in half] for half in (first, again)
    ]
    assert_calibrated(predicted, np.array(verdicts[0]) != np.array(verdicts[1]))


def test_sixteen_runs_that_agree_say_what_is_honest() -> None:
    """Where fifteen must agree and one may not differ, Jeffreys' prior gives 29 %, not 0."""
    agree = np.prod([(16.5 + i) / (17 + i) for i in range(16)])
    for asked in (claim(ABOVE), claim(ABOVE, direction=WEAKER["above"]), claim(EQUALS)):
        values = np.full(16, 1.125)
        assert flip_probability(asked, values, 8.5e-5) == pytest.approx(1 - agree)
    assert 1 - agree == pytest.approx(0.29, abs=0.001)
    assert f"| 0.0001 | 16 | {1 - agree:.1%} |" in redraws.table()


def test_drawn_counts_tell_what_all_of_them_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many count vectors to sum over, draws give the same up to noise."""
    asked = claim(EQUALS, direction=WEAKER["above"])
    values = np.linspace(0.6, 1.4, 40)
    exact = verdict_probabilities(asked, values, 0.05, 40)
    monkeypatch.setattr(redraws, "_MOST_VECTORS", 0)
    redraws._of_counts.cache_clear()
    drawn = verdict_probabilities(asked, values, 0.05, 40)
    redraws._of_counts.cache_clear()
    assert exact is not None
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.012)
    assert max(exact.values()) < 0.9


def test_what_no_redraw_changes_never_flips() -> None:
    """An exact value stays, nothing measured has no verdict, a mean that is none fails."""
    exact = claim(ABOVE, "exact")
    assert flip_probability(exact, np.array([2.0]), 0.01) == 0
    assert runs_for_decision(exact, np.array([2.0]), 0.01) == 1
    untestable = Claim(id="a", statement="-", expected=Verdict.NOT_TESTABLE, because="-")
    for asked, values in ((untestable, ones(3, 3)), (claim(ABOVE), ones(0, 0))):
        assert flip_probability(asked, values, 0.01) is None
        assert runs_for_decision(asked, values, 0.01) is None
    mean = claim(ABOVE, "mean")
    one_lost = np.append(np.full(31, 2.0), NAN)
    found = verdict_probabilities(mean, one_lost, 0.01, 32)
    all_finite = special.beta(63.5, 1.5) / special.beta(31.5, 1.5)
    expected = {Verdict.NOT_REPRODUCED: 1 - all_finite, Verdict.REPRODUCED: all_finite}
    assert found == pytest.approx(dict.fromkeys(redraws._VERDICTS, 0.0) | expected)
    assert flip_probability(mean, one_lost, 0.01) == pytest.approx(all_finite)
    assert flip_probability(mean, np.full(20, 1e300), 0.01) == 0
    assert flip_probability(mean, np.full(15, 2.0), 0.01) == 0


def test_runs_for_every_are_those_of_the_closed_form() -> None:
    """The first number whose beta-binomial counts outside the undecided ones reach the power."""
    asked, pilot = claim(ABOVE, "every", share=0.6), ones(7, 8)

    def decided(runs: int) -> float:
        ks = np.arange(runs + 1)
        shown = stats.binom.sf(ks - 1, runs, 0.6) <= 0.005
        refuted = stats.binom.cdf(ks, runs, 0.6) < 0.005
        return float(stats.betabinom.pmf(ks, runs, 7.5, 1.5)[shown | refuted].sum())

    for power in (0.4, 0.5, 0.6):
        found = runs_for_decision(asked, pilot, 0.01, power)
        enough = next(runs for runs in range(1, 200) if decided(runs) >= power)
        assert found is not None
        assert decided(found) >= power > decided(found - 1)
        assert enough <= found <= max(40, 1.06 * enough)
        assert found == enough or enough > 40
    assert runs_for_decision(asked, pilot, 0.01, 0.6, largest=20) is None


def test_runs_for_a_median_decide_in_a_simulation() -> None:
    """A normal pilot's number of runs decides in as many of 20,000 simulations as asked for."""
    pilot = np.random.default_rng(3).normal(1.5, 1, 16)
    runs = runs_for_decision(claim(ABOVE), pilot, 1e-3)
    assert runs is not None
    random, above = np.random.default_rng(4), (pilot >= 1).sum()
    truths = random.beta(above + 0.5, 16.5 - above, 20_000)
    for number, lowest, highest in ((runs, 0.79, 1.0), (runs - 1, 0.0, 0.81)):
        lower = random.binomial(number, truths)
        tail = stats.binom.cdf(np.minimum(lower, number - lower), number, 0.5)
        assert lowest <= np.mean(2 * tail <= 1e-3) <= highest


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_smallest_difference_is_shown_as_often_as_asked_for(draw: str) -> None:
    """On average over pilots, new runs whose median lies that far up decide with the power."""
    random = np.random.default_rng(5)
    middle = {"normal": 0.0, "exponential": math.log(2)}[draw]
    shown = []
    for _ in range(100):
        pilot, *again = getattr(random, draw)(size=(21, 100)) - middle
        distance = smallest_difference(pilot, 0.01)
        assert distance is not None
        for runs in again:
            interval = median_interval(runs + distance, 0.01)
            shown.append(interval is not None and interval[0] >= 0)
    assert np.mean(shown) == pytest.approx(0.82, abs=0.04)


def test_a_difference_goes_with_its_values() -> None:
    """It scales with them and ignores their place; lost runs widen it until nothing decides."""
    values = np.random.default_rng(6).normal(size=32)
    distance = smallest_difference(values, 0.01)
    assert distance is not None
    assert smallest_difference(values * 4 + 7, 0.01) == pytest.approx(4 * distance)
    large = 2.0**1020
    assert smallest_difference(values * large, 0.01) == pytest.approx(large * distance)
    with_losses = np.append(values, [NAN, NAN])
    assert (smallest_difference(with_losses, 0.01) or 0) > distance
    assert smallest_difference(np.append(values, [NAN] * 12), 0.01) is None
    assert smallest_difference(values[:7], 0.01) is None
    assert smallest_difference(np.full(32, 3.0), 0.01) == 0


def test_the_page_shows_the_tables_that_its_lines_print() -> None:
    """And how many runs each rule takes, as the judge counts them."""
    page = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert looks.table() in page
    assert redraws.table() in page
    for alpha in (0.05, 0.01, 0.001, 0.0001):
        median, every = seeds_for_median(alpha), seeds_for_proportion(0.95, alpha)
        assert f"| {alpha:g} | {median} | {every} |" in page


@pytest.mark.parametrize("path", [None, *claims.further_studies()], ids=str)
def test_no_shipped_claim_is_likely_to_flip(path: Path | None) -> None:
    """Each rests on as many stored runs as leave a redraw 1 % at most, or is pinned undecided."""
    file = claims.load(path) if path else claims.published()
    unstable = {
        judgment.claim.id: judgment.flip_probability
        for judgment in evidence.judge_all(file, lambda protocol: None)
        if judgment.claim.expected is not Verdict.INCONCLUSIVE
        and (judgment.flip_probability or 0) > 0.01
    }
    assert not unstable
