"""A file of claims is read whole, or refused with file, claim and field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actbench import claims
from actbench.activations import ACTIVATIONS
from actbench.claims import Claim
from actbench.errors import ActbenchError
from actbench.experiments import EXPERIMENTS

GOOD: Mapping[str, Any] = {
    "id": "relu-final-mse",
    "source": "a table",
    "statement": "It fits.",
    "experiment": "sine-regression",
    "metric": "final_mse",
    "activation": "relu",
    "published": 0.008,
    "tolerance": 0.1,
    "tolerance_reason": "One seed.",
}


def write(path: Path, *tables: Mapping[str, Any]) -> Path:
    """Write claims as TOML, with Python's own spelling of texts and numbers."""
    blocks = ["\n".join(f"{name} = {value!r}" for name, value in t.items()) for t in tables]
    path.write_text("".join(f"[[claim]]\n{block}\n" for block in blocks), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file of claims may be written."""
    return tmp_path / "claims.toml"


def test_the_shipped_file_loads() -> None:
    """The study's five final losses are there, with its own digits."""
    published = {c.activation: c.published for c in claims.published() if c.metric == "final_mse"}
    assert published == {
        "relu": 0.008041415,
        "leaky_relu": 0.008040654,
        "gelu": 0.008317092,
        "linear": 0.213001385,
        "sigmoid": 0.518152952,
    }


def test_every_shipped_claim_can_be_looked_up() -> None:
    """No claim is about an experiment or an activation that does not exist."""
    for claim in claims.published():
        assert claim.experiment in EXPERIMENTS
        assert claim.activation in ACTIVATIONS


def test_the_shipped_file_is_the_one_in_the_folder_of_baselines() -> None:
    """The folder of baselines is found, whether installed or in a clone."""
    assert claims.load(claims.baselines_folder() / "published.toml") == claims.published()


def test_claims_keep_their_order(path: Path) -> None:
    """A good file gives its claims as they stand there, with every field."""
    other = {**GOOD, "id": "another"}
    loaded = claims.load(write(path, GOOD, other))
    assert [claim.model_dump() for claim in loaded] == [dict(GOOD), other]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", "Not Kebab", "String should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$'"),
        ("source", "", "String should have at least 1 character"),
        ("tolerance_reason", "", "String should have at least 1 character"),
        ("published", "0.008", "Input should be a valid number"),
        ("published", math.nan, "Input should be a finite number"),
        ("tolerance", 0.0, "Input should be greater than 0"),
        ("tolerance", -0.1, "Input should be greater than 0"),
        ("activation", 7, "Input should be a valid string"),
        ("toleranze", 0.1, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_field_is_named(path: Path, field: str, value: object, message: str) -> None:
    """The error names the file, the claim and the field, and says what was expected."""
    good = {**GOOD, "id": "first"}
    table = {**GOOD, field: value}
    with pytest.raises(ActbenchError) as caught:
        claims.load(write(path, good, table))
    assert str(caught.value) == f"{path}: claim {table['id']!r}, field {field!r}: {message}"


@pytest.mark.parametrize("field", [name for name in GOOD if name != "id"])
def test_a_missing_field_is_named(path: Path, field: str) -> None:
    """No field may be left out."""
    table = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ActbenchError) as caught:
        claims.load(write(path, table))
    assert str(caught.value) == f"{path}: claim 'relu-final-mse', field {field!r}: Field required"


def test_a_claim_without_an_id_is_named_by_its_number(path: Path) -> None:
    """Where there is no id to name, the place in the file stands in for it."""
    table = {name: value for name, value in GOOD.items() if name != "id"}
    with pytest.raises(ActbenchError) as caught:
        claims.load(write(path, GOOD, table))
    assert str(caught.value) == f"{path}: claim 'number 2', field 'id': Field required"


def test_an_id_stands_once(path: Path) -> None:
    """Two claims of one name could not be told apart."""
    with pytest.raises(ActbenchError) as caught:
        claims.load(write(path, GOOD, {**GOOD, "id": "other"}, GOOD))
    assert str(caught.value) == f"{path}: claim 'relu-final-mse', field 'id': stands there twice"


def test_what_is_not_toml_is_told(path: Path) -> None:
    """A slip of the pen is told with its line."""
    path.write_text("[[claim]]\nid = relu\n", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"^can't read the claims in .*\.toml: .*line 2"):
        claims.load(path)


def test_what_is_not_text_is_told(path: Path) -> None:
    """A file of another kind is a user's error, not a crash."""
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ActbenchError, match=r"^can't read the claims in .*\.toml: 'utf-8' codec"):
        claims.load(path)


def test_a_missing_file_is_told(path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ActbenchError) as caught:
        claims.load(path)
    assert str(caught.value) == (
        f"can't read the claims in {path}: [Errno 2] No such file or directory: '{path}'"
    )


@pytest.mark.parametrize(
    "text",
    ["", "[[claims]]\nid = 'relu'\n", "[claim]\nid = 'relu'\n", "claim = [3]\n", "claim = []\n"],
)
def test_a_file_without_claims_is_told(path: Path, text: str) -> None:
    """A misspelled heading must not read as a study without claims, all of which hold."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ActbenchError) as caught:
        claims.load(path)
    assert str(caught.value) == (
        f"{path} holds no claims; each is a table that begins with [[claim]]"
    )


@pytest.mark.parametrize(
    ("value", "holds"),
    [(1.0, True), (1.25, True), (0.75, True), (1.26, False), (0.74, False), (-1.0, False)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_holds_within_its_tolerance(value: float, holds: bool, sign: int) -> None:
    """The tolerance is relative to the published value, both ends included, of either sign."""
    claim = Claim(**{**GOOD, "published": 1.0 * sign, "tolerance": 0.25})
    assert claim.holds_for(value * sign) is holds


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_holds(value: float) -> None:
    """A network that diverged reproduces nothing."""
    assert not Claim(**GOOD).holds_for(value)
