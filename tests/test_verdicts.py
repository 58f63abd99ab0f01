"""The judge gives each verdict exactly when the evidence warrants it, with its reasons."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from claim_factory import claim
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench import claims as claims_module
from actbench.claims import Claim, Verdict, measured
from actbench.claims.measured import Entry, Measured
from actbench.claims.verdicts import Judgment, judge, judge_values

# At this level a median needs 11 seeds, and 95 % of all seeds need 149 that agree.
ALPHA = 1e-3
MEDIAN_SEEDS = 11
EVERY_SEEDS = 149

ABOVE = {"kind": "above", "value": 1.0}
BELOW = {"kind": "below", "value": 1.0}
EQUALS = {"kind": "equals", "value": 1.0, "tolerance": 0.1}
HALF = {"kind": "above", "value": 0.5}
RELATIONS = {"above": ABOVE, "below": BELOW, "equals": EQUALS}
NAN, INF = math.nan, math.inf


def judged(relation: dict[str, Any], quantifier: str, values: list[float], **more: Any) -> Judgment:
    """The judgment of such a claim on values."""
    return judge_values(claim(relation, quantifier, **more), np.array(values), ALPHA)


AROUND = [-1.0, 1.0] * 32
"""Sixty-four values of mean 0, whose interval reaches 0.125 x 3.94 to either side at 2e-4."""


@pytest.mark.parametrize(
    ("kind", "shift", "verdict"),
    [
        ("above", 1.6, "reproduced"),
        ("above", 1.4, "inconclusive"),
        ("above", 0.4, "not_reproduced"),
        ("below", 0.4, "reproduced"),
        ("below", 0.6, "inconclusive"),
        ("below", 1.6, "not_reproduced"),
    ],
)
def test_a_mean_is_judged_by_its_interval(kind: str, shift: float, verdict: str) -> None:
    """Both sides of the bound, and across it, where the value alone would decide."""
    values = np.array(AROUND) + shift
    subject = claim(RELATIONS[kind], "mean", metric={"name": "pooled"})
    found = judge_values(subject, values, 2e-4)
    assert found.verdict == verdict
    assert found.measured == pytest.approx(shift)
    assert found.sentence.startswith(f"mean {shift:.4g} over 64 networks, between ")
    assert found.margin is not None


NOT_FINITE = {
    "all nan": ([NAN], {"above": "nnnn", "below": "nnnn", "equals": "nnnn"}),
    "some nan": ([NAN, NAN, 1.0], {"above": "nnn-", "below": "nnn-", "equals": "nnn-"}),
    "few nan": ([1.0] * 20 + [NAN], {"above": "rin-", "below": "rin-", "equals": "rin-"}),
    "inf": ([INF], {"above": "rrnr", "below": "nnnn", "equals": "nnnn"}),
    "-inf": ([-INF], {"above": "nnnn", "below": "rrnr", "equals": "nnnn"}),
    "nan and inf": ([NAN, INF], {"above": "inn-", "below": "nnn-", "equals": "nnn-"}),
    "nan and -inf": ([NAN, -INF], {"above": "nnn-", "below": "inn-", "equals": "inn-"}),
    "infinities": ([-INF, INF], {"above": "inn-", "below": "inn-", "equals": "inn-"}),
    "1 and inf": ([1.0, INF], {"above": "rrn-", "below": "inn-", "equals": "inn-"}),
}
"""
Values, repeated for 210 seeds, and per relation the verdict by the median, by every seed, by the
mean and by an exact value: reproduced, inconclusive, not reproduced, or - where it is not exact.
"""


@pytest.mark.parametrize("case", NOT_FINITE)
@pytest.mark.parametrize("kind", RELATIONS)
def test_what_is_not_finite_is_judged_the_same_fresh_and_stored(
    case: str, kind: str, tmp_path: Path
) -> None:
    """NaN satisfies no relation and an infinity is a number, whether measured now or read back."""
    given, verdicts = NOT_FINITE[case]
    fresh = np.resize(given, 210)
    entry = Entry(metric={"name": "m"}, definition="d", exact=False, values=fresh.tolist())
    measured.save(
        Measured(schema_version=1, protocol="p", settings={}, environment={}, entries=[entry]),
        tmp_path,
    )
    stored = measured.load("p", tmp_path).values(entry.metric)
    np.testing.assert_array_equal(stored, fresh)
    for quantifier, verdict in zip(
        ("median", "every", "mean", "exact"), verdicts[kind], strict=True
    ):
        if verdict != "-":
            asked = claim(RELATIONS[kind], quantifier)
            one, other = (judge_values(asked, v, ALPHA) for v in (fresh, stored))
            assert str(one.verdict)[0] == verdict, quantifier
            assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.1, "reproduced"),
        (10.0, "reproduced"),
        (0.099, "not_reproduced"),
        (10.1, "not_reproduced"),
    ],
)
def test_a_tolerance_in_decades_is_a_factor_to_both_sides(value: float, verdict: str) -> None:
    """From a tenth to ten times of 1; the margin is the same in both directions."""
    relation = {"kind": "equals", "value": 1.0, "tolerance": 1.0, "decades": True}
    found = judged(relation, "exact", [value])
    assert found.verdict == verdict
    mirrored = judged(relation, "exact", [1 / value])
    assert found.margin == pytest.approx(mirrored.margin, abs=1e-12)


CASES = [
    # exact: one value, which no seed changes
    ("exact", "above", [1.0], "reproduced"),
    ("exact", "above", [0.999], "not_reproduced"),
    ("exact", "below", [1.0], "reproduced"),
    ("exact", "below", [1.001], "not_reproduced"),
    ("exact", "equals", [0.9], "reproduced"),
    ("exact", "equals", [1.1], "reproduced"),
    ("exact", "equals", [0.899], "not_reproduced"),
    ("exact", "equals", [1.101], "not_reproduced"),
    # median: the whole interval on one side, or across the bound
    ("median", "above", [1.0] * 20, "reproduced"),
    ("median", "above", [0.9] * 20, "not_reproduced"),
    ("median", "above", [0.9] * 10 + [1.1] * 10, "inconclusive"),
    ("median", "above", [0.9] * 2 + [1.1] * 18, "reproduced"),
    ("median", "above", [0.9] * 18 + [1.1] * 2, "not_reproduced"),
    ("median", "above", [0.9] * 3 + [1.1] * 17, "inconclusive"),
    ("median", "above", [0.9] * 17 + [1.1] * 3, "inconclusive"),
    # an interval that touches the bound from the wrong side: its end satisfies the relation
    ("median", "above", [0.9] * 10 + [1.0] * 10, "inconclusive"),
    ("median", "below", [1.0] * 10 + [1.1] * 10, "inconclusive"),
    ("median", "above", [1.1] * MEDIAN_SEEDS, "reproduced"),
    ("median", "above", [1.1] * (MEDIAN_SEEDS - 1), "inconclusive"),
    ("median", "above", [0.9] * (MEDIAN_SEEDS - 1), "inconclusive"),
    ("median", "below", [1.0] * 20, "reproduced"),
    ("median", "below", [1.1] * 20, "not_reproduced"),
    ("median", "below", [0.9] * 10 + [1.1] * 10, "inconclusive"),
    ("median", "below", [0.9] * 18 + [1.1] * 2, "reproduced"),
    ("median", "below", [0.9] * 2 + [1.1] * 18, "not_reproduced"),
    ("median", "below", [0.9] * (MEDIAN_SEEDS - 1), "inconclusive"),
    ("median", "below", [0.9] * 18 + [NAN] * 2, "reproduced"),
    ("median", "below", [0.9] * 10 + [NAN] * 10, "inconclusive"),
    ("median", "equals", [1.1] * 20, "reproduced"),
    ("median", "equals", [0.9] * 20, "reproduced"),
    ("median", "equals", [1.2] * 20, "not_reproduced"),
    ("median", "equals", [0.8] * 20, "not_reproduced"),
    ("median", "equals", [1.0] * 10 + [1.2] * 10, "inconclusive"),
    ("median", "equals", [1.0] * 10 + [0.8] * 10, "inconclusive"),
    ("median", "equals", [0.8] * 10 + [1.2] * 10, "inconclusive"),
    ("median", "equals", [1.0] * (MEDIAN_SEEDS - 1), "inconclusive"),
    # every: enough agreeing seeds, or a few decisive counterexamples
    ("every", "above", [1.0] * EVERY_SEEDS, "reproduced"),
    ("every", "above", [1.0] * (EVERY_SEEDS - 1), "inconclusive"),
    ("every", "above", [1.0] * 16, "inconclusive"),
    ("every", "above", [0.9] * 3, "not_reproduced"),
    ("every", "above", [0.9] * 2, "inconclusive"),
    ("every", "above", [1.0] * 10 + [0.9] * 10, "not_reproduced"),
    ("every", "above", [1.0] * 380 + [0.9] * 20, "inconclusive"),
    ("every", "above", [1.0] * 399 + [0.9], "reproduced"),
    ("every", "above", [NAN] * 3, "not_reproduced"),
    ("every", "above", [INF] * EVERY_SEEDS, "reproduced"),
    ("every", "below", [1.0] * EVERY_SEEDS, "reproduced"),
    ("every", "below", [1.1] * 3, "not_reproduced"),
    ("every", "below", [1.0] * 380 + [NAN] * 20, "inconclusive"),
    ("every", "equals", [0.9, 1.1] * 75, "reproduced"),
    ("every", "equals", [0.89, 1.11] * 2, "not_reproduced"),
    ("every", "equals", [1.0] * 16, "inconclusive"),
    # mean: from sixteen on, which are enough for Student's interval
    ("mean", "above", [2.0, 2.1] * 7, "inconclusive"),
    ("mean", "above", [2.0, 2.1] * 8, "reproduced"),
]


@pytest.mark.parametrize(("quantifier", "kind", "values", "verdict"), CASES)
def test_verdicts(quantifier: str, kind: str, values: list[float], verdict: str) -> None:
    """Each kind of evidence leads to the verdict that the wording allows."""
    assert judged(RELATIONS[kind], quantifier, values).verdict == verdict


@pytest.mark.parametrize(
    ("quantifier", "values", "verdict"),
    [
        ("exact", [1.0], "reproduced"),
        ("exact", [2.0], "direction_only"),
        ("exact", [0.4], "not_reproduced"),
        ("exact", [NAN], "not_reproduced"),
        ("median", [1.0] * 20, "reproduced"),
        ("median", [2.0] * 20, "direction_only"),
        ("median", [0.4] * 20, "not_reproduced"),
        # across the end of the published value: not even the direction is awarded
        ("median", [1.0] * 10 + [2.0] * 10, "inconclusive"),
        # outside the published value, across the direction's bound
        ("median", [0.4] * 10 + [0.6] * 10, "inconclusive"),
        ("median", [2.0] * (MEDIAN_SEEDS - 1), "inconclusive"),
        ("every", [2.0] * EVERY_SEEDS, "direction_only"),
        ("every", [2.0] * 16, "inconclusive"),
        ("every", [0.4] * 16, "not_reproduced"),
        ("every", [1.0] * EVERY_SEEDS, "reproduced"),
    ],
)
def test_direction_is_weighed_only_where_the_value_fails(
    quantifier: str, values: list[float], verdict: str
) -> None:
    """The weaker statement saves a claim only if it holds itself, at the same level."""
    assert judged(EQUALS, quantifier, values, direction=HALF).verdict == verdict


@pytest.mark.parametrize(
    ("value", "margin", "to_flip"),
    [
        (2.0, 4.0, "left [0.5, infinity)"),
        (1.0, 1.0, "left [0.9, 1.1]"),
        (0.4, 5.0, "entered [0.9, 1.1]"),
    ],
)
def test_the_bound_that_decides_is_told(value: float, margin: float, to_flip: str) -> None:
    """A claim of which only the direction holds is as safe as that direction."""
    found = judged(EQUALS, "exact", [value], direction=HALF)
    assert found.margin == pytest.approx(margin)
    assert found.to_flip == f"a measurement that {to_flip}"


def test_a_claim_that_nothing_decides_is_not_testable() -> None:
    """Such a claim gets its verdict without data, and refuses to be judged from values."""
    why = "no transformer here"
    subject = Claim(id="x", statement="s", expected=Verdict.NOT_TESTABLE, because=why)
    found = judge(subject, None, ALPHA)
    assert found.verdict is Verdict.NOT_TESTABLE
    assert found.as_expected
    assert found.sentence == why
    row = json.loads(json.dumps(found.row(), allow_nan=False))
    assert row["kind"] is row["measured"] is row["interval"] is row["margin"] is None
    assert row["seeds"] == row["seeds_needed"] == 0
    assert judge(subject, xr.Dataset(), ALPHA).verdict is Verdict.NOT_TESTABLE
    assert judge(claim(ABOVE), None, ALPHA).verdict is Verdict.NOT_TESTABLE
    with pytest.raises(ValueError, match="'x' is not testable"):
        judge_values(subject, np.ones(3), ALPHA)


def test_judge_measures_the_claims_metric() -> None:
    """From a dataset the judge takes the metric of the claim, for its activation."""
    dataset = xr.Dataset(
        {"final_mse": (("activation", "seed"), [[2.0] * 20, [0.5] * 20])},
        coords={"activation": ["relu", "gelu"], "seed": range(20)},
    )
    subject = claim(ABOVE, metric={"name": "final_mse", "activation": "relu"})
    found = judge(subject, dataset, ALPHA)
    assert (found.verdict, found.measured, found.seeds) == ("reproduced", 2.0, 20)


@pytest.mark.parametrize(
    ("quantifier", "values", "measured", "interval", "needed"),
    [
        ("exact", [3.0], 3.0, (3.0, 3.0), 1),
        # n = 20: 2 P(B < 3) = 4.0e-4 and 2 P(B < 4) = 2.6e-3, so the third from each end
        ("median", [float(v) for v in range(20)], 9.5, (2.0, 17.0), MEDIAN_SEEDS),
        # what is no number lies below all others where the claim says "above"
        ("median", [*(float(v) for v in range(19)), NAN], 8.5, (1.0, 16.0), MEDIAN_SEEDS),
        ("median", [1.0, 2.0, 6.0], 2.0, None, MEDIAN_SEEDS),
        ("median", [1.0, NAN, NAN], -INF, None, MEDIAN_SEEDS),
        ("every", [2.0] * 4, 1.0, (0.0005**0.25, 1.0), EVERY_SEEDS),
        ("every", [2.0, 0.5, 0.5, 0.5], 0.25, None, EVERY_SEEDS),
        ("mean", [2.0, 3.0] * 7, 2.5, None, 16),
    ],
)
def test_measured_value_interval_and_seeds(
    quantifier: str,
    values: list[float],
    measured: float,
    interval: tuple[float, float] | None,
    needed: int,
) -> None:
    """A claim is summed up by its value, its median or the share of seeds that agree."""
    found = judged(ABOVE, quantifier, values)
    assert found.measured == measured
    assert (found.seeds, found.seeds_needed) == (len(values), needed)
    if interval is not None:
        assert found.interval == pytest.approx(interval)
    if quantifier in ("median", "mean"):
        assert (found.interval is None) == (interval is None)


@pytest.mark.parametrize(
    ("relation", "quantifier", "values", "margin"),
    [
        # factors, of the end that would cross first
        (ABOVE, "exact", [4.0], 4.0),
        (ABOVE, "exact", [0.25], 4.0),
        (BELOW, "exact", [0.25], 4.0),
        (BELOW, "exact", [4.0], 4.0),
        (ABOVE, "median", [2.0] * 10 + [8.0] * 10, 2.0),
        (ABOVE, "median", [0.1] * 10 + [0.5] * 10, 2.0),
        (BELOW, "median", [0.1] * 10 + [0.5] * 10, 2.0),
        (BELOW, "median", [2.0] * 10 + [8.0] * 10, 2.0),
        (ABOVE, "every", [3.0] * 199 + [9.0], 3.0),
        (ABOVE, "every", [0.1, 0.1, 0.2], 5.0),
        # tolerances, of the end that would cross first
        (EQUALS, "exact", [1.0], 1.0),
        (EQUALS, "exact", [1.05], 0.5),
        (EQUALS, "exact", [0.95], 0.5),
        (EQUALS, "exact", [1.3], 2.0),
        (EQUALS, "exact", [0.7], 2.0),
        (EQUALS, "median", [1.0] * 10 + [1.075] * 10, 0.25),
        (EQUALS, "median", [0.925] * 10 + [1.0] * 10, 0.25),
        (EQUALS, "median", [1.2] * 10 + [1.9] * 10, 1.0),
        (EQUALS, "median", [0.2] * 10 + [0.8] * 10, 1.0),
        ({**EQUALS, "value": -2.0, "relative": True}, "exact", [-2.1], 0.5),
        ({**EQUALS, "value": 2.0, "relative": True}, "exact", [2.8], 3.0),
        # without meaning
        ({**ABOVE, "value": 0.0}, "exact", [4.0], None),
        (ABOVE, "exact", [-4.0], None),
        (ABOVE, "exact", [0.0], None),
        ({**ABOVE, "value": -2.0}, "exact", [-8.0], 4.0),
        (ABOVE, "exact", [INF], None),
        (EQUALS, "exact", [NAN], None),
        (ABOVE, "median", [2.0] * 3, None),
        (ABOVE, "every", [2.0] * 5 + [NAN], None),
        (BELOW, "every", [0.5] * 5 + [-INF], None),
    ],
)
def test_margin(
    relation: dict[str, Any], quantifier: str, values: list[float], margin: float | None
) -> None:
    """Margins are factors for orderings and tolerances for values, from the near end."""
    found = judged(relation, quantifier, values).margin
    assert found == (None if margin is None else pytest.approx(margin))


MORE = "more seeds, so that the interval no longer straddles the bound"
WORDS = [
    (ABOVE, "exact", [2.5], "measured 2.5", "a measurement that left [1, infinity)"),
    (BELOW, "exact", [2.5], "measured 2.5", "a measurement that entered (-infinity, 1]"),
    (EQUALS, "median", [1.0] * 20, "between 1 and 1", "a measurement that left [0.9, 1.1]"),
    (ABOVE, "median", [2.0, 2.0, 3.0], "too few seeds for an interval", "11 seeds instead of 3"),
    (ABOVE, "median", [0.5] * 10 + [1.5] * 10, "between 0.5 and 1.5", MORE),
    (ABOVE, "median", [0.5] * 5 + [1.5] * (MEDIAN_SEEDS - 5), "between 0.5 and 1.5", MORE),
    (
        ABOVE,
        "every",
        [0.25, 0.5, 0.75, 1.5],
        "1 of 4 seeds agree: shows that at most 95 % do, values from 0.25 to 1.5",
        "a measurement that entered [1, infinity)",
    ),
    (
        ABOVE,
        "every",
        [1.5] * 16,
        "16 of 16 seeds agree: shows that at least 62.1 % do, values from 1.5 to 1.5",
        "149 seeds instead of 16",
    ),
]


@pytest.mark.parametrize(("relation", "quantifier", "values", "sentence", "to_flip"), WORDS)
def test_finding_and_what_would_change_it(
    relation: dict[str, Any], quantifier: str, values: list[float], sentence: str, to_flip: str
) -> None:
    """Every verdict says in words what was found and what would turn it."""
    found = judged(relation, quantifier, values, published=3.25)
    if quantifier == "median":
        sentence = f"median {np.median(values):g} over {len(values)} seeds, {sentence}"
    assert found.sentence == f"{sentence}; published 3.25"
    assert found.to_flip == to_flip
    assert judged(relation, quantifier, values).sentence == sentence


@pytest.mark.parametrize("kind", sorted(RELATIONS))
@pytest.mark.parametrize("quantifier", ["exact", "median", "every", "mean"])
def test_what_is_no_number_never_passes(kind: str, quantifier: str) -> None:
    """No claim of any wording is reproduced, nor its direction, by NaN alone."""
    weaker = {"kind": "above", "value": -1e6}
    found = judged(RELATIONS[kind], quantifier, [NAN] * 200, direction=weaker)
    assert found.verdict is Verdict.NOT_REPRODUCED


def test_a_flip_of_a_claim_about_every_seed_is_not_excused_by_too_few() -> None:
    """Pinned as failing, which a handful of seeds shows, it fails the test once all agree."""
    pinned = judged(ABOVE, "every", [2.0] * 16, expected="not_reproduced")
    assert pinned.verdict is Verdict.INCONCLUSIVE
    assert pinned.seeds >= pinned.seeds_needed == 3
    assert pinned.lacks_runs is False
    assert judged(ABOVE, "every", [2.0] * 16).lacks_runs is True
    assert judged(ABOVE, "every", [0.5] * 16, expected="not_reproduced").as_expected


def test_row_is_json_ready() -> None:
    """The ledger's row holds what the report and the summary need, as plain JSON."""
    about = {"source": "somewhere", "because": "of reasons", "expected": "not_reproduced"}
    found = judged(ABOVE, "median", [2.0] * 20, published=3.0, **about)
    assert not found.as_expected
    row = found.row()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert row == {
        "id": "a-claim",
        "verdict": "reproduced",
        "expected": "not_reproduced",
        "published": 3.0,
        "measured": 2.0,
        "interval": [2.0, 2.0],
        "margin": 2.0,
        "kind": "above",
        "seeds": 20,
        "seeds_needed": MEDIAN_SEEDS,
        "statement": "Something holds.",
        "source": "somewhere",
        "finding": found.sentence,
        "published_run": None,
        "published_mean": None,
        "flip_probability": None,
        "looks": None,
        "to_flip": found.to_flip,
        "because": "of reasons",
    }
    assert judged(ABOVE, "median", [2.0]).row()["interval"] is None


def test_judging_one_claim_alone_is_judging_it_among_all() -> None:
    """The error level is the file's, 0.01 over all with a sampling error, whoever is judged."""
    published = claims_module.published()
    testable = [c for c in published.claim if c.expected != "not_testable"]
    assert published.level_of_each == 0.01 / sum(c.quantifier != "exact" for c in testable)
    # Eleven seeds suffice for ten claims (0.001), not for the file's level: no fewer claims
    # in one call may lower the bar.
    subject = published.get("sigmoid-is-far-worse-than-relu")
    values = np.full(MEDIAN_SEEDS, 10.0)
    assert judge_values(subject, values, 1e-3).verdict == "reproduced"
    assert judge_values(subject, values, published.level(subject)).verdict == "inconclusive"


@settings(derandomize=True, max_examples=100)
@given(
    st.lists(st.floats(), min_size=1, max_size=30),
    st.sampled_from(["exact", "median", "every", "mean"]),
    st.sampled_from(sorted(RELATIONS)),
)
def test_no_values_break_the_judge(values: list[float], quantifier: str, kind: str) -> None:
    """There is a verdict whatever was measured, never a pass on too few seeds nor a NaN margin."""
    found = judged(RELATIONS[kind], quantifier, values[:1] if quantifier == "exact" else values)
    if found.seeds < found.seeds_needed:
        assert found.verdict is not Verdict.REPRODUCED
    assert found.margin is None or found.margin >= 0
    assert found.sentence
    assert found.to_flip
