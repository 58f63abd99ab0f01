"""Releases of torch as pip tells of them, and a record of one, with pip and `record` played."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from record_factory import a_record

from actbench.store.errors import ActbenchError
from actbench.tracking import records
from actbench.tracking.releases import measuring
from actbench.tracking.releases.environments import make_environment, plain_variables
from actbench.tracking.releases.measuring import (
    Offered,
    available_releases,
    record_release,
    release_name,
    require_release,
)
from actbench.tracking.releases.subject import subject_of

Usage = namedtuple("Usage", "total used free")

LISTED = """torch (2.15.0)
Available versions: 2.15.0, 2.14.1, 2.13.0+cpu, 2.13.0, 2.9.1, 2.6, 0.7.0d
  INSTALLED: 2.13.0+cpu
"""
NO_NETWORK = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
    "'NewConnectionError(...: [Errno -3] Temporary failure in name resolution')': /simple/torch/\n"
)


def pip_that_prints(out: str, err: str = "") -> Callable[..., SimpleNamespace]:
    """A `subprocess.run` in which pip prints this."""
    return lambda *_, **__: SimpleNamespace(stdout=out, stderr=err, returncode=int(not out))


@pytest.mark.parametrize(
    ("out", "err", "offered"),
    [
        (LISTED, "", Offered(("2.6.0", "2.9.1", "2.13.0", "2.14.1", "2.15.0"), True)),
        ("", f"{NO_NETWORK}ERROR: No matching distribution found for torch", Offered((), False)),
        ("", "ERROR: No matching distribution found for torch", Offered((), True)),
        (
            "torch (2.13.0)\nAvailable versions: 2.13.0+cpu\n",
            NO_NETWORK,
            Offered(("2.13.0",), False),
        ),
    ],
    ids=["all", "no network", "none", "a folder only"],
)
def test_what_pip_lists_is_read(
    monkeypatch: pytest.MonkeyPatch, out: str, err: str, offered: Offered
) -> None:
    """Oldest first, builds once, and whether an index did not answer."""
    monkeypatch.setattr(subprocess, "run", pip_that_prints(out, err))
    assert available_releases() == offered


def test_an_environment_without_pip_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to pip is told."""
    monkeypatch.setattr(subprocess, "run", pip_that_prints("", "python: No module named pip"))
    with pytest.raises(ActbenchError, match=r"has no pip\. Get it with: python -m ensurepip$"):
        available_releases()


def index(
    monkeypatch: pytest.MonkeyPatch, releases: Mapping[str | None, Sequence[str]], reached: bool
) -> None:
    """Play an index: releases by Python, `None` for this one."""
    monkeypatch.setattr(
        measuring,
        "available_releases",
        lambda python=None, *, pre=False, package="torch": Offered(
            tuple(r for r in releases.get(python, ()) if pre or "dev" not in r), reached
        ),
    )


HERE = r"For Python \d\.\d+ on \w+ \w+ there are: 2\.9\.1, 2\.13\.0$"


@pytest.mark.parametrize(
    ("release", "reached", "text"),
    [
        ("2.x", True, r"^'2\.x' is no release of torch; expected a version such as 2\.13\.0$"),
        ("2.5.1", True, r"^torch 2\.5\.1 is not supported: actbench needs torch>=2\.6$"),
        ("2.9.9", True, rf"^torch 2\.9\.9 does not exist, or not for this system\. {HERE}"),
        (
            "2.7.0",
            True,
            r"^torch 2\.7\.0 has no wheel for Python \S+ on \S+ \w+; it has for Python 3\.9\. "
            rf"{HERE}",
        ),
        (
            "2.7.0",
            False,
            r"^can't ask for torch 2\.7\.0: the package index can't be reached\. Check the network "
            r"\(and PIP_INDEX_URL, PIP_PROXY\), then give the command again$",
        ),
        ("2.16.0.dev20270101", True, r"does not exist"),
    ],
)
def test_a_release_that_can_not_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, release: str, reached: bool, text: str
) -> None:
    """No version, too old, unknown, for other Pythons, no network: each says what to do."""
    index(monkeypatch, {None: ["2.9.1", "2.13.0"], "3.9": ["2.7.0"]}, reached)
    with pytest.raises(ActbenchError, match=text) as caught:
        require_release(release)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("release", ["2.9.1", "2.13.0+cpu", "2.16.0.dev20261101"])
def test_a_release_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    """A final one, a build of it, and a nightly that is named."""
    index(monkeypatch, {None: ["2.9.1", "2.13.0", "2.16.0.dev20261101"]}, reached=False)
    require_release(release)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2.6", "2.6.0"),
        ("v2.13.0", "2.13.0"),
        ("2.13.0+cpu", "2.13.0"),
        ("1.2.3.4", "1.2.3.4"),
        ("1.4.1.post1", "1.4.1.post1"),
        ("2.16.0.dev20261101", "2.16.0.dev20261101"),
    ],
)
def test_a_release_has_one_name(text: str, name: str) -> None:
    """Two ways to write a release lead to one record."""
    assert release_name(text) == name


@dataclass
class Played:
    """What the played pip and the played `record` do."""

    pip_prints: str = ""
    pip_fails: bool = False
    installs: str = "2.9.1+cu128"  # which torch comes out
    record_fails: bool = False
    interrupts: bool = False  # whether Ctrl-C comes while pip works
    ran: list[tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], variables: Mapping[str, str], log: Path) -> int:
        """Run a command."""
        self.ran.append((command, variables))
        if "pip" in command:
            if self.interrupts:
                raise KeyboardInterrupt
            log.write_text(self.pip_prints)
            return int(self.pip_fails)
        if self.record_fails:
            log.write_text("Reading\nactbench: error: no claims\n")
            return 2
        made = a_record(self.installs)
        made = made.model_copy(update={"environment": {**made.environment, "commit": "unknown"}})
        records.save(made, Path(command[command.index("--out") + 1]))
        return 0


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Played:
    """An index with torch 2.9.1, a disk with room, and a folder of temporary files of its own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1e12))
    index(monkeypatch, {None: ["2.9.1"]}, reached=True)
    monkeypatch.setattr(measuring, "own_commit", lambda: "0123abc")
    played = Played()
    monkeypatch.setattr(measuring, "run_logged", played)
    return played


def left(tmp_path: Path) -> list[str]:
    """Name what is left in the folder of temporary files."""
    return [path.name for path in (tmp_path / "temporary").iterdir()]


def test_a_release_is_installed_recorded_and_gone(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new environment gets torch and this actbench, pinned; the record stays, nothing else."""
    monkeypatch.setenv("PIP_CONSTRAINT", "/of/the/user")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PYTHONPATH", "/other/packages")
    phases: list[str] = []
    out = tmp_path / "new" / "torch-2.9.1.json"
    made = record_release("2.9.1", out, ["fingerprints"], phases.append)
    assert phases == ["looking for it", "installing it", "recording it"]
    assert records.load(out) == made
    assert made.torch == "2.9.1"
    assert made.environment["commit"] == "0123abc"
    assert left(tmp_path) == []
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    (pip, pip_variables), (record, record_variables) = played.ran
    assert pip[-2] == "torch==2.9.1"
    assert pip[-1] == f"{Path(measuring.__file__).parents[3]}[study]"
    interpreter = pip[pip.index("--python") + 1]
    assert interpreter.startswith(str(tmp_path / "temporary"))
    assert record[:4] == [interpreter, "-I", "-m", "actbench"]
    assert record[-2:] == ["--only", "fingerprints"]
    assert pip_variables["PIP_INDEX_URL"] == "https://index.example/simple"
    assert "PIP_TARGET" not in pip_variables
    assert pip_variables["PIP_CONSTRAINT"].startswith(str(tmp_path / "temporary"))
    for variables in (pip_variables, record_variables):
        assert "PYTHONPATH" not in variables
        assert variables["TMPDIR"].startswith(str(tmp_path / "temporary"))


@pytest.mark.parametrize(
    ("prints", "text"),
    [
        (
            "Collecting torch\nERROR: Cannot install numpy==1 and torch\nERROR: Resolution failed",
            r": ERROR: Cannot install numpy==1 and torch \(all that was printed: ",
        ),
        (
            "ERROR: Could not install packages: OSError: [Errno 28] No space left on device",
            r"on device\. Free some space, or name another folder: TMPDIR=/other/disk actbench",
        ),
        (
            f"{NO_NETWORK}ERROR: No matching distribution found for hatchling",
            r"for hatchling\. The network failed: give the command again \(all",
        ),
        ("", r": it printed nothing \(all"),
    ],
    ids=["conflict", "disk", "network", "silence"],
)
def test_what_pip_says_is_kept_and_told(
    played: Played, tmp_path: Path, prints: str, text: str
) -> None:
    """A failed installation is one line with pip's reason; the earlier record is untouched."""
    played.pip_prints, played.pip_fails = prints, True
    out = tmp_path / "torch-2.9.1.json"
    out.write_text("earlier")
    with pytest.raises(ActbenchError, match=rf"^pip can't install torch 2\.9\.1.*{text}") as caught:
        record_release("2.9.1", out)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "torch-2.9.1.log").read_text() == prints
    assert out.read_text() == "earlier"
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"record_fails": True},
            r"^torch 2\.9\.1 can't be recorded \(exit code 2\): actbench: error: no claims \(all",
        ),
        (
            {"installs": "2.9.0+cpu"},
            r"^asked pip for torch 2\.9\.1, but it installed 2\.9",
        ),
    ],
    ids=["no record", "another release"],
)
def test_what_is_not_the_record_asked_for_is_refused(
    played: Played, tmp_path: Path, changes: Mapping[str, Any], text: str
) -> None:
    """The reason of `record` is passed on; the wrong torch gets not the name of the right one."""
    for name, value in changes.items():
        setattr(played, name, value)
    with pytest.raises(ActbenchError, match=text):
        record_release("2.9.1", tmp_path / "torch-2.9.1.json")
    assert left(tmp_path) == []
    assert not (tmp_path / "torch-2.9.1.json").exists()


def test_an_interruption_leaves_nothing(played: Played, tmp_path: Path) -> None:
    """Ctrl-C during an installation: no environment, no record, no log."""
    played.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        record_release("2.9.1", tmp_path / "torch-2.9.1.json")
    assert left(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


@pytest.mark.parametrize(
    ("extra_index", "needed"), [("", "12 GB"), ("https://download.pytorch.org/whl/cpu", "2 GB")]
)
def test_the_room_is_checked_before_anything_is_downloaded(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra_index: str, needed: str
) -> None:
    """Builds with CUDA need more room than those for the CPU."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1e9))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", extra_index)
    with pytest.raises(ActbenchError, match=rf"^torch 2\.9\.1 needs {needed} in "):
        record_release("2.9.1", tmp_path / "torch-2.9.1.json")
    assert played.ran == []


def test_the_interpreter_of_an_environment_sees_its_own_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither this environment's torch nor a PYTHONPATH reaches it."""
    (tmp_path / "torch.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    python = make_environment(tmp_path / "environment")
    command = measuring.record_command(python, tmp_path / "r.json", [])
    code = "import importlib.util as u, sys; print(u.find_spec('torch'), sys.prefix)"
    done = subprocess.run(  # noqa: S603 - our own command
        [*command[:2], "-c", code],
        env=plain_variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", str(tmp_path / "environment")]
    assert sys.prefix != str(tmp_path / "environment")


def test_the_seeds_that_are_asked_for_reach_a_record_of_the_study(tmp_path: Path) -> None:
    """`track --seeds 32` records 32 seeds, whatever is recorded; bad numbers are refused."""
    asked = subject_of(None, "torch", (), seeds=32)
    command = measuring.record_command(tmp_path / "python", tmp_path / "r.json", [], asked)
    assert command[-2:] == ["--seeds", "32"]
    with pytest.raises(ActbenchError, match="--seeds"):
        subject_of(None, "torch", (), seeds=0)
