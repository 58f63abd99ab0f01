"""A user's function, called in a process that ends with all that it started."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from actbench.claims.claims_file import Protocol
from actbench.runs import worker
from actbench.runs.kept import Run
from actbench.store.environment import pinned_variables
from actbench.store.errors import ActbenchError


class StoppedError(Exception):
    """Nothing is started any more."""


class Children:
    """The processes that run now, each with a group of its own, so that Ctrl-C passes them by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: set[subprocess.Popen[bytes]] = set()
        self.stopped = False  # all of them were ended, finished or not

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


_LOADING_S = 60.0
"""What loading may take at least where runs are limited; a large library takes seconds."""


def check(protocol: Protocol) -> None:
    """Refuse what can't name a function, before anything starts."""
    place, _, name = protocol.function.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ActbenchError(
            f"function = {protocol.function!r} does not name a function; write "
            "path/to/file.py:name or module:name"
        )
    if "seed" in protocol.settings:
        raise ActbenchError(
            "settings names 'seed', which a function is given beside them; take it out, and say "
            "with 'seeds' how many"
        )


@dataclass
class Runner(ABC):
    """Makes the runs of a protocol, a seed at a time, in processes that its children start."""

    protocol: Protocol
    base: Path
    folder: Path
    children: Children

    @abstractmethod
    def run(self, seed: int) -> tuple[Run, Path | None]:
        """Run a seed; what became of it, and the folder that it wrote to if it has one."""

    @abstractmethod
    def close(self) -> None:
        """End what still runs."""


@dataclass
class FunctionRunner(Runner):
    """Calls one function."""

    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def run(self, seed: int) -> tuple[Run, None]:
        """Call it with a seed."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._started()
        log = self.folder / f"{seed}.log"
        started = time.perf_counter()
        with limit(self._process, self.protocol.timeout_s) as late:
            said = self._asked(self._process, (seed, str(log)))
        duration = time.perf_counter() - started
        if said is None or late.is_set():
            end, self._process = self._ended(self._process), None
            ended = {"outcome": "exited", "message": f"the process {end}"}
            said = said or (too_late(self.protocol.timeout_s) if late.is_set() else ended)
        with suppress(OSError):
            if not log.stat().st_size:
                log.unlink()
        return Run(seed=seed, duration_s=duration, **said), None

    def close(self) -> None:
        """End its process and all that this started."""
        if self._process is not None:
            self.children.end(self._process)
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        with (self.folder / "load.log").open("ab") as log:
            # Not by its name: there need be no actbench where a user's file is run.
            command = [sys.executable, "-P", worker.__file__]
            process = self.children.start(command, self.base, pipe, pipe, log)
        function, timeout_s = self.protocol.function, self.protocol.timeout_s
        place = self.base / function.rpartition(":")[0]
        paths = [str(place.resolve().parent)] if place.suffix == ".py" else []
        job = (function, self.protocol.settings, self.base, [*paths, str(self.base)])
        patience = None if timeout_s is None else max(_LOADING_S, timeout_s)
        with limit(process, patience) as late:
            said = self._asked(process, job)
        if said is None:
            end = self._ended(process)
            if self.children.stopped:
                raise StoppedError
            end = f"took more than {patience:g} s" if late.is_set() else end
            said = {"setup": f"loading it {end}; see {self.folder / 'load.log'}"}
        if "setup" in said:
            self.children.end(process)
            why = said["setup"] if said["setup"].endswith("?") else f"{said['setup']}."
            raise ActbenchError(
                f"function = {function!r} can't be called: {why} Mend that; it is called with "
                "seed= and the protocol's settings"
            )
        return process

    @staticmethod
    def _asked(process: subprocess.Popen[bytes], request: object) -> Mapping[str, Any] | None:
        """Send a request and wait for the answer; None where the process ends instead."""
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            process.stdin.write(pickle.dumps(request))
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.children.end(process)
            return "closed its way back to actbench"
        return ending(self.children.end(process))
