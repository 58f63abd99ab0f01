"""Releases of torch: which there are, and a record of one, made in an environment of its own.

pip does all the work, with the index, proxy and certificates that the user configured for it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from actbench.environment import own_commit
from actbench.errors import ActbenchError
from actbench.files import prepare_folder, write_atomic
from actbench.records import Record, load, save
from actbench.releases.installation import (
    make_environment,
    own_distribution,
    own_source,
    pip_variables,
    plain_variables,
    temporaries_in,
    write_pins,
)
from actbench.releases.isolation import require_space, run_logged, vanishing_folder

_OTHER_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
_NEEDED_BYTES = 12 * 10**9
_NEEDED_BYTES_CPU = 2 * 10**9
Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


@dataclass(frozen=True)
class Offered:
    """What the package index offers.

    Args:
        releases: Of torch, oldest first, without their builds.
        reached: Whether every configured index answered.
    """

    releases: tuple[str, ...]
    reached: bool


def parse_release(text: str) -> Version:
    """Read the name of a release.

    Args:
        text: Such as ``"2.13.0"`` or ``"2.16.0.dev20261101"``.

    Returns:
        The version, which sorts as releases appeared.

    Raises:
        ActbenchError: It is none.
    """
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ActbenchError(
            f"{text!r} is no release of torch; expected a version such as 2.13.0"
        ) from error


def release_name(text: str) -> str:
    """Return the usual name of a release.

    Args:
        text: Such as ``"2.6"`` or ``"v2.6.0"``.

    Returns:
        With its three numbers, ``"2.6.0"``.

    Raises:
        ActbenchError: It is none.
    """
    version = parse_release(text)
    numbers = ".".join(map(str, (version.major, version.minor, version.micro)))
    rest = str(version.public).removeprefix(version.base_version)
    return f"{numbers}{rest}"


def available_releases(python: str | None = None, *, pre: bool = False) -> Offered:
    """Ask pip which releases of torch have a wheel.

    Args:
        python: For another Python than this one, such as ``"3.14"``.
        pre: Development releases too.

    Returns:
        The releases; none where no index could be reached.

    Raises:
        ActbenchError: This environment has no pip.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", "torch", *["--pre"][: int(pre)]]
    if python is not None:
        command += ["--python-version", python, "--only-binary=:all:"]
    asked = subprocess.run(  # noqa: S603 - our own command, no shell
        command, env=pip_variables(), capture_output=True, text=True, check=False
    )
    if "No module named pip" in asked.stderr:
        raise ActbenchError("this Python has no pip. Get it with: python -m ensurepip")
    listed = re.search(r"^Available versions: (.*)$", asked.stdout, re.MULTILINE)
    names = listed.group(1).split(", ") if listed else []
    versions = {Version(name.partition("+")[0]) for name in names}
    return Offered(tuple(map(str, sorted(versions))), "Retrying (" not in asked.stderr)


def require_release(release: str) -> None:
    """Refuse a release that can't be installed here, before anything is downloaded.

    Args:
        release: Such as ``"2.13.0"``.

    Raises:
        ActbenchError: It is no version, too old for actbench, does not exist, has no wheel for
            this Python, or the index can't be reached.
    """
    version = parse_release(release)
    supported = _torch_requirement()
    if not supported.specifier.contains(version, prereleases=True):
        raise ActbenchError(f"torch {release} is not supported: actbench needs {supported}")
    offered = available_releases(pre=version.is_prerelease)
    if str(version) in offered.releases:
        return
    if not offered.reached:
        raise ActbenchError(
            f"can't ask for torch {release}: the package index can't be reached. Check the network "
            "(and PIP_INDEX_URL, PIP_PROXY), then give the command again"
        )
    here = f"Python {_this_python()} on {platform.system()} {platform.machine()}"
    usable = [r for r in offered.releases if supported.specifier.contains(r, prereleases=True)]
    there = f"For {here} there are: {', '.join(usable[-12:]) or 'none'}"
    others = [
        python
        for python in _OTHER_PYTHONS
        if python != _this_python()
        and str(version) in available_releases(python, pre=version.is_prerelease).releases
    ]
    if others:
        raise ActbenchError(
            f"torch {release} has no wheel for {here}; it has for Python {', '.join(others)}. "
            f"{there}"
        )
    raise ActbenchError(f"torch {release} does not exist, or not for this system. {there}")


def record_release(
    release: str,
    out: Path,
    only: Sequence[str] = (),
    progress: Progress = lambda phase: None,
) -> Record:
    """Make a record of one torch release in a new environment, which is deleted afterwards.

    The environment has this Python and this actbench, and every package that actbench needs in
    the version that is installed here, so that only torch (with what torch alone needs) differs.

    Args:
        release: Such as ``"2.13.0"``.
        out: The record's file; replaced when the new record is whole, and not before.
        only: Parts of the record, as ``actbench record --only`` takes them; all by default.
        progress: Called with the name of each phase as it begins.

    Returns:
        The record.

    Raises:
        ActbenchError: The release can't be installed or can't be recorded. What the failing
            command printed is kept beside ``out``, with the suffix ``.log``.
        KeyboardInterrupt: It was interrupted; nothing is left.
    """
    prepare_folder(out.parent)
    source = own_source()
    progress("looking for it")
    require_release(release)
    require_space(_needed_bytes(), f"torch {release}")
    with vanishing_folder(f"actbench-torch-{release}-") as folder:
        environment = temporaries_in(folder)
        progress("installing it")
        python = make_environment(folder / "environment")
        install = [f"torch=={release}", source]
        # As a variable, not as an option: this replaces a constraint of the user's configuration.
        pins = {"PIP_CONSTRAINT": str(write_pins(folder / "pins.txt"))}
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
        log = folder / "output.log"
        if run_logged([*pip, *install], {**pip_variables(), **environment, **pins}, log):
            raise _failed(f"pip can't install torch {release}", log, out)
        progress("recording it")
        made = folder / "record.json"
        command = record_command(python, made, only)
        code = run_logged(command, {**plain_variables(), **environment}, log)
        if not made.exists():
            raise _failed(f"torch {release} can't be recorded (exit code {code})", log, out)
        record = load(made)
        if parse_release(record.torch) != parse_release(release):
            raise ActbenchError(f"asked pip for torch {release}, but it installed {record.torch}")
        # In the environment the package is no clone; what was copied there is this one.
        commit = {"commit": own_commit()} if record.environment.get("commit") == "unknown" else {}
        record = record.model_copy(update={"environment": record.environment | commit})
        save(record, out)
    return record


def record_command(python: Path, out: Path, only: Sequence[str]) -> list[str]:
    """Return the command that makes a record, for an environment's Python.

    Args:
        python: The interpreter.
        out: The record's file.
        only: Parts of the record; all where it is empty.

    Returns:
        Program and arguments; isolated, so that no package of another environment is seen.
    """
    parts = [word for part in only for word in ("--only", part)]
    return [str(python), "-I", "-m", "actbench", "record", "--out", str(out), "--quiet", *parts]


def _torch_requirement() -> Requirement:
    required = map(Requirement, own_distribution().requires or [])
    return next(r for r in required if r.name == "torch")


def _needed_bytes() -> int:
    """Return what an installation takes at its largest: downloads beside unpacked files."""
    indexes = (os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
    small = platform.system() != "Linux" or any(index.endswith("/cpu") for index in indexes)
    return _NEEDED_BYTES_CPU if small else _NEEDED_BYTES


def _this_python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _failed(what: str, log: Path, out: Path) -> ActbenchError:
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
    return ActbenchError(f"{what}: {why}{remedy} (all that was printed: {kept})")
