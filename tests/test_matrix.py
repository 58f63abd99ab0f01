"""One record for each of several releases: kept, made, or said to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from record_factory import a_record

from actbench.store.errors import ActbenchError
from actbench.tracking import records
from actbench.tracking.releases import shelf
from actbench.tracking.releases.measuring import Progress
from actbench.tracking.releases.shelf import track
from actbench.tracking.releases.subject import Subject


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Releases whose recording was asked for; of 2.7.0 it fails."""
    asked: list[str] = []

    def record(release: str, out: Path, _: Sequence[str], progress: Progress, __: Subject) -> None:
        asked.append(release)
        progress("recording it")
        if release == "2.7.0":
            raise ActbenchError("no wheel")
        records.save(a_record(release, made_at="2026-12-01T00:00:00+00:00"), out)

    monkeypatch.setattr(shelf, "record_release", record)
    return asked


def test_a_failure_does_not_stop_the_others(made: list[str], tmp_path: Path) -> None:
    """Each release has its outcome, in the order given, each once, and phases are told apart."""
    phases: list[tuple[str, str]] = []
    outcomes = list(
        track(
            ["2.6.0", "2.7.0", "2.8.0", "2.6.0"],
            tmp_path,
            progress_of=lambda release: lambda phase: phases.append((release, phase)),
        )
    )
    assert [outcome.sentence for outcome in outcomes] == [
        f"torch 2.6.0: recorded in {tmp_path}/torch-2.6.0.json",
        "torch 2.7.0: missing: no wheel",
        f"torch 2.8.0: recorded in {tmp_path}/torch-2.8.0.json",
    ]
    assert made == ["2.6.0", "2.7.0", "2.8.0"]
    assert phases == [(release, "recording it") for release in made]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "torch-2.6.0.json",
        "torch-2.8.0.json",
    ]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_record_that_is_there_is_kept_unless_asked(
    made: list[str], tmp_path: Path, overwrite: bool
) -> None:
    """The same command again makes what is missing only."""
    path = tmp_path / "torch-2.6.0.json"
    records.save(a_record("2.6.0+cpu"), path)
    before = path.read_bytes()
    (outcome,) = track(["2.6.0"], tmp_path, overwrite=overwrite)
    assert outcome.made is overwrite
    assert made == ["2.6.0"] * overwrite
    assert (path.read_bytes() != before) is overwrite
    assert ("kept, recorded before" in outcome.sentence) is not overwrite


@pytest.mark.parametrize(
    ("there", "only", "text"),
    [
        (a_record("2.8.0"), [], "torch-2.6.0.json is a record of torch 2.8.0. Replace it: --overw"),
        (
            a_record("2.6.0").model_copy(update={"timings": None, "chains": []}),
            [],
            "has no fingerprints and no timings. Make it anew with --overwrite",
        ),
        (a_record("2.6.0").model_copy(update={"timings": None}), ["timings"], "has no timings."),
        (a_record("2.6.0").model_copy(update={"timings": None}), ["verdicts"], ""),
        (None, [], "can't read the record in"),
    ],
    ids=["another release", "parts", "the part", "other parts", "damaged"],
)
def test_a_file_that_is_not_what_was_asked_for_is_missing_and_untouched(
    made: list[str], tmp_path: Path, there: records.Record | None, only: list[str], text: str
) -> None:
    """Another release, parts that it lacks, a damaged file: said, never silently replaced."""
    path = tmp_path / "torch-2.6.0.json"
    if there is None:
        path.write_text("{")
    else:
        records.save(there, path)
    before = path.read_bytes()
    (outcome,) = track(["2.6.0"], tmp_path, only)
    assert text in outcome.missing
    assert bool(outcome.missing) is bool(text)
    assert path.read_bytes() == before
    assert made == []
