"""Releases of a package: which there are, and a record of one, made in an environment of its own.

pip does all the work, with the index, proxy and certificates that the user configured for it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from actbench.store.environment import own_commit
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder, write_atomic
from actbench.tracking.records import Record, load, save
from actbench.tracking.releases.environments import (
    make_environment,
    own_needs,
    own_source,
    pip_variables,
    plain_variables,
    require_space,
    run_logged,
    temporaries_in,
    vanishing_folder,
    write_pins,
)
from actbench.tracking.releases.subject import STUDY, Subject

_OTHER_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
_NEEDED_BYTES = 12 * 10**9
_NEEDED_BYTES_CPU = 2 * 10**9
Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


@dataclass(frozen=True)
class Offered:
    """What the package index offers."""

    releases: tuple[str, ...]  # oldest first, without their builds
    reached: bool  # whether every configured index answered


def parse_release(text: str, package: str = "torch") -> Version:
    """Read the name of a release."""
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ActbenchError(
            f"{text!r} is no release of {package}; expected a version such as 2.13.0"
        ) from error


def release_name(text: str, package: str = "torch") -> str:
    """Return the usual name of a release."""
    version = parse_release(text, package)
    given = version.release
    numbers = ".".join(map(str, (*given, *(0,) * (3 - len(given)))))
    rest = str(version.public).removeprefix(version.base_version)
    return f"{numbers}{rest}"


def available_releases(
    python: str | None = None, *, pre: bool = False, package: str = "torch"
) -> Offered:
    """Ask pip which releases of a package have a wheel."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "index",
        "versions",
        package,
        "--only-binary=:all:",
        *(["--pre"] if pre else []),
    ]
    if python is not None:
        command += ["--python-version", python]
    asked = subprocess.run(  # noqa: S603 - our own command, no shell
        command, env=pip_variables(), capture_output=True, text=True, check=False
    )
    if "No module named pip" in asked.stderr:
        raise ActbenchError("this Python has no pip. Get it with: python -m ensurepip")
    listed = re.search(r"^Available versions: (.*)$", asked.stdout, re.MULTILINE)
    names = listed.group(1).split(", ") if listed else []
    versions = set()
    for name in names:
        with suppress(InvalidVersion):  # some old releases have a name that pip can't install
            versions.add(Version(name.partition("+")[0]))
    return Offered(
        tuple(release_name(str(version)) for version in sorted(versions)),
        "Retrying (" not in asked.stderr,
    )


def require_release(release: str, package: str = "torch") -> None:
    """Refuse a release that can't be installed here, before anything is downloaded."""
    version = Version(parse_release(release, package).public)
    named = f"{package} {release}"
    supported = _requirement_of(package)
    if not supported.specifier.contains(version, prereleases=True):
        needed = f"{supported.name}{supported.specifier}"
        raise ActbenchError(f"{named} is not supported: actbench needs {needed}")
    offered = available_releases(pre=version.is_prerelease, package=package)
    if release_name(str(version)) in offered.releases:
        return
    if not offered.reached:
        raise ActbenchError(
            f"can't ask for {named}: the package index can't be reached. Check the network "
            "(and PIP_INDEX_URL, PIP_PROXY), then give the command again"
        )
    here = f"Python {_this_python()} on {platform.system()} {platform.machine()}"
    usable = [r for r in offered.releases if supported.specifier.contains(r, prereleases=True)]
    there = f"For {here} there are: {', '.join(usable[-12:]) or 'none'}"
    others = [
        python
        for python in _OTHER_PYTHONS
        if python != _this_python()
        and release_name(str(version))
        in available_releases(python, pre=version.is_prerelease, package=package).releases
    ]
    if others:
        raise ActbenchError(
            f"{named} has no wheel for {here}; it has for Python {', '.join(others)}. {there}"
        )
    raise ActbenchError(f"{named} does not exist, or not for this system. {there}")


def record_release(
    release: str,
    out: Path,
    only: Sequence[str] = (),
    progress: Progress = lambda phase: None,
    subject: Subject = STUDY,
) -> Record:
    """Make a record of one release in a new environment, which is deleted afterwards.

    The environment has this Python and this actbench, and every package that actbench needs in
    the version that is installed here, so that only the release (with what it alone needs) differs.
    Where actbench trains nothing, it comes without torch.
    """
    prepare_folder(out.parent)
    source = own_source("" if subject.light else "study")
    progress("looking for it")
    named = f"{subject.package} {release}"
    require_release(release, subject.package)
    require_space(_needed_bytes(subject), named)
    with vanishing_folder("actbench-torch-") as folder:
        log = folder / "output.log"
        temporaries = temporaries_in(folder)
        progress("installing it")
        python = make_environment(folder / "environment")
        variables = _pinned(write_pins(folder / "pins.txt", subject.pinned_apart())) | temporaries
        if run_logged(_installing(release, source, python, subject), variables, log):
            raise _failed(f"pip can't install {named}", log, out, subject)
        progress("recording it")
        made = folder / "record.json"
        command = record_command(python, made, only, subject)
        code = run_logged(command, _inside(python) | temporaries, log)
        if not made.exists():
            raise _failed(f"{named} can't be recorded (exit code {code})", log, out, subject)
        record = _completed(load(made), release, subject)
        save(record, out)
    return record


def _installing(release: str, source: str, python: Path, subject: Subject) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
    binary = [f"--only-binary={subject.package}"] if subject.light else []
    return [*pip, *binary, *subject.needs, f"{subject.package}=={release}", source]


def _inside(python: Path) -> dict[str, str]:
    """Variables under which programs of the environment are found before all others."""
    variables = plain_variables()
    return {**variables, "PATH": f"{python.parent}{os.pathsep}{variables.get('PATH', '')}"}


def _pinned(pins: Path) -> dict[str, str]:
    # As a variable, not as an option: this replaces a constraint of the user's configuration.
    return {**pip_variables(), "PIP_CONSTRAINT": str(pins)}


def _completed(record: Record, release: str, subject: Subject) -> Record:
    """Check that a record is the one asked for; add what could not be seen where it was made."""
    if parse_release(record.release) != parse_release(release):
        raise ActbenchError(
            f"asked pip for {subject.package} {release}, but it installed {record.release}"
        )
    environment = record.environment | subject.marks
    if environment.get("commit") == "unknown":
        # In its environment the package is no clone; what was copied there is this one.
        environment = environment | {"commit": own_commit()}
    return record.model_copy(update={"environment": environment})


def record_command(
    python: Path, out: Path, only: Sequence[str], subject: Subject = STUDY
) -> list[str]:
    """Return the command that makes a record, for an environment's Python."""
    parts = [*(word for part in only for word in ("--only", part)), *subject.options()]
    return [str(python), "-I", "-m", "actbench", "record", "--out", str(out), "--quiet", *parts]


def _requirement_of(package: str) -> Requirement:
    """What actbench needs of a package: any release of one that it does without."""
    return next((r for r in own_needs() if r.name == package), Requirement(package))


def _needed_bytes(subject: Subject) -> int:
    """Return what an installation takes at its largest: downloads beside unpacked files."""
    if subject.light and subject.package != "torch":
        return _NEEDED_BYTES_CPU
    indexes = (os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
    small = platform.system() != "Linux" or any(index.endswith("/cpu") for index in indexes)
    return _NEEDED_BYTES_CPU if small else _NEEDED_BYTES


def _this_python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _failed(what: str, log: Path, out: Path, subject: Subject) -> ActbenchError:
    """Keep a failing command's output beside the record, and say its last words."""
    output = log.read_text(encoding="utf-8", errors="replace")
    kept = out.with_suffix(".log")
    write_atomic(kept, output.encode())
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|actbench: error):", line)]
    # pip's first error names the reason; later ones say that it has failed.
    why = errors[0] if errors else (lines or ["it printed nothing"])[-1]
    remedy = ""
    if "No space left on device" in output:
        remedy = ". Free some space, or name another folder: TMPDIR=/other/disk actbench ..."
    elif "Retrying (" in output:
        remedy = ". The network failed: give the command again"
    elif subject.file is not None and "conflicting dependencies" in output:
        remedy = (
            " What actbench needs is held at the version that is installed here: name one that "
            "suits all releases, such as --with 'numpy<2'"
        )
    return ActbenchError(f"{what}: {why}{remedy} (all that was printed: {kept})")
