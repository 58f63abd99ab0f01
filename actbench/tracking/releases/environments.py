"""An environment for one release, in a folder and processes that end with the work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actbench.store.environment import installed_version
from actbench.store.errors import DISTRIBUTION, ActbenchError

_ENDING = ("SIGTERM", "SIGHUP")
_GRACE_S = 5.0
_IN_USE = "in-use.lock"
_YOUNG_S = 60.0


def require_space(needed_bytes: int, purpose: str) -> None:
    """Refuse to begin what the disk of temporary files has no room for."""
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise ActbenchError(
            f"{purpose} needs {needed_bytes / 1e9:.0f} GB in {place} for a while, but "
            f"{free / 1e9:.1f} GB are free. Free some space, or name another folder: "
            "TMPDIR=/other/disk actbench ..."
        )


@contextmanager
def vanishing_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder that is deleted at the end, after an error or interruption too.

    A process that is killed outright deletes nothing; its folder goes when the next one is made.
    """
    with ends_as_interruption():
        _delete_abandoned(prefix)
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix))
            in_use = FileLock(folder / _IN_USE)
            in_use.acquire()
        except OSError as error:
            raise ActbenchError(
                f"can't make a temporary folder in {tempfile.gettempdir()}: "
                f"{error.strerror or error}. Name another folder: TMPDIR=/other/disk actbench ..."
            ) from error
        try:
            yield folder
        finally:
            # Gigabytes take seconds to delete; whoever is impatient then must not stop it.
            with _signals(dict.fromkeys((*_ENDING, "SIGINT"), signal.SIG_IGN)):
                in_use.release()
                shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise ActbenchError(f"can't delete everything in {folder}: delete it by hand")


def _delete_abandoned(prefix: str) -> None:
    """Delete folders whose process is gone: the system gave back their locks when it died."""
    for lock in Path(tempfile.gettempdir()).glob(f"{prefix}*/{_IN_USE}"):
        # One that is being made may not be locked yet; one of another user can't be opened.
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime > _YOUNG_S:
                with FileLock(lock, timeout=0):
                    pass
                shutil.rmtree(lock.parent, ignore_errors=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def ends_as_interruption() -> AbstractContextManager[None]:
    """Let a signal that ends the process interrupt the block as Ctrl-C does."""
    return _signals(dict.fromkeys(_ENDING, _interrupt))


@contextmanager
def _signals(handlers: Mapping[str, Any]) -> Iterator[None]:
    """Handle signals in another way while the block runs; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = {getattr(signal, name): h for name, h in handlers.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, handler) for number, handler in known.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_logged(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Run a command to its end, with everything that it prints in a file.

    The command and all that it starts are ended when the work is interrupted.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with its children: one that went on would write into a deleted folder."""
    if not hasattr(os, "killpg"):
        process.kill()
        process.wait()
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        process.wait()


_PIP_SOURCES: Final = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST"),
        *("CERT", "CLIENT_CERT", "PROXY", "DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES"),
        *("CACHE_DIR", "NO_CACHE_DIR", "CONFIG_FILE", "KEYRING_PROVIDER"),
    )
)
"""The variables of pip that say where to get packages from; others, such as `PIP_CONSTRAINT` and
`PIP_TARGET`, say what to install and where to, which is decided here."""


def own_source(extra: str = "") -> str:
    """Return what pip is asked for to get the actbench that runs here, perhaps with an extra."""
    extras = f"[{extra}]" if extra else ""
    name = f"{DISTRIBUTION}{extras}"
    clone = Path(__file__).resolve().parents[3]
    if (clone / "pyproject.toml").is_file():
        return f"{clone}{extras}"
    told = json.loads(_own_distribution().read_text("direct_url.json") or "{}")
    url = str(told.get("url", ""))
    if "vcs_info" in told:
        return f"{name} @ {told['vcs_info']['vcs']}+{url}@{told['vcs_info']['commit_id']}"
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        if not path.exists():
            raise ActbenchError(f"actbench was installed from {path}, which is gone: install again")
        return f"{path}{extras}"
    return f"{name} @ {url}" if url else f"{name}=={installed_version(DISTRIBUTION)}"


def installed_pins(apart: Collection[str] = ("torch",)) -> dict[str, str]:
    """Return the versions of what actbench needs here, apart from some and what they alone need.

    torch pins some packages to other versions from release to release (``sympy``, for one).
    """
    pins: dict[str, str] = {}
    seen = {*apart}
    waiting = [r.name for r in own_needs()]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        needed = {canonicalize_name(r.name) for r in _required_by(found)}
        waiting += needed
        if not needed & {*apart}:
            pins[name] = found.version.partition("+")[0]
    return dict(sorted(pins.items()))


def _required_by(package: Distribution, extra: str = "") -> list[Requirement]:
    """Return what a package needs here, with at most one of its extras."""
    required = map(Requirement, package.requires or [])
    return [r for r in required if r.marker is None or r.marker.evaluate({"extra": extra})]


def own_needs() -> list[Requirement]:
    """Return what actbench needs here, for the study too."""
    return _required_by(_own_distribution(), "study")


def _own_distribution() -> Distribution:
    """Return the metadata of the installed actbench."""
    try:
        return distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise ActbenchError(
            f"{DISTRIBUTION} is not installed in this environment. Install it with: python -m pip "
            "install -e FOLDER"
        ) from error


def write_pins(path: Path, apart: Collection[str]) -> Path:
    """Write ``installed_pins`` as constraints."""
    lines = (f"{name}=={version}\n" for name, version in installed_pins(apart).items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def make_environment(folder: Path) -> Path:
    """Make an empty environment and return its interpreter; pip works on it from outside."""
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(folder)
    return Path(builder.ensure_directories(folder).env_exe)


def plain_variables() -> dict[str, str]:
    """Return this process's variables without those that lead Python to other packages."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def pip_variables() -> dict[str, str]:
    """Return this process's variables, of pip's only those that say where to get packages."""
    kept = {
        name: value
        for name, value in plain_variables().items()
        if not name.startswith("PIP_") or name in _PIP_SOURCES
    }
    return {"PIP_RETRIES": "2", **kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def temporaries_in(folder: Path) -> dict[str, str]:
    """Return variables that keep the temporary files of the commands inside the folder."""
    place = folder / "temporary"
    place.mkdir()
    return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place))
