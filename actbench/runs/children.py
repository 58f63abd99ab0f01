"""Processes that run a user's code: each with all that it starts, and ended with all of that."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from actbench.environment import pinned_variables


class StoppedError(Exception):
    """Nothing is started any more."""


class Children:
    """The processes that run now, each with a group of its own, so that Ctrl-C passes them by.

    Attributes:
        stopped: Whether all of them were ended, finished or not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def start(
        self,
        command: Sequence[str],
        base: Path,
        stdin: int,
        stdout: int | IO[Any],
        stderr: IO[Any],
    ) -> subprocess.Popen[bytes]:
        """Start a process in a folder, without a shell."""
        with self._lock:
            if self.stopped:
                raise StoppedError
            process = subprocess.Popen(  # noqa: S603 - what the user allowed to run
                command,
                cwd=base,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=pinned_variables(),
            )
            self._living.add(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """End a process, what it left running too, and return its exit code."""
        _kill(process)
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        with self._lock:
            self._living.discard(process)
        return code

    def stop(self) -> None:
        """End all of them, and start none any more."""
        with self._lock:
            self.stopped = True
            for process in self._living:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


@contextmanager
def limit(process: subprocess.Popen[bytes], seconds: float | None) -> Iterator[threading.Event]:
    """End a process and what it started when the block takes too long."""
    late = threading.Event()
    if seconds is None:
        yield late
        return

    def ring() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), ring)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def too_late(seconds: float | None) -> dict[str, str]:
    """Return outcome and message of a run that was ended by its limit."""
    return {"outcome": "timed out", "message": f"did not end within timeout_s = {seconds:g}"}


def ending(code: int) -> str:
    """Say how a process ended by itself, such as ``"ended by SIGSEGV"``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    short = ", as a system short of memory does" if name == "SIGKILL" else ""
    return f"ended by {name}{short}"
