"""A temporary folder, and processes in it, that end with the work whatever happens to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock

from actbench.errors import ActbenchError

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
