"""A file of claims is read whole, or refused with file, claim and field."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from actbench import claims, metrics
from actbench.claims import Claim, Relation, Verdict, evidence
from actbench.claims.verdicts import judge
from actbench.errors import ActbenchError
from actbench.experiments import EXPERIMENTS

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


def inline(value: object) -> str:
    """A value as TOML spells it within one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a file of claims."""
    lines = [f"{k} = {inline(v)}" for k, v in content.items() if k not in {"protocol", "claim"}]
    for name, protocol in content.get("protocol", {}).items():
        lines += [f"[protocol.{name}]", *(f"{k} = {inline(v)}" for k, v in protocol.items())]
    for claim in content.get("claim", []):
        lines += ["[[claim]]", *(f"{k} = {inline(v)}" for k, v in claim.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
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


def test_a_good_file_loads(tmp_path: Path) -> None:
    """Every field arrives, and the relation's value is the published one where none is given."""
    loaded = claims.load(write(tmp_path / "claims.toml", good()))
    assert [claim.id for claim in loaded.claim] == ["first", "second"]
    first, second = loaded.claim
    assert first.relation is not None
    assert first.relation.bounds == pytest.approx((0.4, 0.6))
    assert (first.quantifier, first.share) == ("median", 0.95)
    assert second.relation is None
    assert loaded.alpha == 0.005
    assert loaded.get("second") is second
    with pytest.raises(ActbenchError, match=r"no claim has the id 'frist'. Did you mean first\?"):
        loaded.get("frist")
    given = change(good(), "claim.0.relation.value", 0.7)
    relation = claims.load(write(tmp_path / "claims.toml", given)).claim[0].relation
    assert relation is not None
    assert relation.value == 0.7


BAD = [
    (
        "claim.0.metric.name",
        "final_msee",
        r"claim 'first', field 'metric': there is no metric 'final_msee'. Did you mean 'final_mse'",
    ),
    (
        "claim.0.protocol",
        "other",
        r"claim 'first', field 'protocol': 'other' is not one of \['main",
    ),
    ("claim.0.relation.tolerance", None, r"claim 'first', field 'relation': .*needs a tolerance"),
    ("claim.0.relation.tolerance", 0.0, r"claim 'first', field 'relation.tolerance': .*greater"),
    ("claim.0.relation.tolerance", math.inf, r"claim 'first', field 'relation.tolerance'"),
    ("claim.0.relation.kind", "above", r"claim 'first', field 'relation': .*take none"),
    ("claim.0.relation.kind", "near", r"claim 'first', field 'relation.kind': .*'equals'"),
    ("claim.0.relation.reason", "", r"claim 'first', field 'relation.reason'"),
    ("claim.0.relation.value", math.nan, r"claim 'first', field 'relation.value'"),
    ("claim.0.published", None, r"claim 'first', .*needs a value, its own or the published"),
    ("claim.0.direction", {"kind": "above", "reason": "r"}, r"claim 'first', .*needs a value"),
    ("claim.0.published", math.inf, r"claim 'first', field 'published': .*finite"),
    ("claim.0.expected", "fine", r"claim 'first', field 'expected': .*'reproduced'"),
    ("claim.0.expected", None, r"claim 'first', field 'expected': Field required"),
    ("claim.0.because", "", r"claim 'first', field 'because'"),
    ("claim.0.share", 1.0, r"claim 'first', field 'share': .*less than 1"),
    ("claim.0.quantifier", "some", r"claim 'first', field 'quantifier'"),
    ("claim.0.metric", None, r"claim 'first', .*a testable claim needs a protocol, a metric"),
    ("claim.0.relation", None, r"claim 'first', .*a testable claim needs"),
    ("claim.0.tolerance", 1.0, r"claim 'first', field 'tolerance': Extra inputs"),
    ("claim.0.relation.tol", 1.0, r"claim 'first', field 'relation.tol': Extra inputs"),
    ("claim.0.id", None, r"claim 'number 1', field 'id': Field required"),
    ("claim.0.id", "Not Kebab", r"claim 'Not Kebab', field 'id'"),
    ("claim.0.id", "second", r"claim 'second', field 'id': stands there twice"),
    ("claim.1.metric", {"name": "final_mse"}, r"claim 'second', .*not_testable has no protocol"),
    ("claim.1.protocol", "main", r"claim 'second', .*not_testable has no protocol"),
    ("claim", None, r"field 'claim': Field required"),
    ("study", None, r"field 'study': Field required"),
    ("colour", "red", r"field 'colour': Extra inputs"),
    (
        "protocol.main.experiment",
        "sine",
        r"protocol 'main', field 'experiment': there is no.*'sine'",
    ),
    ("protocol.main.seeds", 0, r"field 'protocol.main.seeds'"),
    ("protocol.main.depth", 5, r"field 'protocol.main.depth': Extra inputs"),
]


@pytest.mark.parametrize(("place", "value", "text"), BAD)
def test_a_mistake_is_named(place: str, value: object, text: str, tmp_path: Path) -> None:
    """The error names the file, the claim and the field."""
    path = write(tmp_path / "claims.toml", change(good(), place, value))
    with pytest.raises(ActbenchError, match=text) as error:
        claims.load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_relative_tolerance_needs_something_to_be_relative_to(tmp_path: Path) -> None:
    """A share of 0 is no tolerance: nothing could be judged, and no margin be given."""
    zero = change(change(good(), "claim.0.published", 0.0), "claim.0.relation.relative", True)
    with pytest.raises(ActbenchError, match=r"claim 'first', .*can't be relative to a value of 0"):
        claims.load(write(tmp_path / "claims.toml", zero))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[[claim]]\nid = relu\n", "line 2"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"study = 's'\nclaim = [3]\n[protocol]\n", "claim 'number 1', Input should be"),
        (b"study = 's'\nclaim = []\n[protocol]\n", "field 'claim': Tuple should have at least 1"),
        (b"study = 's'\n[claim]\nid = 'a'\n[protocol]\n", "field 'claim'"),
    ],
)
def test_what_is_no_file_of_claims_is_told(content: bytes, text: str, tmp_path: Path) -> None:
    """A slip of the pen or another kind of file is a user's error, not a crash."""
    path = tmp_path / "claims.toml"
    path.write_bytes(content)
    with pytest.raises(ActbenchError, match=text) as error:
        claims.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ActbenchError, match=r"can't read the claims in .*nowhere\.toml"):
        claims.load(tmp_path / "nowhere.toml")


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
    built = Relation(**relation, reason="r")
    assert all(built.contains(value) for value in inside)
    assert not any(built.contains(value) for value in outside)


def test_the_shipped_file_has_the_studys_claims() -> None:
    """At least 35 claims of every kind, each named once, with a reason for every bound."""
    assert len(SHIPPED.claim) >= 35
    assert len({claim.id for claim in SHIPPED.claim}) == len(SHIPPED.claim)
    assert {claim.expected for claim in SHIPPED.claim} == set(Verdict) - {Verdict.INCONCLUSIVE}
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
def small_dataset() -> Iterator[Callable[[str], xr.Dataset]]:
    """Each protocol's experiment in its smallest form: activations, depths and layers are kept."""
    known: dict[str, xr.Dataset] = {}
    few = {"width": 2, "points": 5, "epochs": 2, "seeds": (42,), "threads": 1, "device": "cpu"}

    def find(name: str) -> xr.Dataset:
        if name not in known:
            protocol = SHIPPED.protocol[name]
            config = evidence.config_for(protocol, 1, "cpu", 1)
            smaller = {k: v for k, v in few.items() if k in config.__dataclass_fields__}
            config = dataclasses.replace(config, **smaller)
            known[name] = EXPERIMENTS[protocol.experiment].module().run(config)
        return known[name]

    yield find
    known.clear()


@pytest.mark.parametrize("testable", TESTABLE, ids=lambda claim: claim.id)
def test_a_claims_metric_resolves_on_its_experiment(
    testable: Claim, small_dataset: Callable[[str], xr.Dataset]
) -> None:
    """The experiment has what the metric reads, one value per seed or a single one."""
    assert testable.protocol is not None
    values = metrics.measure(testable.metric, small_dataset(testable.protocol))
    assert values.shape == (1,)


PUBLISHED_RATIOS = {
    "linear": "0.84",
    "sigmoid": "2.60e+07",
    "relu": "1.93",
    "leaky_relu": "0.72",
    "gelu": "0.83",
}


def test_the_gradient_ratios_come_out_with_the_printed_digits() -> None:
    """The claims themselves, on the recovered protocol: four of five digit by digit."""
    from actbench.experiments import gradient_flow

    # The random stream passes depths 5 and 10 before the others, and the robust part is apart.
    config = gradient_flow.Config(
        depths=(5, 10),
        seeds=1,
        initializers=("xavier_uniform",),
        robust_depths=(1,),
        points=2,
        deep_depth=0,
        spread_widths=(),
        threads=1,
    )
    dataset = gradient_flow.run(config)
    found = {}
    for claim in TESTABLE:
        if claim.metric["name"] == "recovered_ratio":
            judgment = judge(claim, dataset, SHIPPED.alpha)
            assert judgment.verdict is Verdict.REPRODUCED
            assert judgment.measured is not None
            printed = ".2e" if judgment.measured > 1e6 else ".2f"
            found[claim.activation] = format(judgment.measured, printed)
    assert found == PUBLISHED_RATIOS
