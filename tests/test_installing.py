"""The commands track and bisect: what they print, and how they end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from calls import Command
from claim_factory import least, text_of
from record_factory import chain, distribution, record, step, verdict

from actbench.store.errors import ActbenchError
from actbench.tracking import recording, records
from actbench.tracking.records import Record
from actbench.tracking.releases import measuring, shelf
from actbench.tracking.releases.measuring import Offered, Progress
from actbench.tracking.releases.subject import Subject, subject_of

OFFERED = tuple(f"2.{minor}.0" for minor in range(6, 14))


def a_release(release: str) -> Record:
    """GELU changed in 2.9.0."""
    value = 1.0 if int(release.split(".")[1]) < 9 else 2.0
    return record(release, chains=[chain("operations/gelu/float64", step("forward", [value]))])


def own_record(subject: Subject, release: str) -> Record:
    """The claim of `claims.toml` about a package `ours` is contradicted from 2.9.0 on."""
    assert subject.file is not None
    early = int(release.split(".")[1]) < 9
    value = verdict(
        "ours-is-small",
        "reproduced" if early else "contradicted",
        measured=1.0 if early else 9.0,
        digest=subject.file.digest(subject.file.claim[0]),
    )
    seeds = [str(seed) for seed in range(subject.seeds)]
    metric = {"name": "values", "claim": value.id}
    values = distribution(
        [float(value.measured or 0)] * len(seeds), "run", metric=metric, seeds=seeds
    )
    ours = {"package": "ours", "ours": release, **recording.code_of(subject.file), **subject.marks}
    return record("2.6.0", environment=ours, verdicts=[value], distributions=[values])


CLAIMS = text_of(least("ours-is-small", "run", {}, "below", 2), run={"function": "ours.py:small"})


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """A file with one claim about a function."""
    (tmp_path / "ours.py").write_text("def small(seed):\n    return 1\n")
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS)
    return path


def test_bisect_follows_a_claim_of_any_package(
    actbench: Command, claims: Path, tmp_path: Path
) -> None:
    """It names the release; asked again it makes nothing."""
    question = (
        *("bisect", "ours-is-small", "--good", "2.6", "--bad", "2.13", "--package", "Ours"),
        *("--claims", claims.name, "--allow-code"),
    )
    code, out, err = actbench(*question)
    assert code == 0
    assert "ours-is-small first changed in one of ours 2.8.0, 2.9.0" in out
    assert "  ours 2.9.0: contradicted, measured 9.0 over 16 seeds" in out.splitlines()
    made = re.findall(r"^ours (\S+): installing it$", err, re.MULTILINE)
    assert len(made) == 6  # the two ends and four more; 2.8.0 can't be installed
    kept = {path.name for path in (tmp_path / "results" / "bisect").iterdir()}
    assert kept == {f"ours-{name}-claims.json" for name in made if name != "2.8.0"}
    assert actbench(*question)[2] == "ours 2.8.0: installing it\n"


@pytest.mark.parametrize(
    "other", [{"seeds": 9}, {"needs": ("numpy<2",)}, {"package": "theirs"}, {"file": None}]
)
def test_a_record_answers_one_question(claims: Path, other: Mapping[str, Any]) -> None:
    """Of other seeds, needs, packages, claims or code it is not reused."""
    asked = subject_of(claims, "ours", (), allow_code=True)
    there = own_record(asked, "2.6.0")
    assert asked.fits(there)
    assert not replace(asked, **other).fits(there)
    (claims.parent / "ours.py").write_text("def small(seed):\n    return 2\n")
    assert not asked.fits(there)
    claims.write_text(CLAIMS.replace("value = 2", "value = 3"))
    assert not subject_of(claims, "ours", (), allow_code=True).fits(own_record(asked, "2.6.0"))


@pytest.fixture
def actbench(actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Call the command line where no release is really installed and 2.8.0 fails."""

    def made_of(
        release: str, out: Path, _: Sequence[str], progress: Progress, subject: Subject
    ) -> Record:
        progress("installing it")
        if release == "2.8.0":
            raise ActbenchError("no wheel")
        made = a_release(release) if subject.file is None else own_record(subject, release)
        out.parent.mkdir(parents=True, exist_ok=True)
        records.save(made, out)
        return made

    monkeypatch.setattr(measuring, "record_release", made_of)
    monkeypatch.setattr(shelf, "record_release", made_of)
    monkeypatch.setattr(measuring, "available_releases", lambda package: Offered(OFFERED, True))
    monkeypatch.setattr(shelf, "cpu_model", lambda: "a processor")
    monkeypatch.setattr(shelf.platform, "system", lambda: "Linux")  # type: ignore[attr-defined]
    monkeypatch.setattr(shelf.platform, "machine", lambda: "x86_64")  # type: ignore[attr-defined]
    monkeypatch.setattr(shelf, "baselines_folder", lambda: tmp_path / "baselines")

    return actbench


def test_track_goes_on_and_says_what_is_missing(actbench: Command) -> None:
    """A line per release as it ends; the phases, the reason and the sum on the error stream."""
    assert actbench("track", "2.7", "2.8.0", "2.9.0", "2.7.0", "--out", "mine") == (
        1,
        "torch 2.7.0: recorded in mine/torch-2.7.0.json\n"
        "torch 2.9.0: recorded in mine/torch-2.9.0.json\n",
        "torch 2.7.0 (1 of 3): installing it\n"
        "torch 2.8.0 (2 of 3): installing it\n"
        "torch 2.8.0: missing: no wheel\n"
        "torch 2.9.0 (3 of 3): installing it\n"
        "1 of 3 records missing: 2.8.0\n",
    )


def test_track_is_quiet_where_all_is_well(actbench: Command) -> None:
    """--quiet prints errors only; exit code 0 where every record is there."""
    assert actbench("track", "2.7.0", "-q") == (0, "", "")
    code, out, err = actbench("track", "2.8.0", "-q")
    assert (code, out) == (1, "")
    assert err == "torch 2.8.0: missing: no wheel\n1 of 1 record missing: 2.8.0\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["track", "2.7.0", "--only", "fingerprint"],
            "unknown part of a record 'fingerprint'; known: verdicts, fingerprints, timings. Did "
            "you mean 'fingerprints'?",
        ),
        (["track", "two"], "'two' is no release of torch; expected a version such as 2.13.0"),
        (
            ["bisect", "--good", "2.9.0", "--bad", "2.6", "operations/gelu/float64"],
            "--good is 2.9.0 and --bad is 2.6.0, but the first must be the older one",
        ),
        (
            ["bisect", "--good", "2.6.0", "--bad", "2.9.0", "gelu", "--records", "nowhere"],
            "nowhere is no folder. Name one with records, or an empty one",
        ),
        (
            ["track", "2.7.0", "--package", "numpy"],
            "--package, --with, --requirements and --allow-code are for claims of your own: name "
            "their file with --claims",
        ),
        (
            ["bisect", "--good", "2.6.0", "--bad", "2.8.0", "operations/gelu/float64"],
            "torch 2.8.0 can't be an end of the search: no wheel",
        ),
    ],
)
def test_a_mistake_is_one_line(actbench: Command, arguments: list[str], text: str) -> None:
    """What was given, what is expected; exit code 2."""
    code, out, err = actbench(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"actbench: error: {text}"


def test_bisect_makes_what_it_needs_and_reuses_it(actbench: Command, tmp_path: Path) -> None:
    """The first changed release, with one skipped; the same question again installs nothing."""
    question = ("bisect", "--good", "2.6", "--bad", "2.13.0", "operations/gelu/*")
    code, out, err = actbench(*question)
    assert code == 0
    assert out.splitlines()[0] == (
        "operations/gelu/* first changed in one of torch 2.8.0, 2.9.0: all but the last can't be "
        "measured."
    )
    asked = re.findall(r"^torch (\S+): installing it$", err, re.MULTILINE)
    assert sorted(asked) == ["2.10.0", "2.13.0", "2.6.0", "2.7.0", "2.8.0", "2.9.0"]
    kept = {path.name for path in (tmp_path / "results" / "bisect").iterdir()}
    assert kept == {f"torch-{name}-fingerprints.json" for name in asked if name != "2.8.0"}
    code, out, err = actbench(*question)
    assert code == 0
    assert err == "torch 2.8.0: installing it\n"
    assert "Records made now" not in out


def test_bisect_uses_shipped_records_and_names_broken_ones(
    actbench: Command, tmp_path: Path
) -> None:
    """The repository's history answers without an installation or a network."""
    folder = tmp_path / "baselines" / "records"
    folder.mkdir(parents=True)
    for name in ("2.6.0", "2.7.0", "2.9.0"):
        records.save(a_release(name), folder / f"{name}.json")
    (folder / "broken.json").write_text("{")
    code, out, err = actbench("bisect", "--good", "2.7.0", "--bad", "2.9.0", "operations/gelu/*")
    assert code == 0
    assert "first changed in one of torch 2.8.0, 2.9.0" in out
    assert re.search(r"^left out: .*broken\.json: Expecting", err, re.MULTILINE)


def test_without_a_network_only_recorded_releases_are_searched(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says so, and still answers."""
    monkeypatch.setattr(measuring, "available_releases", lambda package: Offered((), False))
    for name in ("2.6.0", "2.7.0", "2.9.0"):
        records.save(a_release(name), tmp_path / f"{name}.json")
    code, out, err = actbench(
        *("bisect", "--good", "2.6.0", "--bad", "2.9.0", "operations/*", "--records", ".")
    )
    assert code == 0
    assert "first changed in torch 2.9.0; torch 2.7.0 is the last before." in out
    assert err.startswith("the package index can't be reached: only releases with a record are")
