"""Records: what is written comes back, and nothing but a whole, unedited record is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_factory import a_record, step

from actbench.store.errors import ActbenchError
from actbench.tracking import records
from actbench.tracking.records import Chain


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """Every part of a record survives the file, to the last bit."""
    record = a_record()
    records.save(record, tmp_path / "r.json")
    assert records.load(tmp_path / "r.json") == record
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)


def _with(**changes: Any) -> Callable[[str], str]:
    def change(text: str) -> str:
        return json.dumps(json.loads(text) | changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:300], "can't read the record in"),
        (lambda text: "", "can't read the record in"),
        (lambda text: "[" * 100_000, "it is nested too deep"),
        (lambda text: text.replace("0.1", "NaN", 1), "is nan, or too large"),
        (lambda text: text.replace("0.1", "1e999", 1), "is inf, or too large"),
        (lambda text: text.replace("0.1", "1" * 5000, 1), "with too many digits"),
        (lambda text: "[1, 2]", "it is no JSON object"),
        (_with(kind="else"), "is no record of actbench"),
        (_with(schema_version="1"), "states no schema version"),
        (_with(schema_version=2), "schema version 2, but this actbench reads version 1. Update"),
        (_with(made_at="yesterday"), "was edited or damaged: its checksum does not fit"),
        (_with(sha256=None), "was edited or damaged"),
        (lambda text: text.replace('"reproduced"', '"not_reproduced"', 1), "was edited"),
    ],
    ids=[
        *("cut", "empty", "deep", "nan", "huge", "digits", "list", "foreign", "text", "newer"),
        *("edited", "bare", "flip"),
    ],
)  # fmt: skip
def test_anything_but_a_whole_record_is_refused(
    change: Callable[[str], str], message: str, tmp_path: Path
) -> None:
    """A cut, edited, foreign or newer file is one clear sentence that says what to do."""
    path = tmp_path / "r.json"
    records.save(a_record(), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ActbenchError) as caught:
        records.load(path)
    text = str(caught.value)
    assert message in text
    assert str(path) in text
    assert "\n" not in text
    assert "actbench" in text.rpartition(". ")[2]


def test_a_record_with_a_field_too_many_is_refused(tmp_path: Path) -> None:
    """Even with a checksum that fits, what the schema does not know is named and refused."""
    record = a_record().model_dump(mode="json")
    record["verdicts"][0]["surprise"] = 1
    record["sha256"] = records._checksum(record)
    (tmp_path / "r.json").write_text(json.dumps(record))
    with pytest.raises(ActbenchError, match=r"field 'verdicts\.0\.surprise': Extra"):
        records.load(tmp_path / "r.json")


def test_a_record_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The error names the file and the command that makes one."""
    with pytest.raises(ActbenchError, match=r"there is no file .*x\.json\. Make"):
        records.load(tmp_path / "x.json")


def test_a_folder_is_read_in_the_order_of_releases(tmp_path: Path) -> None:
    """2.9 comes before 2.13, and one broken file hides no other."""
    for release in ("2.13.0", "2.9.1", "2.15.0+cpu"):
        records.save(a_record(release), tmp_path / f"{release}.json")
    (tmp_path / "broken.json").write_text("{")
    found, refused = records.load_folder(tmp_path)
    assert [record.torch for _, record in found] == ["2.9.1", "2.13.0", "2.15.0"]
    assert len(refused) == 1
    assert "broken.json" in refused[0]


def test_a_folder_without_records_is_said(tmp_path: Path) -> None:
    """An empty folder, and one with nothing but broken files, name the way out."""
    with pytest.raises(ActbenchError, match=r"holds no record\. Make one with: actbench record"):
        records.load_folder(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ActbenchError, match=r"holds no record \(.*the record in .*broken\.json"):
        records.load_folder(tmp_path)


def test_releases_sort_by_their_numbers() -> None:
    """Nightlies come after the releases before them, and before the one that they lead to."""
    releases = ["2.16.0", "2.16.0.dev20261101", "2.9.1", "unknown", "2.13.0", "2.6.0"]
    ordered = ["unknown", "2.6.0", "2.9.1", "2.13.0", "2.16.0.dev20261101", "2.16.0"]
    assert sorted(releases, key=records.release_order) == ordered


def test_a_chain_is_named_by_what_applies() -> None:
    """Names are what a user types to look for a change."""
    fields = {"dtype": "float32", "steps": [step("rand", [0.0])]}
    streams = Chain.model_validate({"engine": "streams", "activation": None, **fields})
    assert streams.name == "streams/float32"
    assert a_record().chains[0].name == "operations/relu/float64"
