"""A user's function, called in a process that is started anew whenever it ends one."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from actbench.claims.claims_file import Protocol
from actbench.errors import ActbenchError
from actbench.runs import worker
from actbench.runs.children import Children, StoppedError, ending, limit, too_late
from actbench.runs.kept import Run, run_of

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


class FunctionRunner:
    """Calls one function, a seed at a time.

    Args:
        protocol: Names the function.
        base: Folder that it runs in.
        logs: Folder for what it prints.
        children: Who starts and ends its processes.
    """

    def __init__(self, protocol: Protocol, base: Path, logs: Path, children: Children) -> None:
        self._protocol = protocol
        self._base = base
        self._logs = logs
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, seed: int) -> tuple[Run, Path | None]:
        """Call it with a seed."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._started()
        log = self._logs / f"{seed}.log"
        started = time.perf_counter()
        with limit(self._process, self._protocol.timeout_s) as late:
            said = self._asked(self._process, (seed, str(log)))
        duration = time.perf_counter() - started
        if said is None or late.is_set():
            end, self._process = self._ended(self._process), None
            ended = {"outcome": "exited", "message": f"the process {end}"}
            said = said or (too_late(self._protocol.timeout_s) if late.is_set() else ended)
        with suppress(OSError):
            if not log.stat().st_size:
                log.unlink()
        return run_of(seed, said, duration), None

    def close(self) -> None:
        """End its process and all that this started."""
        if self._process is not None:
            self._children.end(self._process)
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        with (self._logs / "load.log").open("ab") as log:
            # Not by its name: there need be no actbench where a user's file is run.
            command = [sys.executable, "-P", worker.__file__]
            process = self._children.start(command, self._base, pipe, pipe, log)
        function, timeout_s = self._protocol.function, self._protocol.timeout_s
        place = self._base / function.rpartition(":")[0]
        paths = [str(place.resolve().parent)] if place.suffix == ".py" else []
        job = (function, self._protocol.settings, self._base, [*paths, str(self._base)])
        patience = None if timeout_s is None else max(_LOADING_S, timeout_s)
        with limit(process, patience) as late:
            said = self._asked(process, job)
        if said is None:
            end = self._ended(process)
            if self._children.stopped:
                raise StoppedError
            end = f"took more than {patience:g} s" if late.is_set() else end
            said = {"setup": f"loading it {end}; see {self._logs / 'load.log'}"}
        if "setup" in said:
            self._children.end(process)
            raise ActbenchError(
                f"function = {function!r} can't be called: {said['setup']}. Mend that; it is "
                "called with seed= and the protocol's settings"
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
            self._children.end(process)
            return "closed its way back to actbench"
        return ending(self._children.end(process))
