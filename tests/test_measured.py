"""Stored measurements come back as they were, and a fresh run that differs is caught by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from fresh_runs import compare

from actbench import claims
from actbench.claims import ClaimsFile, measured
from actbench.claims.measured import Entry, Measured
from actbench.store.errors import ActbenchError
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.experiments import (
    activation_derivatives,
    closed_forms,
    gradient_flow,
    sine_regression,
)

EXACT: dict[str, str | int | float] = {"name": "first_gradient", "activation": "relu", "layer": 1}
DRAWN: dict[str, str | int | float] = {"name": "final_mse", "activation": "relu"}
LAYERS = 3


def stored(exact: list[float], drawn: list[float]) -> Measured:
    """Measurements of one exact metric and one that is drawn."""
    return Measured(
        schema_version=1,
        protocol="small",
        settings={"depth": 2},
        environment={"torch": "2.6.0"},
        entries=[
            Entry(metric=EXACT, definition="d", exact=True, values=exact),
            Entry(metric=DRAWN, definition="d", exact=False, values=drawn),
        ],
    )


def drawn(seed: int, count: int, scale: float = 1.0) -> list[float]:
    """Log-normal losses."""
    return [scale * float(v) for v in np.random.default_rng(seed).lognormal(0, 0.1, count)]


@pytest.fixture(scope="module")
def training() -> xr.Dataset:
    """The study's five activations on networks small enough to train here."""
    config = sine_regression.Config(
        seeds=3, epochs=31, depth=LAYERS - 1, width=4, points=10, device="cpu", threads=1
    )
    return sine_regression.run(config)


@pytest.fixture(scope="module")
def file() -> ClaimsFile:
    """The shipped claims, without those of one seed's last epochs, which a short run lacks."""
    shipped = claims.published()
    kept = tuple(claim for claim in shipped.claim if "seed" not in claim.metric)
    return shipped.model_copy(update={"claim": kept})


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Every field survives, infinities of either sign too."""
    original = stored([1.0, -math.inf], [0.1, 0.2, math.inf])
    path = measured.save(original, tmp_path)
    assert path == tmp_path / "small.json"
    loaded = measured.load("small", tmp_path)
    assert loaded == original
    assert loaded.values(EXACT).tolist() == [1.0, -math.inf]
    assert loaded.values(dict(reversed(DRAWN.items()))).tolist() == [0.1, 0.2, math.inf]
    with pytest.raises(
        ActbenchError, match=r"'layer': 2.*'small'.*--actbench-regenerate-baselines"
    ):
        loaded.values({**EXACT, "layer": 2})


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda content: {**content, "schema_version": 2}, "schema version 2, but.*version 1"),
        (lambda content: {**content, "schema_version": 0}, "schema version 0, but.*version 1"),
        (lambda content: {**content, "extra": 1}, "can't read the measurements in.*'extra'"),
        (lambda content: {"schema_version": 1}, "field 'protocol': Field required"),
        (lambda content: [content], "it is no JSON object"),
    ],
)
def test_another_schema_is_refused(edit: Callable[[Any], Any], text: str, tmp_path: Path) -> None:
    """A file of another version or shape is named with what to do."""
    path = measured.save(stored([1.0], [1.0]), tmp_path)
    path.write_text(json.dumps(edit(json.loads(path.read_text()))), encoding="utf-8")
    with pytest.raises(ActbenchError, match=text) as error:
        measured.load("small", tmp_path)
    assert str(path) in str(error.value)


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    """Each says which file, and the missing one how to write it."""
    with pytest.raises(
        ActbenchError, match=r"nowhere\.json.*pytest --actbench-regenerate-baselines"
    ):
        measured.load("nowhere", tmp_path)
    path = measured.save(stored([1.0], [1.0]), tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ActbenchError, match=r"can't read the measurements in .*small\.json"):
        measured.load("small", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, 2.0], [1.00009, 1.9999], None),
        ([1.0, 2.0], [1.0, 2.00021], "1 of 2 values differ, by up to 0.00011 relative"),
        ([1e-12, 2.0], [1.01e-12, 2.0], "1 of 2 values differ, by up to 0.01 relative"),
        ([1.0, 2.0], [2.0, 6.0], "2 of 2 values differ, by up to 2 relative"),
        ([0.0], [0.0], None),
        ([0.0], [1e-300], "1 of 1 values differ, by up to inf relative"),
        ([None], [None], None),
        ([None, 1.0], [3.0, 1.0], "1 of 2 values differ, by up to 1 relative"),
        ([3.0, 1.0], [None, 1.0], "1 of 2 values differ, by up to inf relative"),
        # fewer seeds, or more, than are stored: those that both have
        ([1.0, 2.0, 3.0], [1.0, 2.0], None),
        ([1.0, 2.0], [1.0, 2.0, 9.0], None),
        ([1.0, 2.0, 3.0], [1.0, 2.1], "1 of 2 values differ, by up to 0.05 relative"),
    ],
)
def test_exact_values_are_compared_seed_by_seed(
    old: list[float], new: list[float], found: str | None
) -> None:
    """Rounding passes; anything more is counted, and how far it went is told."""
    same = drawn(1, 20)
    differences = compare(stored(old, same), stored(new, same))
    assert [(d.metric, d.how) for d in differences] == ([(EXACT, found)] if found else [])


def test_a_difference_says_which_metric_went_from_where_to_where() -> None:
    """The text of a difference is one line with metric, arguments, both medians and why."""
    old = stored([1.0, 3.0, 5.0, 9.0], [1.0])
    (difference,) = compare(old, stored([1.0, 3.5, 5.0], [1.0]))
    assert str(difference) == (
        "first_gradient(activation=relu, layer=1): stored 3, now 3.5 "
        "(1 of 3 values differ, by up to 0.17 relative)"
    )


def test_a_metric_that_only_one_side_has_is_a_difference() -> None:
    """What no claim asks for any more, and what is asked for and not stored, is told by name."""
    both = stored([1.0, 2.0], drawn(0, 20))
    (exact, random) = both.entries
    one, other = (both.model_copy(update={"entries": [entry]}) for entry in (exact, random))
    found = {str(d.metric["name"]): d.how for d in compare(one, other)}
    assert found == {
        EXACT["name"]: "no claim asks for it any more",
        DRAWN["name"]: "not stored yet",
    }


def test_drawn_values_are_compared_as_distributions() -> None:
    """Other seeds of the same distribution pass; a shift or runs that diverge do not."""
    old = stored([1.0], drawn(1, 100))
    assert compare(old, stored([1.0], drawn(2, 16))) == []
    (shifted,) = compare(old, stored([1.0], drawn(2, 16, scale=1.3)))
    assert shifted.metric == DRAWN
    assert "two-sample test, p = " in shifted.how
    assert shifted.fresh / shifted.stored == pytest.approx(1.3, abs=0.05)
    (diverged,) = compare(old, stored([1.0], [math.inf] * 16))
    assert diverged.fresh == math.inf


def test_a_step_of_rounding_is_no_other_distribution() -> None:
    """Where all seeds end on one optimum, what is left of their spread is the processor's."""
    near = [0.213 * (1 + float(v)) for v in np.random.default_rng(1).normal(0, 1e-8, 100)]
    for scale in (1 - 5e-5, 1 + 5e-5):
        fresh = [scale * v * (1 + 1e-6 * (n % 3 - 1)) for n, v in enumerate(near[:16])]
        assert compare(stored([1.0], list(near)), stored([1.0], list(fresh))) == []
    for scale in (1 - 3e-4, 1 + 3e-4):
        fresh = [scale * v for v in near[:16]]
        assert len(compare(stored([1.0], list(near)), stored([1.0], list(fresh)))) == 1


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ([1e-9, 3e-9], None),
        ([0.0, 1.5e-5], None),
        ([2e-7, 1e-4], "1 of 2 values are above 1.5e-05, the most that rounding makes"),
        ([math.inf, math.nan], "2 of 2 values are above 1.5e-05, the most that rounding makes"),
    ],
)
def test_what_is_only_rounding_has_a_ceiling_and_no_distribution(
    new: list[float], found: str | None
) -> None:
    """16 products of 8 terms, each within 8 eps: below that nothing is said, whatever is stored."""
    metric: dict[str, Any] = {"name": "deviation_from_line", "activation": "linear"}
    old, fresh = (
        stored([1.0], [1.0]).model_copy(
            update={
                "settings": {"depth": 15, "width": 8, "dtype": "float32"},
                "entries": [Entry(metric=metric, definition="d", exact=False, values=values)],
            }
        )
        for values in (drawn(1, 100, scale=1e-7), new)
    )
    assert [difference.how for difference in compare(old, fresh)] == ([found] if found else [])


def test_clean_comparisons_do_not_alarm_however_many_metrics_there_are() -> None:
    """The level is shared: 50 comparisons of 20 drawn metrics each stay silent."""
    rng = np.random.default_rng(3)

    def several(count: int) -> Measured:
        entries = [
            Entry(
                metric={"name": "final_mse", "activation": str(number)},
                definition="d",
                exact=False,
                values=[float(v) for v in rng.normal(size=count)],
            )
            for number in range(20)
        ]
        return stored([1.0], [1.0]).model_copy(update={"entries": entries})

    assert sum(len(compare(several(40), several(16))) for _ in range(50)) == 0


def test_the_level_is_that_of_all_drawn_metrics_together() -> None:
    """A p value between the shared level and the whole one is no alarm."""
    # Separated samples of 6: p = 2 / C(12, 6) = 2.2e-3; of 7: 2 / C(14, 7) = 5.8e-4.
    low, high = [float(v) for v in range(7)], [float(v) for v in range(10, 17)]
    one = stored([1.0], list(low))
    assert len(compare(one, stored([1.0], list(high)))) == 1
    assert compare(stored([1.0], list(low[:6])), stored([1.0], list(high[:6]))) == []
    two = one.model_copy(update={"entries": [*one.entries, one.entries[1]]})
    assert compare(two, stored([1.0], list(high))) == []


def test_what_is_stored_of_a_run(training: xr.Dataset, file: ClaimsFile) -> None:
    """All metrics of the protocol's claims once, the first gradients and the early losses."""
    found = measured.from_dataset("stated", file, training)
    keys = [json.dumps(entry.metric, sort_keys=True) for entry in found.entries]
    assert len(set(keys)) == len(keys)
    for claim in file.claim:
        if claim.protocol == "stated":
            assert json.dumps(claim.metric, sort_keys=True) in keys
    gradients = [e for e in found.entries if e.metric["name"] == "first_gradient"]
    assert len(gradients) == len(sine_regression.STUDY_ACTIVATIONS) * LAYERS
    for key in sine_regression.STUDY_ACTIVATIONS:  # rounding decides kinks after some ten epochs
        place = {"name": "early_loss", "activation": key}
        epochs = {e.metric["epoch"] for e in found.entries if place.items() <= e.metric.items()}
        assert epochs == ({0, 1, 10} if key in ("relu", "leaky_relu") else {0, 1, 10, 30})
    exact = {str(e.metric["name"]) for e in found.entries if e.exact}
    assert exact == {"first_gradient", "early_loss"}
    assert all(len(e.values) == 3 for e in found.entries)
    assert found.settings["depth"] == LAYERS - 1
    assert "torch" in found.environment
    magnitude = training["gradient_magnitude"].sel(activation="gelu", recorded_epoch=0, layer=2)
    metric = {"name": "first_gradient", "activation": "gelu", "layer": 2}
    np.testing.assert_array_equal(found.values(metric), magnitude.to_numpy())


def test_one_per_cent_in_one_gradient_is_caught_and_named(
    training: xr.Dataset, file: ClaimsFile, tmp_path: Path
) -> None:
    """A clean run raises nothing; one layer's gradients 1 % too large raise their own name."""
    measured.save(measured.from_dataset("stated", file, training), tmp_path)
    baseline = measured.load("stated", tmp_path)
    assert compare(baseline, measured.from_dataset("stated", file, training)) == []
    faulty = training.copy(deep=True)
    place = {"activation": "leaky_relu", "recorded_epoch": 0, "layer": 2}
    faulty["gradient_magnitude"].loc[place] *= 1.01
    (difference,) = compare(baseline, measured.from_dataset("stated", file, faulty))
    assert difference.metric == {"name": "first_gradient", "activation": "leaky_relu", "layer": 2}
    assert "3 of 3 values differ, by up to 0.01 relative" in difference.how


def test_exact_claims_of_other_experiments_are_stored(file: ClaimsFile) -> None:
    """An experiment without gradients stores its claims' metrics alone, seedless ones as exact."""
    dataset = closed_forms.run(closed_forms.Config())
    found = measured.from_dataset("closed-forms", file, dataset)
    wanted = {
        json.dumps(c.metric, sort_keys=True) for c in file.claim if c.protocol == "closed-forms"
    }
    assert {json.dumps(e.metric, sort_keys=True) for e in found.entries} == wanted
    assert all(entry.exact and len(entry.values) == 1 for entry in found.entries)


def test_a_derivative_at_the_kink_is_caught_and_named(file: ClaimsFile) -> None:
    """Of every activation the derivatives at -1, 0 and 1 are stored, beside their extremes."""
    dataset = activation_derivatives.run(activation_derivatives.Config(reach=2.0, points=5))
    baseline = measured.from_dataset("derivatives", file, dataset)
    places = {
        (e.metric["activation"], e.metric["z"])
        for e in baseline.entries
        if e.metric["name"] == "derivative_at"
    }
    assert places == {(key, z) for key in ACTIVATIONS for z in (-1.0, 0.0, 1.0)}
    dataset["derivative"].loc[{"activation": "relu", "z": 0.0}] = 0.5
    (difference,) = compare(baseline, measured.from_dataset("derivatives", file, dataset))
    assert str(difference).startswith("derivative_at(activation=relu, z=0.0): stored 0, now 0.5")


def test_recovered_ratios_and_error_signals_are_stored_as_exact(file: ClaimsFile) -> None:
    """Ratios of depths up to 10, and under He the error signal's share, seed by seed."""
    config = gradient_flow.Config(
        activations=("tanh", "relu"),
        depths=(5, 10, 11),
        seeds=2,
        initializers=("he_normal",),
        width=2,
        points=3,
        threads=1,
    )
    dataset = gradient_flow.run(config)
    baseline = measured.from_dataset("none of the shipped", file, dataset)
    assert [e.metric for e in baseline.entries] == [
        {"name": name, "activation": key, **more}
        for key in ("tanh", "relu")
        for name, more in (
            ("recovered_ratio", {"depth": 5}),
            ("recovered_ratio", {"depth": 10}),
            ("error_share", {"initializer": "he_normal", "depth": 10}),
        )
    ]
    assert all(entry.exact for entry in baseline.entries)
    place = {"activation": "tanh", "depth": 10, "layer": 1, "seed": 43}
    dataset["error_signal"].loc[place] *= 1.001
    (difference,) = compare(baseline, measured.from_dataset("none of the shipped", file, dataset))
    assert difference.metric["name"] == "error_share"
    assert "1 of 2 values differ, by up to 0.001 relative" in difference.how


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_stored_as_what_it_is(
    value: float, file: ClaimsFile, tmp_path: Path
) -> None:
    """It comes back from strict JSON, and a fresh run that gives the same does not differ."""
    dataset = closed_forms.run(closed_forms.Config())
    values: npt.NDArray[np.float64] = dataset["best_line_mse"].to_numpy()
    values[:] = value
    found = measured.from_dataset("closed-forms", file, dataset)
    line, *_ = [e for e in found.entries if e.metric.get("quantity") == "best_line_mse"]
    assert f'"{value}"' in measured.save(found, tmp_path).read_text(encoding="utf-8")
    loaded = measured.load("closed-forms", tmp_path)
    np.testing.assert_array_equal(loaded.values(line.metric), [value])
    assert compare(loaded, found) == []
    other = found.model_copy(update={"entries": [line.model_copy(update={"values": [0.5]})]})
    assert line.metric in [difference.metric for difference in compare(other, found)]


def test_what_was_written_before_is_read_as_before(tmp_path: Path) -> None:
    """A null is an infinity; another word is none, and the error says which there are."""
    path = measured.save(stored([1.0], [math.nan]), tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"nan"', "null"), encoding="utf-8")
    assert measured.load("small", tmp_path).values(DRAWN).tolist() == [math.inf]
    path.write_text(text.replace('"nan"', '"NaN"'), encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"write a number or one of 'nan', 'inf', '-inf'"):
        measured.load("small", tmp_path)


@pytest.mark.parametrize("protocol", sorted(claims.published().protocol))
def test_shipped_measurements_hold_every_claim_of_their_protocol(
    protocol: str, file: ClaimsFile
) -> None:
    """A fast run can judge any claim from the store."""
    loaded = measured.load(protocol)
    assert loaded.protocol == protocol
    for claim in file.claim:
        if claim.protocol == protocol:
            assert len(loaded.values(claim.metric)) >= 1
