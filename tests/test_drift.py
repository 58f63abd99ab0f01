"""A drift says what changed between two records under the right heading, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from faults import FAULTS, Fault
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import (
    LONGER,
    LOSSES,
    PROTOCOLS,
    STEADY,
    chain,
    distribution,
    record,
    step,
    timings,
    verdict,
    whole,
    with_chains,
)

from actbench import claims
from actbench.store.errors import ActbenchError
from actbench.study import fingerprints
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.nets import devices
from actbench.tracking.drift.chains import ChainsDrift
from actbench.tracking.drift.comparing import Drift, compare, failures
from actbench.tracking.drift.distributions import (
    LAST_DIGIT_UNITS,
    Level,
    distance,
    dtype_of,
    margin_of,
    same_bits,
)
from actbench.tracking.records import Chain, Record


def between(old: Record, new: Record) -> Drift:
    """Compare two of the records made by hand."""
    return compare(old, new, PROTOCOLS)


def drift(old: Mapping[str, Any] | None = None, /, **new: Any) -> Drift:
    """Compare the record with every part with itself, changed."""
    return between(whole(**(old or {})), whole(**new))


def next_float(value: float, units: int, dtype: type = np.float64) -> float:
    """The number that lies some units in the last place above a positive one."""
    return float(dtype(value) + units * np.spacing(dtype(value)))


def only_metric(found: Drift, name: str) -> Any:
    """The one metric of a name."""
    (metric,) = [m for m in found.metrics.metrics if m.metric["name"] == name]
    return metric


# No drift.


def test_a_record_has_not_drifted_from_itself() -> None:
    """Nothing flips, every bit is the same, every workload is as fast, and no gate closes."""
    found = drift()
    assert not found
    assert found.levels() == {Level.IDENTICAL: 2}
    assert [c.level for c in found.chains.chains] == [Level.IDENTICAL] * 3
    assert [r.change for r in found.speed.workloads] == ["as before"] * 2
    assert found.speed.mean == 1
    assert found.chains.first_parting == ""
    assert found.scope.left_out == ()
    assert failures(found, strict=True, max_slowdown=1.0) == []


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
LISTS = st.lists(NUMBERS, min_size=1, max_size=20)
RECORDS = st.builds(
    lambda values, losses, verdicts, relative: whole(
        verdicts=[verdict(name, came_out) for name, came_out in verdicts.items()],
        distributions=[distribution(v, name=str(n)) for n, v in enumerate(values)],
        chains=[chain("stack/relu/float32", *(step("loss", [v], e) for e, v in enumerate(losses)))],
        timings=timings({"loop": relative}),
    ),
    st.lists(LISTS, min_size=1, max_size=3),
    LISTS,
    st.dictionaries(
        st.sampled_from(["first", "second", "other"]),
        st.sampled_from(["reproduced", "inconclusive"]),
        min_size=1,
    ),
    st.lists(st.floats(0.01, 100), min_size=2, max_size=9),
)


@given(RECORDS)
@settings(max_examples=25)
def test_any_record_has_not_drifted_from_itself(record: Record) -> None:
    """Whatever is in it, not-finite values among them."""
    found = between(record, record)
    assert not found
    assert failures(found, strict=True, max_slowdown=1.0) == []


@given(RECORDS, RECORDS)
@settings(max_examples=30)
def test_what_differs_does_not_depend_on_the_order(one: Record, other: Record) -> None:
    """Claims, metrics and steps that differ are the same both ways; what is new is then missing."""
    there, back = between(one, other), between(other, one)
    assert {f.id for f in there.claims.flips} == {f.id for f in back.claims.flips}
    assert set(there.claims.new) == set(back.claims.missing)
    assert {m.name: (m.level, m.units) for m in there.metrics.metrics} == {
        m.name: (m.level, m.units) for m in back.metrics.metrics
    }
    assert [[s.where for s in c.differing] for c in there.chains.chains] == [
        [s.where for s in c.differing] for c in back.chains.chains
    ]
    for a, b in zip(there.speed.workloads, back.speed.workloads, strict=True):
        assert a.ratio * b.ratio == pytest.approx(1)
        opposite = {"slower": "faster", "faster": "slower"}
        assert opposite.get(a.change, a.change) == b.change


# Distances.


@given(st.floats(1e-300, 1e300), st.integers(1, 1000))
def test_units_in_the_last_place_are_those_of_ieee(value: float, units: int) -> None:
    """So many steps of ``nextafter`` are so many units, or half as many beyond a power of two."""
    moved = value
    for _ in range(units):
        moved = math.nextafter(moved, math.inf)
    assert units / 2 <= distance(value, moved, "float64") <= units
    if math.frexp(value)[1] == math.frexp(moved)[1]:
        assert distance(moved, value, "float64") == units


@pytest.mark.parametrize(
    ("old", "new", "dtype", "units"),
    [
        (1.0, 1.0 + 2.0**-23, "float32", 1),
        (1.0, 1.0 + 2.0**-23, "float64", 2**29),
        (0.0, 2.0**-149, "float32", 1),
        (0.0, 5e-324, "float64", 1),
        (0.0, -0.0, "float64", 0),
        (None, None, "float32", 0),
        (None, 1.0, "float32", math.inf),
        (1.0, -1.0, "float32", 2**24),
    ],
)
def test_units_at_the_edges(old: Any, new: Any, dtype: Any, units: float) -> None:
    """Subnormal numbers, zeros, signs, and what is not finite."""
    assert distance(old, new, dtype) == units == distance(new, old, dtype)


def test_relative_distances_are_shares_of_the_larger() -> None:
    """From 0 to 2, infinite where one number is not finite."""
    assert distance(1.0, 4.0) == 0.75
    assert distance(-1.0, 1.0) == 2
    assert distance(0.0, 0.0) == distance(None, None) == 0
    assert distance(None, 0.0) == math.inf


def test_the_sign_of_zero_is_a_bit() -> None:
    """0 and -0 are equal numbers of other bits, and a difference in the last digit."""
    assert not same_bits([0.0], [-0.0])
    assert drift_of([-0.0], (0.0,)).level is Level.LAST_DIGIT


def test_the_bound_of_the_last_digit_is_what_its_reason_says() -> None:
    """Half a unit for each term of a loss of the study's network, the next power of two."""
    products = 1 + 9 * 64 + 64
    half_units = products + 11 + 200
    assert half_units == 852
    bound = 2 ** math.ceil(math.log2(half_units / 2))
    assert bound == LAST_DIGIT_UNITS


# Claims.


def test_a_flip_is_a_failure_whatever_was_expected() -> None:
    """Each verdict that differs is named with both, those that agree are not."""
    verdicts = [verdict("first"), verdict("second", "direction_only"), verdict("third")]
    found = drift(verdicts=verdicts)
    (flip,) = found.claims.flips
    assert (flip.id, flip.old, flip.new) == ("second", "reproduced", "direction_only")
    assert not found.numbers_differ
    assert not found.speed_differs
    assert failures(found, strict=False, max_slowdown=None) == ["1 claim flipped: second."]
    assert [u.id for u in found.claims.unexpected] == ["second"]


def test_a_claim_judged_from_stored_values_is_no_agreement() -> None:
    """It is counted as left out, whichever record it is stored in, and can't flip."""
    stored = {"verdicts": [verdict("second", "not_reproduced", fresh=False)]}
    for found in (drift(**stored), drift(stored)):
        assert found.claims.flips == ()
        assert (found.claims.compared, found.claims.stored) == (0, 1)
    undecided = {"expected": "not_testable", "fresh": False}
    untestable = {"verdicts": [verdict("first", "not_testable", **undecided)]}
    found = drift(untestable, **untestable)
    assert (found.claims.stored, found.claims.not_testable) == (0, 1)


def test_new_and_missing_claims_are_listed() -> None:
    """A claim of one record only is neither a flip nor an agreement."""
    found = drift({"verdicts": [verdict("first"), verdict("gone")]})
    assert found.claims.new == ("second", "third")
    assert found.claims.missing == ("gone",)
    assert found.claims.compared == 1


# Metrics.


def drift_of(new: list[float], old: tuple[float, ...] = LOSSES) -> Any:
    """How the main metric of one record drifted to these values."""
    found = drift({"distributions": [distribution(old)]}, distributions=[distribution(new)])
    return found.metrics.metrics[0]


@pytest.mark.parametrize(
    ("change", "level"),
    [
        pytest.param(lambda v: v, Level.IDENTICAL, id="none"),
        pytest.param(lambda v: next_float(v, 1, np.float32), Level.LAST_DIGIT, id="1-unit"),
        pytest.param(lambda v: next_float(v, 512, np.float32), Level.LAST_DIGIT, id="512-units"),
        pytest.param(lambda v: next_float(v, 513, np.float32), Level.WITHIN_SPREAD, id="513-units"),
        pytest.param(
            lambda v: v * (1 + 9e-5 * (-1) ** round(v * 2e4)), Level.WITHIN_SPREAD, id="either-side"
        ),
        pytest.param(
            lambda v: 2 * v if v == LOSSES[0] else v, Level.WITHIN_SPREAD, id="one-of-16-twice"
        ),
        pytest.param(lambda v: 1.0001 * v, Level.OUTSIDE_SPREAD, id="all-up"),
        pytest.param(lambda v: 2 * v, Level.OUTSIDE_SPREAD, id="twice"),
        pytest.param(lambda v: None, Level.OUTSIDE_SPREAD, id="diverged"),
    ],
)
def test_the_four_steps_of_a_metric(change: Callable[[float], Any], level: Level) -> None:
    """From the same bits to another distribution, with the borders where they are stated."""
    found = drift_of([change(v) for v in LOSSES])
    assert found.level is level
    assert (found.p is None) == (level in (Level.IDENTICAL, Level.LAST_DIGIT))


def test_the_last_digit_is_that_of_the_dtype_that_was_trained() -> None:
    """A float32 unit is half a billion units of float64."""
    for dtype, level in (("float32", Level.LAST_DIGIT), ("float64", Level.OUTSIDE_SPREAD)):
        protocols = {"protocols": {"stated": {"dtype": dtype}}}
        moved = [distribution([next_float(v, 1, np.float32) for v in LOSSES])]
        found = drift(protocols, **protocols, distributions=moved)
        assert only_metric(found, "final_mse").level is level


def test_a_protocol_without_a_dtype_tells_it_in_words() -> None:
    """One that computes a part in float32 is measured by that, one of formulas by float64."""
    assert dtype_of({"recovered": "...; float32", "robust": "float64"}) == "float32"
    assert dtype_of({"points": 200}) == "float64"
    assert dtype_of(None) == "float32"


def test_with_too_few_seeds_nothing_is_within_a_spread() -> None:
    """A deterministic number that moves by more than its last digit has no spread to hide in."""
    moved = distribution([0.505], "derivatives", "derivative_at")
    found = drift(distributions=[distribution(LOSSES), moved])
    metric = only_metric(found, "derivative_at")
    assert (metric.level, metric.p) == (Level.LARGER, None)
    (reason,) = failures(found, strict=True, max_slowdown=None)
    assert "derivatives: derivative_at(activation=relu)" in reason
    assert failures(found, strict=False, max_slowdown=None) == []


def of_metrics(values: Sequence[Any] | np.ndarray[Any, Any]) -> Record:
    """A record of these metrics and no other."""
    return whole(distributions=[distribution(v, name=str(n)) for n, v in enumerate(values)])


def test_the_level_is_spent_on_what_can_be_tested() -> None:
    """Not on metrics of the same bits, or of one digit more, nor on those with too few seeds."""
    draw = np.random.default_rng(3).lognormal(size=(100, 16))
    last_digit = draw * (1 + 1e-7)
    few = draw[:, :3]
    old = of_metrics([*draw, *draw, *few, draw[0]])
    new = of_metrics([*draw, *last_digit, *(2 * few), 2 * draw[0]])
    found = between(old, new)
    assert found.levels() == {
        Level.IDENTICAL: 100,
        Level.LAST_DIGIT: 100,
        Level.LARGER: 100,
        Level.OUTSIDE_SPREAD: 1,
    }
    assert (found.metrics.tested, found.metrics.alpha) == (1, 1e-3)
    assert found.metrics.metrics[-1].by_seed


@pytest.mark.parametrize(
    ("seeds", "metrics", "tested"),
    [(7, 1, 0), (8, 3, 3), (8, 4, 0), (10, 46, 46), (10, 47, 0), (11, 47, 47)],
)
def test_metrics_are_tested_where_their_tests_reach_their_part(
    seeds: int, metrics: int, tested: int
) -> None:
    """Two tests of 8 + 8 values have p of 2 * 2 / 12870 = 0.00031 at least, of 10 + 10 2.2e-5."""
    draw = np.random.default_rng(1).lognormal(size=(metrics, seeds))
    found = between(of_metrics(draw), of_metrics(2 * draw))
    assert found.metrics.tested == tested
    assert found.levels()[Level.LARGER] == metrics - tested
    more = np.random.default_rng(2).lognormal(size=16)
    found = between(of_metrics([*draw, more]), of_metrics([*(2 * draw), 2 * more]))
    if not tested:  # what can't be tested leaves the level to what can
        assert found.metrics.tested == 1
        assert found.metrics.alpha > 1e-3 / (metrics + 2)


def test_few_pairs_among_many_metrics_are_two_samples() -> None:
    """Signs of 16 pairs have 2^-15 at least, too much for a fiftieth of a thousandth."""
    draw = np.random.default_rng(2).lognormal(size=(60, 16))
    for count, by_seed in ((10, True), (60, False)):
        found = between(of_metrics(draw[:count]), of_metrics(1.01 * draw[:count]))
        assert {m.by_seed for m in found.metrics.metrics} == {by_seed}
        level = Level.OUTSIDE_SPREAD if by_seed else Level.WITHIN_SPREAD
        assert found.levels() == {level: count}


def test_a_shift_that_rounding_makes_is_none_however_consistent() -> None:
    """All of 200 seeds up by 1e-7 and by 5e-5, one by 1e-3: rounding; all up by 1e-4: a drift."""
    draw = np.random.default_rng(4).lognormal(size=200)
    for shift, level in (
        (1e-7, Level.WITHIN_SPREAD),
        (5e-5, Level.WITHIN_SPREAD),
        (1e-4, Level.OUTSIDE_SPREAD),
        (-1e-4, Level.OUTSIDE_SPREAD),
    ):
        moved = draw * (1 + shift)
        moved[0] *= 1.001
        assert drift_of(list(moved), tuple(draw)).level is level


def test_a_spread_is_seen_without_a_shift() -> None:
    """Twice as wide about the same middle, of 100 seeds: as pairs, and with fewer before."""
    draw = np.random.default_rng(5).normal(size=(2, 100))
    wider = list(5 + 2 * draw[0])
    for old in (5 + draw[0], 5 + draw[1], 5 + draw[1][:80]):
        found = drift_of(wider, tuple(old))
        assert (found.level, found.changed) == (Level.OUTSIDE_SPREAD, "spread")
        assert found.by_seed == (len(old) == 100)


def test_what_is_rounding_and_nothing_else_has_its_ceiling() -> None:
    """How far a line is from a line: 1.4e-7 on all seeds for 1e-7 is none, 1e-3 is a drift."""
    settings = {"dtype": "float32", "depth": 10, "width": 64}
    metric = {"name": "deviation_from_line", "activation": "linear"}
    assert margin_of(metric, settings).absolute == pytest.approx(11 * 64 * 2**-23)
    assert margin_of({**metric, "activation": "relu"}, settings).absolute == 0
    assert margin_of(metric, {**settings, "dtype": "float64"}).relative == 512 * 2**-52
    assert margin_of({"name": "values"}, {"function": "ours.py:error"}).relative == 512 * 2**-23
    for value, level in ((1.4e-7, Level.WITHIN_SPREAD), (1e-3, Level.OUTSIDE_SPREAD)):
        old, new = (
            {
                "protocols": {"stated": settings},
                "distributions": [distribution([each] * 16, metric=metric)],
            }
            for each in (1e-7, value)
        )
        assert drift(old, **new).metrics.metrics[0].level is level


def test_clean_comparisons_raise_no_alarm_however_many_metrics_there_are() -> None:
    """Of 20 records of 40 metrics from one distribution none has a metric that drifted."""
    draw = np.random.default_rng(7)
    records = [of_metrics(draw.lognormal(size=(40, 16))) for _ in range(40)]
    found = [between(a, b).levels() for a, b in zip(records[::2], records[1::2], strict=True)]
    assert sum(levels[Level.OUTSIDE_SPREAD] for levels in found) == 0
    assert sum(levels[Level.WITHIN_SPREAD] for levels in found) == 800


# Chains.


GELU = "operations/gelu/float64"


def gelu(*derivative: float | None, **more: Any) -> Chain:
    """The operations of GELU, as the record by hand has them, but for one."""
    moved = step("derivative", derivative or [0.75], **more)
    return chain(GELU, step("forward", [1.5]), moved)


def stack(
    first: float = 0.5,
    middle: float = 0.25,
    last: float = 0.0078125,
    spread: tuple[float, float] | None = (0.006, 0.01),
    gradient: float = 1.0,
) -> Chain:
    """The training of GELU, as the record by hand has it."""
    return chain(
        "stack/gelu/float32",
        step("loss", [first], 0),
        step("layer 1 gradient", [0.25, gradient], 0),
        step("loss", [middle], 50),
        step("loss", [last], 100, spread),
    )


def parted(old: Mapping[str, Chain], new: Mapping[str, Chain]) -> ChainsDrift:
    """Compare two records with some chains of their own."""
    return between(with_chains(whole(), **old), with_chains(whole(), **new)).chains


UNIT = 2.0**-53


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param(
            {},
            {"operations": gelu(0.75 + 2 * UNIT), "stack": stack(middle=0.26, last=0.009)},
            f"{GELU}: derivative, up to 2 units in the last place (3e-16 relative)",
            id="an operation before the training that rests on it",
        ),
        pytest.param(
            {},
            {"stack": stack(middle=next_float(0.25, 1, np.float32), last=0.0078125 * 1.01)},
            "stack/gelu/float32: loss, between epochs 0 and 50, up to 1 unit in the last place "
            "(1.2e-07 relative)",
            id="a loss between two recorded epochs",
        ),
        pytest.param(
            {},
            {"stack": stack(first=0.75)},
            "stack/gelu/float32: loss at epoch 0, up to 4.19e+06 units in the last place "
            "(0.33 relative)",
            id="of the first epoch, the very step",
        ),
        pytest.param(
            {},
            {"stack": stack(gradient=1.5)},
            "stack/gelu/float32: layer 1 gradient at epoch 0, up to 4.19e+06 units in the last "
            "place (0.33 relative)",
            id="a step of the first epoch",
        ),
        pytest.param(
            {"operations": gelu(0.75, count=4096)},
            {"operations": gelu(0.75, count=4096, salt="x")},
            f"{GELU}: derivative, in values other than the 1 of 4096 that are kept",
            id="values that are not kept",
        ),
        pytest.param(
            {"operations": gelu(1.5, 1.0, count=4096)},
            {"operations": gelu(1.5, 1.0 + 4 * UNIT, count=4096)},
            f"{GELU}: derivative, up to 2 units in the last place (4.4e-16 relative) in 2 of 4096 "
            "values",
            id="no bound for all",
        ),
    ],
)
def test_the_first_parting_is_told(
    old: Mapping[str, Chain], new: Mapping[str, Chain], sentence: str
) -> None:
    """What is simple before what rests on it, where in it, and how far, no more than is known."""
    assert parted(old, new).first_parting == sentence


def test_each_chain_that_differs_knows_how_much() -> None:
    """The largest level of its steps, the worst of them, and what became of its losses."""
    training = stack(middle=next_float(0.25, 1, np.float32), last=0.0078125 * 1.01)
    new = {"operations": gelu(0.75 + 2 * UNIT), "stack": training}
    operations, trained = parted({}, new).differing
    assert (operations.name, operations.level) == (GELU, Level.LAST_DIGIT)
    assert trained.name == "stack/gelu/float32"
    assert trained.first is not None
    assert trained.worst is not None
    assert trained.worst.where == "loss, between epochs 50 and 100"
    assert trained.worst.relative == pytest.approx(0.01, rel=0.02)
    assert trained.losses is Level.WITHIN_SPREAD
    (unseen,) = parted(
        {"operations": gelu(count=9)}, {"operations": gelu(count=9, salt="x")}
    ).differing
    assert unseen.level is Level.UNSEEN
    assert parted({}, {"stack": stack(first=0.75)}).differing[0].losses is Level.LARGER


@pytest.mark.parametrize(
    ("loss", "spread", "level"),
    [
        (0.0078125, (0.006, 0.01), None),
        (next_float(0.0078125, 512, np.float32), (0.006, 0.01), Level.LAST_DIGIT),
        (0.0099, (0.006, 0.01), Level.WITHIN_SPREAD),
        (0.0166, (0.006, 0.01), Level.WITHIN_SPREAD),
        (0.0167, (0.006, 0.01), Level.OUTSIDE_SPREAD),
        (0.0037, (0.006, 0.01), Level.WITHIN_SPREAD),
        (0.0035, (0.006, 0.01), Level.OUTSIDE_SPREAD),
        (0.0099, None, Level.LARGER),
    ],
)
def test_a_loss_is_held_against_the_spread_over_seeds(
    loss: float, spread: tuple[float, float] | None, level: Level | None
) -> None:
    """Widened by its own width, from 0.006^2 / 0.01 to 0.01^2 / 0.006, because it is one draw.

    Without a spread there is nothing to hold it against, so that no gate closes for it.
    """
    old, new = (with_chains(whole(), stack=stack(last=v, spread=spread)) for v in (0.0078125, loss))
    found = between(old, new)
    losses = [c.losses for c in found.chains.differing]
    assert losses == ([] if level is None else [level])
    failed = failures(found, strict=True, max_slowdown=None)
    assert bool(failed) == (level is Level.OUTSIDE_SPREAD)


def test_chains_and_steps_of_one_record_only_are_told() -> None:
    """They are neither the same nor different."""
    found = parted({}, {"operations": chain(GELU, step("forward", [1.5]))})
    (operations,) = [c for c in found.chains if c.engine == "operations"]
    assert (operations.steps, operations.only_in_one, operations.differing) == (1, 1, ())
    few = {"chains": whole().chains[:1]}
    assert drift(few).chains.new == (GELU, "stack/gelu/float32")
    assert len(drift(**few).chains.missing) == 2


# Speed.


def test_a_slowdown_shows_up_as_speed_only() -> None:
    """All work takes 1.5 times as long: no claim, no number, every workload, and the mean."""
    slow = timings({"loop/relu/float32": LONGER, "stack/relu/float32": LONGER})
    found = drift(timings=slow)
    assert not found.claims.flips
    assert not found.numbers_differ
    assert [r.change for r in found.speed.workloads] == ["slower", "slower"]
    assert found.speed.mean == pytest.approx(1.5)
    assert found.speed.control is not None
    assert found.speed.control.ratio == 1
    assert failures(found, strict=True, max_slowdown=None) == []
    (reason,) = failures(found, strict=True, max_slowdown=1.3)
    assert "loop/relu/float32 (1.5 times)" in reason
    assert failures(found, strict=False, max_slowdown=1.6) == []


def speed(
    old: Mapping[str, Sequence[float]],
    new: Mapping[str, Sequence[float]],
    control: Sequence[float] = (1.0, 1.0, 1.0),
) -> Drift:
    """Compare records with these durations, of which the first has a control of a second."""
    return drift({"timings": timings(old, [1.0] * 3)}, timings=timings(new, control))


def test_the_uncertainty_is_that_of_both_medians() -> None:
    """Notches of 3 % and 4 % are one of 5 %: 1.57 IQR / (median sqrt(n)) of 1 and of 2."""

    def rounds(share: float, median: float) -> list[float]:
        half = share * math.sqrt(5) / 1.57 / 2
        return [median * f for f in (1 - half, 1 - half, 1.0, 1 + half, 1 + half)]

    found = speed({"loop": rounds(0.03, 1.0)}, {"loop": rounds(0.04, 2.0)})
    (ratio,) = found.speed.workloads
    assert ratio.ratio == 2
    assert ratio.uncertainty == pytest.approx(0.05)
    assert found.speed.mean_uncertainty == pytest.approx(0.05)
    assert ratio.beyond(1.9)
    assert not ratio.beyond(1.95)


EVEN = (1.0,) * 7
WILD = (0.5, 0.6, 1.0, 1.4, 1.5)


@pytest.mark.parametrize(
    ("rounds", "factor", "change"),
    [
        pytest.param(EVEN, 1.04, "as before", id="within 5 %"),
        pytest.param(EVEN, 1.06, "slower", id="beyond 5 %"),
        pytest.param(EVEN, 1 / 1.04, "as before", id="faster within 5 %"),
        pytest.param(EVEN, 1 / 1.06, "faster", id="faster beyond 5 %"),
        pytest.param(WILD, 1.3, "as before", id="what noisy rounds could make"),
        pytest.param(EVEN, 1.3, "slower", id="the same of steady ones"),
        pytest.param((1.0,), 9.0, "unknown", id="one round"),
    ],
)
def test_a_change_of_speed_is_told_beyond_noise(
    rounds: Sequence[float], factor: float, change: str
) -> None:
    """Five per cent to either side at least; one round tells nothing, and fails no gate."""
    found = speed({"loop": rounds}, {"loop": [factor * v for v in rounds]})
    assert found.speed.workloads[0].change == change
    assert bool(failures(found, strict=False, max_slowdown=1.1)) == (
        change == "slower" and factor > 1.1
    )


def test_a_machine_in_another_mood_excuses_what_it_did_to_the_control() -> None:
    """Where the control took half the time, a workload must change by more than a factor of two."""
    longest = [2.2 * v for v in STEADY]
    new = {"loop": LONGER, "stack": longest}
    found = speed({"loop": STEADY, "stack": STEADY}, new, [0.5] * 5)
    assert [r.change for r in found.speed.workloads] == ["as before", "slower"]
    (reason,) = failures(found, strict=False, max_slowdown=1.3)
    assert "loop" not in reason
    assert "stack (2.2 times)" in reason


def test_workloads_of_one_record_only_are_told() -> None:
    """They have no ratio, and the mean is that of the others."""
    found = speed({"loop": STEADY, "old": STEADY}, {"loop": STEADY, "new": STEADY}).speed
    assert [r.name for r in found.workloads] == ["loop"]
    assert (found.new, found.missing) == (("new",), ("old",))


# What can't be compared.


ELSEWHERE = {"cpu": "another", "device_name": "another"}
PLACE = "Bits and speed are left out: "


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        pytest.param(
            ELSEWHERE,
            f"{PLACE}they come from different machines (cpu a processor in the old record, another "
            "in the new; device_name a processor in the old record, another in the new). Metrics "
            "are compared by value up to the last digit, and else as distributions.",
            id="another machine",
        ),
        pytest.param(
            {"arithmetic": "MKL_CBWR=AVX2,STRICT"},
            f"{PLACE}they come from different modes of arithmetic (arithmetic not stated in the "
            "old record, MKL_CBWR=AVX2,STRICT in the new). Metrics are compared by value up to the "
            "last digit, and else as distributions.",
            id="another mode of arithmetic",
        ),
        pytest.param(
            {"device": "mps"},
            f"{PLACE}device cpu in the old record, mps in the new.",
            id="another device of the same name",
        ),
    ],
)
def test_another_place_leaves_bits_and_speed_out(
    environment: Mapping[str, str], sentence: str
) -> None:
    """Claims and distributions are still compared, and what differs is named."""
    moved = [distribution([next_float(v, 3, np.float32) for v in LOSSES])]
    found = drift(environment=environment, distributions=moved)
    assert (found.chains.chains, found.speed.workloads) == ((), ())
    assert found.claims.compared == 3
    assert found.metrics.metrics[0].level is Level.LAST_DIGIT
    assert found.scope.left_out == (sentence,)


def test_another_number_of_threads_is_told() -> None:
    """Fingerprints and timings take one thread anyway; only the metrics' last digits may move."""
    found = drift(environment={"threads": 2})
    assert found.chains.chains
    assert found.speed.workloads
    assert found.scope.left_out == ()
    assert any("threads 1 in the old record, 2 in the new" in note for note in found.scope.notes)


def test_another_claims_file_leaves_claims_out() -> None:
    """A verdict on another claim of the same name is no verdict on this one."""
    found = drift(claims_sha256="cd" * 32, verdicts=[verdict("first", "not_reproduced")])
    assert (found.claims.flips, found.claims.compared) == ((), 0)
    assert "different claims files (SHA-256 abababab and cdcdcdcd)" in found.scope.left_out[0]


def test_a_claim_that_asks_something_else_is_left_out_and_no_other() -> None:
    """Whatever else stands in the claims file: its sentences drop nothing."""
    ids = ("first", "second", "third")
    old = {"verdicts": [verdict(n, digest=said) for n, said in zip(ids, "123", strict=True)]}
    new = [verdict(n, "inconclusive", digest=said) for n, said in zip(ids, "129", strict=True)]
    found = drift(old, claims_sha256="cd" * 32, verdicts=new)
    assert [flip.id for flip in found.claims.flips] == ["first", "second"]
    assert found.scope.left_out == ("1 claim asks something else now: third.",)
    # A record made before can only be compared whole.
    assert drift(claims_sha256="cd" * 32, verdicts=new).claims.compared == 0


def test_a_claims_digest_is_of_what_it_asks() -> None:
    """Prose changes nothing; a tolerance, a setting or the number of seeds does."""
    file = claims.published()
    claim = file.get("sigmoid-final-mse")
    digest = file.digest(claim)
    assert claim.relation is not None
    prose = {"because": "of other reasons", "statement": "Something.", "source": "elsewhere"}
    same = claim.model_copy(
        update={**prose, "relation": claim.relation.model_copy(update={"reason": "another"})}
    )
    assert file.digest(same) == digest
    wider = claim.relation.model_copy(update={"tolerance": 0.5})
    assert file.digest(claim.model_copy(update={"relation": wider})) != digest
    stated = file.protocol["stated"]
    for update in ({"seeds": 7}, {"settings": {"depth": 11}}):
        protocol = {**file.protocol, "stated": stated.model_copy(update=update)}
        assert file.model_copy(update={"protocol": protocol}).digest(claim) != digest
    assert len({file.digest(c) for c in file.claim if c.relation}) > 0.9 * len(file.claim)


def settings_of(**changes: Any) -> dict[str, Any]:
    """Protocols with other settings of the main run."""
    protocols = whole().protocols
    return {**protocols, "stated": {**protocols["stated"], **changes}}


def test_other_settings_leave_a_protocols_metrics_and_claims_out() -> None:
    """Only those of that protocol: the others still flip and drift."""
    verdicts = [verdict("first", "not_reproduced"), verdict("third", "not_reproduced", seeds=1)]
    found = drift(
        protocols=settings_of(epochs=400, seeds=[42]),
        verdicts=verdicts,
        distributions=[distribution([9.0]), distribution([0.6], "derivatives", "derivative_at")],
    )
    assert [f.id for f in found.claims.flips] == ["third"]
    assert (found.claims.compared, found.claims.left_out) == (1, 1)
    assert [m.protocol for m in found.metrics.metrics] == ["derivatives"]
    assert found.metrics.left_out == 1
    assert found.scope.left_out == (
        "Protocol stated, its metrics and its claims are left out: seeds [42, 43, 44, 45, 46, 47, "
        "...] in the old record, [42] in the new; epochs not stated in the old record, 400 in the "
        "new.",
    )


def test_a_claim_of_no_known_protocol_is_left_out_where_settings_differ() -> None:
    """Nobody knows whether it rests on them."""
    old, new = ({"verdicts": [verdict("else", said)]} for said in ("reproduced", "inconclusive"))
    assert drift(old, **new).claims.flips
    assert not drift(old, **new, protocols=settings_of(depth=3)).claims.flips


def test_where_a_protocol_ran_is_no_setting() -> None:
    """Threads and device move bits, which are told apart, and no claim is left out for them."""
    assert drift(protocols=settings_of(threads=2)).claims.compared == 3


LOOP = {"loop/relu/float32": STEADY}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"timings": None}, "No timings: the new record has none."),
        ({"chains": []}, "No fingerprints: the new record has none."),
        ({"verdicts": []}, "No claims: the new record has none."),
        ({"distributions": []}, "No metrics: the new record has none."),
        (
            {"timings": timings(LOOP, control="a loop")},
            'Speed is left out: the controls are different work ("NumPy\'s product" and '
            "'a loop').",
        ),
        (
            {"timings": timings(LOOP, threads=2)},
            "Speed is left out: timed on 1 threads in the old record, on 2 in the new.",
        ),
    ],
    ids=["timings", "fingerprints", "claims", "metrics", "control", "threads"],
)
def test_a_part_that_is_not_compared_is_told(changes: Mapping[str, Any], sentence: str) -> None:
    """One sentence for each, whichever of the records lacks it."""
    assert drift(**changes).scope.left_out == (sentence,)
    if "has none" in sentence:
        assert drift(changes).scope.left_out == (sentence.replace("new", "old"),)
        neither = drift(changes, **changes).scope.left_out
        assert neither == (sentence.partition(":")[0] + ": neither record has any.",)


@pytest.mark.parametrize(
    ("environment", "notes"),
    [
        ({}, ("Both records are of torch 2.6.0+cpu.",)),
        ({"torch": "2.6.0+cu124"}, ("Both records are of torch 2.6.0, in two builds.",)),
        (
            {"torch": "2.9.1+cpu", "numpy": "2.1.0", "torch_mkl": "2025"},
            (
                "The builds of torch differ: torch_mkl not stated in the old record, 2025 in the "
                "new.",
                "Not only torch differs, and what drifts may be due to it: numpy 2.0.0 in the old "
                "record, 2.1.0 in the new.",
            ),
        ),
    ],
    ids=["the same", "another build", "other packages"],
)
def test_what_else_differs_is_told(environment: Mapping[str, str], notes: tuple[str, ...]) -> None:
    """The same release, another build, and versions of other packages."""
    assert drift(environment=environment).scope.notes == notes


# The policy of exit codes.


def test_what_looked_at_nothing_does_not_pass() -> None:
    """Each gate needs something to look at, and says why there is none."""
    nothing = between(whole(), record())
    with pytest.raises(ActbenchError, match=r"^the two records have nothing that can be compared"):
        failures(nothing, strict=False, max_slowdown=None)
    claims = between(whole(), record(verdicts=whole().verdicts))
    assert failures(claims, strict=False, max_slowdown=None) == []
    with pytest.raises(ActbenchError, match=r"^--strict has no numbers to look at\. No metrics"):
        failures(claims, strict=True, max_slowdown=None)
    with pytest.raises(ActbenchError, match=r"^--max-slowdown has no workload to look at"):
        failures(claims, strict=False, max_slowdown=1.3)


@pytest.mark.parametrize("factor", [0.9, 0.0, -1.0, math.nan, math.inf])
def test_a_factor_that_makes_no_sense_is_refused(factor: float) -> None:
    """A limit below 1 would fail what is as fast as before."""
    with pytest.raises(ActbenchError, match=r"^--max-slowdown is \S+, but must be a finite factor"):
        failures(drift(), strict=False, max_slowdown=factor)


# Faults planted in torch.


def spared(fault: Fault) -> list[str]:
    """An activation that a fault must leave alone, where there is one."""
    return [key for key in ACTIVATIONS if key not in fault.moves][:1]


def asked(fault: Fault) -> list[tuple[Any, ...]]:
    """What gives the fingerprints of what is no training, and of the activations in question."""
    return [
        (fingerprints.streams,),
        (fingerprints.initial_weights,),
        (fingerprints.linear_operations, "float32"),
        *(
            (fingerprints.activation_operations, key, "float32")
            for key in (fault.moves[0], *spared(fault))
        ),
    ]


def taken(take: Callable[..., Chain], *given: str) -> Chain:
    """Take a fingerprint."""
    with devices.using_threads(1):
        return take(*given)


taken_before = cache(taken)
"""The same of the clean torch, once for all faults."""


def place(fault: Fault) -> str:
    """Where the drift must say that the two part: what a fault sits in, in words of a record."""
    if len(fault.moves) == 1:
        return f"operations/{fault.moves[0]}/float32: "
    if fault.sits_in in ("aten::uniform_", "aten::normal_", "torch.manual_seed"):
        return "streams/float32: rand"
    if "Linear" in fault.sits_in or "init" in fault.sits_in:
        return "initial-weights/float32: " + ("xavier" if "xavier" in fault.name else "torch")
    steps = {"bmm": "bmm", "bmm, mm, addmm": "linear", "sum": "sum", "_fused_adam_": "fused Adam"}
    named = steps.get(fault.sits_in.removeprefix("aten::"), "mse_loss")
    return "operations/float32: " + ("Adam" if "torch.optim" in fault.sits_in else named)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_drift_of_numbers_at_its_place(fault: Fault) -> None:
    """The clean torch and the faulty one part where the fault sits, and nothing else is told."""
    clean = whole(chains=[taken_before(*each) for each in asked(fault)])
    with fault.plant():
        faulty = whole(chains=[taken(*each) for each in asked(fault)])
    found = between(clean, faulty)
    assert found.numbers_differ
    assert found.chains.first_parting.startswith(place(fault))
    for key in spared(fault):
        assert f"operations/{key}/float32" not in {c.name for c in found.chains.differing}
    assert not found.claims.flips
    assert not found.speed_differs
    assert not between(clean, whole(chains=[taken(*each) for each in asked(fault)]))
