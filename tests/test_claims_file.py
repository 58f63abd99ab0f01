"""A file of claims is read whole, or refused with file, claim and field."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from claim_factory import as_toml, inline
from small_runs import recovered

from actbench import claims
from actbench.claims import Claim, Relation, Verdict, metrics
from actbench.claims.verdicts import judge
from actbench.runs import evidence
from actbench.store.errors import ActbenchError
from actbench.study.experiments import EXPERIMENTS

SHIPPED = claims.published()
TESTABLE = [claim for claim in SHIPPED.claim if claim.expected is not Verdict.NOT_TESTABLE]


def good() -> dict[str, Any]:
    """A file with a testable and a not testable claim, as TOML reads it."""
    return {
        "study": "A study",
        "protocol": {"main": {"experiment": "closed-forms"}},
        "claim": [
            {
                "id": "first",
                "source": "a table",
                "statement": "It fits.",
                "protocol": "main",
                "metric": {"name": "closed_form", "quantity": "best_line_mse", "target": "x"},
                "published": 0.5,
                "expected": "reproduced",
                "because": "It does.",
                "relation": {"kind": "equals", "tolerance": 0.1, "reason": "Digits."},
            },
            {
                "id": "second",
                "source": "advice",
                "statement": "Use it.",
                "expected": "not_testable",
                "because": "No experiment does.",
            },
        ],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a file of claims."""
    path.write_text(as_toml(content), encoding="utf-8")
    return path


def change(content: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """Set what lies at a dotted place of a copy, or remove it where the value is ``None``."""
    changed = copy.deepcopy(content)
    *parents, last = (int(part) if part.isdigit() else part for part in place.split("."))
    table: Any = changed
    for part in parents:
        table = table[part]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return changed


def variant(**changes: Any) -> dict[str, Any]:
    """The good file with a third claim that judges the first one's statement once more."""
    content = good()
    third = {**copy.deepcopy(content["claim"][0]), "id": "third", "variant_of": "first", **changes}
    return {**content, "claim": [*content["claim"], third]}


def refusal(path: Path) -> str:
    """What is said of a file that can't be read, which names the file first."""
    with pytest.raises(ActbenchError) as caught:
        claims.load(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    return told.removeprefix(f"{path}: ")


def test_a_good_file_loads(tmp_path: Path) -> None:
    """Every field arrives, and the relation's value is the published one where none is given."""
    loaded = claims.load(write(tmp_path / "claims.toml", good()))
    assert [claim.id for claim in loaded.claim] == ["first", "second"]
    first, second = loaded.claim
    assert first.relation is not None
    assert first.relation.bounds == pytest.approx((0.4, 0.6))
    assert (first.quantifier, first.share) == ("median", 0.95)
    assert second.relation is None
    assert loaded.level(first) == 0.01  # the second claim has no sampling error
    assert loaded.get("second") is second
    with pytest.raises(ActbenchError, match=r"no claim has the id 'frist'. Did you mean first\?"):
        loaded.get("frist")


@pytest.mark.parametrize(("value", "bounds"), [(0.7, (0.6, 0.8)), (1, (0.9, 1.1))])
def test_a_value_of_its_own_comes_first(
    value: float, bounds: tuple[float, float], tmp_path: Path
) -> None:
    """A whole number is a number: strict types refuse texts, not ``value = 1``."""
    content = change(good(), "claim.0.relation.value", value)
    relation = claims.load(write(tmp_path / "claims.toml", content)).claim[0].relation
    assert relation is not None
    assert relation.value == value
    assert relation.bounds == pytest.approx(bounds)


def test_a_variant_stands_beside_what_it_is_of(tmp_path: Path) -> None:
    """Whichever of a statement's claims is asked for, all are told, the first one first."""
    loaded = claims.load(write(tmp_path / "claims.toml", variant()))
    for name in ("first", "third"):
        assert [c.id for c in loaded.alike(loaded.get(name))] == ["first", "third"]
    assert [c.id for c in loaded.alike(loaded.get("second"))] == ["second"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"variant_of": "frist"}, "no claim has the id 'frist'. Did you mean 'first'"),
        ({"variant_of": "third"}, "'third' is a variant itself; name the claim that states it"),
        ({"published": 0.7}, "'first' differs in 'ours' or 'published', so it is another"),
        ({"ours": True}, "'first' differs in 'ours' or 'published', so it is another"),
    ],
)
def test_a_variant_of_nothing_is_refused(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    """What it names must be there, state it first, and state the same."""
    told = refusal(write(tmp_path / "claims.toml", variant(**changes)))
    assert told.startswith(f"claim 'third', field 'variant_of': {text}")


WANTED = [
    ("claim.0.relation.tolerance", 0.0, "above 0"),
    ("claim.0.relation.tolerance", True, "a number"),
    ("claim.0.relation.tolerance", math.inf, "a finite number"),
    ("claim.0.relation.value", math.nan, "a finite number"),
    ("claim.0.relation.value", "0.2", "a number"),
    ("claim.0.relation.kind", "near", "'equals', 'above' or 'below'"),
    ("claim.0.relation.reason", "", "a text that is not empty"),
    ("claim.0.relation.relative", 0, "true or false"),
    ("claim.0.relation", 3, "a table"),
    ("claim.0.published", math.inf, "a finite number"),
    ("claim.0.published", "0.5", "a number"),
    ("claim.0.because", "", "a text that is not empty"),
    ("claim.0.share", 1.0, "below 1"),
    ("claim.0.share", "0.9", "a number"),
    ("claim.0.quantifier", "some", "'exact', 'median', 'every' or 'mean'"),
    ("claim.0.ours", "yes", "true or false"),
    ("claim.0.ours", 1, "true or false"),
    ("protocol.main.seeds", 0, "at least 1"),
    ("protocol.main.seeds", "16", "a whole number"),
    ("protocol.main.seeds", 16.0, "a whole number"),
    ("protocol.main.slow", "true", "true or false"),
    ("protocol.main.settings", 3, "a table"),
]
"""Place in the file and what must stand there: of its TOML type, no other that looks like it."""


@pytest.mark.parametrize(("place", "value", "wanted"), WANTED)
def test_what_must_stand_in_a_field_is_told(
    place: str, value: object, wanted: str, tmp_path: Path
) -> None:
    """With the claim or protocol, the field, and what stands there."""
    told = refusal(write(tmp_path / "claims.toml", change(good(), place, value)))
    table, _, field = place.split(".", 2)
    owner = {"claim": "claim 'first'", "protocol": "protocol 'main'"}[table]
    assert told == f"{owner}, field {field!r} is {inline(value)}, but must be {wanted}"


METRIC = "claim 'first', field 'metric': "
SHORT = {"experiment": "closed-forms", "settings": {"points": 9}}
RELATIVE, DECADES = {"claim.0.relation.relative": True}, {"claim.0.relation.decades": True}
BAD: list[tuple[dict[str, object], str]] = [
    ({"claim.0.metric.name": "final_msee"}, f"{METRIC}there is no metric .* you mean 'final_mse'"),
    ({"claim.0.metric.name": ["x"]}, f"{METRIC}there is no metric"),
    ({"claim.0.metric.target": ["x"]}, METRIC + r"target is \['x'\], but must be a text$"),
    ({"claim.0.metric": None}, f"{METRIC}closed-forms needs a metric with"),
    ({"claim.0.protocol": "other"}, r"claim 'first', field 'protocol': 'other' is not one of \['m"),
    ({"claim.0.relation": None}, "claim 'first': a testable claim needs"),
    ({"claim.0.relation.tolerance": None}, "claim 'first', field 'relation': .*needs a tolerance"),
    ({"claim.0.relation.kind": "above"}, "claim 'first', field 'relation': .*take none"),
    ({"claim.0.published": None}, "claim 'first': a relation needs a value, its own or the publ"),
    ({"claim.0.direction": {"kind": "above"}}, "claim 'first': .*needs a value"),
    ({"claim.0.expected": "x"}, "claim 'first', field 'expected' is 'x', but must be 'reproduced'"),
    ({"claim.0.id": None}, "claim 'number 1', field 'id' is missing; add it$"),
    ({"claim.0.id": "Not Kebab"}, "claim 'Not Kebab', field 'id'"),
    ({"claim.0.id": "second"}, "claim 'second', field 'id': stands there twice"),
    ({"claim.1.metric": {"name": "m"}}, "claim 'second': .*not_testable has no protocol"),
    ({"claim.1.protocol": "main"}, "claim 'second': .*not_testable has no protocol"),
    ({"claim": None}, "field 'claim' is missing; add it$"),
    ({"study": None}, "field 'study' is missing; add it$"),
    (
        {"protocol.main.experiment": "sine"},
        "protocol 'main', field 'experiment': .* no .*'sine'",
    ),
    (
        {"protocol.short": SHORT},
        "protocol 'short' is used by no claim; use it in a claim or",
    ),
    # A share of 0 is no tolerance, nor is a factor from 0 on.
    ({"claim.0.published": 0.0, **RELATIVE}, "claim 'first': .*can't be relative to a value of 0"),
    ({**DECADES, **RELATIVE}, "claim 'first', .* is 'relative' or in 'decades', not both"),
    (
        {**DECADES, "claim.0.relation.value": -1.0},
        "claim 'first': .* decades needs a value above 0",
    ),
    # A field that is not known, and one with a slip: not that the right one is missing.
    ({"claim.0.tolerance": 1.0}, "claim 'first', unknown field 'tolerance'; known: id, source"),
    ({"claim.0.relation.tol": 1.0}, "claim 'first', relation, unknown field 'tol'; .*'tolerance'"),
    ({"protocol.main.depth": 5}, "protocol 'main', unknown field 'depth'; known: exp"),
    ({"x": 1}, "unknown field 'x'; known: study, alpha, protocol, claim, fingerprint.$"),
]


@pytest.mark.parametrize(("changes", "text"), BAD)
def test_a_mistake_is_named(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    """The error names the file, the claim and the field."""
    content = good()
    for place, value in changes.items():
        content = change(content, place, value)
    told = refusal(write(tmp_path / "claims.toml", content))
    assert re.match(text, told), told


@pytest.mark.parametrize(
    ("table", "right", "wrong", "place"),
    [
        ("claim.0.", "because", "becuase", "claim 'first', "),
        ("claim.0.relation.", "reason", "raeson", "claim 'first', relation, "),
        ("claim.1.", "expected", "expect", "claim 'second', "),
        ("protocol.main.", "experiment", "experimnet", "protocol 'main', "),
        ("", "study", "sudy", ""),
    ],
)
def test_a_slip_in_a_fields_name_is_named(
    table: str, right: str, wrong: str, place: str, tmp_path: Path
) -> None:
    """Not that the right one is missing: the slip, with the name that is meant."""
    slipped = change(change(good(), table + right, None), table + wrong, "it")
    told = refusal(write(tmp_path / "claims.toml", slipped))
    assert told.startswith(f"{place}unknown field {wrong!r}; known: ")
    assert told.endswith(f"Did you mean {right!r}?")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[[claim]]\nid = relu\n", "line 2"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"study = 's'\nclaim = [3]\n[protocol]\n", "claim 'number 1' is 3, but must be a table$"),
        (
            b"study = 's'\nclaim = []\n[protocol]\n",
            r"field 'claim' is \[\], but must be one table \[\[claim\]\] at least",
        ),
        (
            b"study = 's'\n[claim]\nid = 'a'\n[protocol]\n",
            r"field 'claim' is .*, with two brackets$",
        ),
    ],
)
def test_what_is_no_file_of_claims_is_told(content: bytes, text: str, tmp_path: Path) -> None:
    """A slip of the pen or another kind of file is a user's error, not a crash."""
    path = tmp_path / "claims.toml"
    path.write_bytes(content)
    with pytest.raises(ActbenchError, match=text) as error:
        claims.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.toml", "there is no file {}. docs/own_study.md shows how to write one"),
        ("", "can't read the claims in {}: Is a directory"),
    ],
)
def test_a_missing_file_is_told(name: str, told: str, tmp_path: Path) -> None:
    """A file that is not there is named once, with what to do; a folder is none."""
    with pytest.raises(ActbenchError) as caught:
        claims.load(tmp_path / name)
    assert str(caught.value) == told.format(tmp_path / name)


@pytest.mark.parametrize(
    ("relation", "inside", "outside"),
    [
        ({"kind": "above", "value": 2.0}, [2.0, 9.0, math.inf], [1.99, -math.inf, math.nan]),
        ({"kind": "below", "value": 2.0}, [2.0, -9.0, -math.inf], [2.01, math.inf, math.nan]),
        (
            {"kind": "equals", "value": 2.0, "tolerance": 0.5},
            [1.5, 2.5],
            [1.49, 2.51, math.inf, -math.inf, math.nan],
        ),
        (
            {"kind": "equals", "value": -2.0, "tolerance": 0.5, "relative": True},
            [-3.0, -1.0],
            [-3.01, -0.99, 2.0],
        ),
    ],
)
def test_relation_contains(
    relation: dict[str, Any], inside: list[float], outside: list[float]
) -> None:
    """Both ends belong to it, whatever the sign; NaN never does."""
    built = Relation(**relation)
    assert all(built.contains(value) for value in inside)
    assert not any(built.contains(value) for value in outside)


def test_the_shipped_file_has_the_studys_claims() -> None:
    """At least 35 claims of every kind, each named once, with a reason for every bound."""
    assert len(SHIPPED.claim) >= 35
    assert len({claim.id for claim in SHIPPED.claim}) == len(SHIPPED.claim)
    assert {claim.expected for claim in SHIPPED.claim} == set(Verdict)
    for claim in SHIPPED.claim:
        assert (claim.direction is not None) >= (claim.expected is Verdict.DIRECTION_ONLY), claim.id
    chosen = claims.final_loss_claims(SHIPPED)
    assert {key: claim.published for key, claim in chosen.items()} == {
        "relu": 0.008041415,
        "leaky_relu": 0.008040654,
        "gelu": 0.008317092,
        "linear": 0.213001385,
        "sigmoid": 0.518152952,
    }


@pytest.fixture(scope="module")
def small_dataset() -> Callable[[str], xr.Dataset]:
    """Each protocol's experiment in its smallest form: activations, depths and layers are kept."""
    few = {"width": 2, "points": 5, "epochs": 2, "seeds": (42,), "threads": 1, "device": "cpu"}
    few["deep_seeds"] = 1

    @functools.cache
    def find(name: str) -> xr.Dataset:
        protocol = SHIPPED.protocol[name]
        config = evidence.config_for(protocol, 1, "cpu", 1)
        smaller = {k: v for k, v in few.items() if k in config.__dataclass_fields__}
        run = EXPERIMENTS[protocol.experiment].module().run
        dataset: xr.Dataset = run(dataclasses.replace(config, **smaller))
        return dataset

    return find


@pytest.mark.parametrize("testable", TESTABLE, ids=lambda claim: claim.id)
def test_a_claims_metric_resolves_on_its_experiment(
    testable: Claim, small_dataset: Callable[[str], xr.Dataset]
) -> None:
    """The experiment has what the metric reads: a single value, or one per seed or network."""
    assert testable.protocol is not None
    # The small dataset reaches the first epochs.
    metric = testable.metric | ({"epoch": 1} if "epoch" in testable.metric else {})
    values = metrics.measure(metric, small_dataset(testable.protocol))
    assert testable.quantifier == "mean" or values.shape == (1,)


def test_the_gradient_ratios_come_out_with_the_printed_digits() -> None:
    """The claims themselves, on the recovered protocol: four of five to the last digit."""
    found = {}
    for claim in TESTABLE:
        if claim.metric["name"] == "recovered_ratio":
            judgment = judge(claim, recovered(), SHIPPED.level(claim))
            assert judgment.verdict is claim.expected
            assert judgment.measured is not None
            printed = ".2e" if judgment.measured > 1e6 else ".2f"
            found[claim.activation] = format(judgment.measured, printed)
    assert found == {
        "linear": "0.84",
        "sigmoid": "2.60e+07",
        "relu": "1.93",
        "leaky_relu": "0.72",
        "gelu": "0.83",
    }


def test_the_study_is_known_by_any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path names the same claims, with the same stored measurements."""
    shipped = claims.published().path
    assert shipped is not None
    monkeypatch.chdir(shipped.parent)
    assert claims.load(Path(shipped.name)).of_the_study
