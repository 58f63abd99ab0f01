"""A user's program, run once per seed, and the numbers that it writes or prints.

A program that runs while actbench is killed goes on to its end, harmlessly: what it writes lies in
a folder of its own, which no later run is given.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actbench.claims.claims_file import Protocol
from actbench.runs.functions import Runner, StoppedError, ending, limit, too_late
from actbench.runs.kept import Run
from actbench.runs.tables import grouped
from actbench.runs.worker import NoNumberError, numbers_in
from actbench.store.errors import ActbenchError

_PLACE = re.compile(r"\{(\w+)\}")
_MOST_BYTES = 2**20
_LONGEST = 300
_PER_RUN = ("seed", "out")
_PRINTED = "output:"


def split(protocol: Protocol, base: Path) -> tuple[str, ...]:
    """Split a command into words, with everything in place that is the same for each seed."""
    command = protocol.command
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ActbenchError(f"command = {command!r} can't be split: {error}; mend it") from error
    if not words:
        raise ActbenchError("command is empty; give a program with its arguments")
    _require_places(protocol, words)
    words = [filled(word, protocol.settings) for word in words]
    script = words[1] if words[0] == "python" and len(words) > 1 else ""
    if script.endswith(".py") and not (base / script).is_file():
        raise ActbenchError(
            f"command = {command!r}: there is no file {script!r} in {base}; mend the path, which "
            "is seen from the claims file's folder"
        )
    return (_program(words[0], base), *words[1:])


def _require_places(protocol: Protocol, words: Sequence[str]) -> None:
    command, known = protocol.command, (*_PER_RUN, *protocol.settings)
    for setting in _PER_RUN:
        if setting in protocol.settings:
            raise ActbenchError(
                f"settings names {setting!r}, for which actbench puts its own; give it another name"
            )
    printed = _printed(protocol.result)
    file = "" if printed is not None else protocol.result  # braces of an expression are its own
    named = {name for word in (*words, file) for name in _PLACE.findall(word)}
    for name in sorted(named.difference(known)):
        raise ActbenchError(
            f"command = {command!r} has an unknown placeholder {{{name}}}; there are "
            f"{', '.join(f'{{{k}}}' for k in known)}. Mend it, or give {name!r} in settings"
        )
    for name in ("seed", *protocol.settings):
        if name not in named or (name == "seed" and "{seed}" not in command):
            raise ActbenchError(
                f"command = {command!r} has no {{{name}}}, so that the program never learns it; "
                f"write {{{name}}} where it belongs"
            )
    if file and not {*_PLACE.findall(file)} & {*_PER_RUN}:
        raise ActbenchError(
            f"result = {file!r} is one file for all runs; write {{out}} or {{seed}} "
            "into it, such as '{out}/metrics.json'"
        )


def _printed(result: str) -> re.Pattern[str] | None:
    """The expression that finds the numbers in what a program prints, if they are there."""
    if not result.startswith(_PRINTED):
        return None
    return grouped("result", result, _PRINTED, "number", "accuracy (?P<acc>[0-9.]+)")


def filled(text: str, values: Mapping[str, Any]) -> str:
    """Put values where their names stand in braces; other braces stay."""
    return _PLACE.sub(lambda m: _text(values[m[1]]) if m[1] in values else m[0], text)


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, bool | list | dict) else str(value)


def _program(word: str, base: Path) -> str:
    if word == "python":
        return sys.executable
    found = shutil.which(str(base / word) if "/" in word else word)
    if found is None:
        where = f"in {base}" if "/" in word else "on the PATH"
        raise ActbenchError(
            f"there is no program {word!r} {where}, or it may not be run; mend the command, or "
            "install the program"
        )
    return found


@dataclass
class CommandRunner(Runner):
    """Runs one command, whose words are those of ``split``, each time in a folder of its own."""

    words: tuple[str, ...]

    def run(self, seed: int) -> tuple[Run, Path]:
        """Run it with a seed."""
        folder = Path(tempfile.mkdtemp(prefix=f"{seed}.", dir=self.folder))
        (folder / "out").mkdir()
        places = {"seed": seed, "out": str(folder / "out")}
        pattern = _printed(self.protocol.result)
        result = filled(filled(self.protocol.result, self.protocol.settings), places)
        file = self.base / result
        if pattern is not None:
            numbers = partial(_said, pattern, folder / "stdout.log")
        elif result:
            numbers = partial(_written, file, _state(file))
        else:
            numbers = partial(_said_last, folder / "stdout.log")
        started = time.perf_counter()
        code = self._ended([filled(word, places) for word in self.words], folder)
        duration = time.perf_counter() - started
        limit_s = self.protocol.timeout_s
        told = too_late(limit_s) if code is None else _told(code, numbers, folder)
        return Run(seed=seed, duration_s=duration, **told), folder

    def _ended(self, words: Sequence[str], folder: Path) -> int | None:
        """Run it to its end, and return its exit code; None where it took too long."""
        with (folder / "stdout.log").open("wb") as said, (folder / "stderr.log").open("wb") as log:
            try:
                process = self.children.start(words, self.base, subprocess.DEVNULL, said, log)
            except StoppedError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            except OSError as error:
                raise ActbenchError(
                    f"{words[0]} can't be run: {error.strerror or error}; mend the command"
                ) from error
            with limit(process, self.protocol.timeout_s) as late:
                process.wait()
            code = self.children.end(process)
        return None if late.is_set() else code

    def close(self) -> None:
        """Do nothing: each of its processes has ended with its run."""


def _told(code: int, numbers: Callable[[], dict[str, float]], folder: Path) -> Mapping[str, Any]:
    """Return what became of a run that ended by itself."""
    if code:
        why = _last_line(folder / "stderr.log")[:_LONGEST] or "nothing on standard error"
        outcome = "failed" if code > 0 else "exited"
        return {"outcome": outcome, "message": f"{ending(code)}: {why}"}
    try:
        return {"outcome": "finished", "values": numbers()}
    except NoNumberError as error:
        return {"outcome": "no number", "message": str(error)}


def _state(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _said_last(file: Path) -> dict[str, float]:
    """Return the numbers that a run printed last."""
    try:
        return numbers_in(_parsed(_last_line(file)))
    except NoNumberError as error:
        raise NoNumberError(f"the last line that it printed is {error}") from error


def _written(result: Path, before: tuple[int, int, int] | None) -> dict[str, float]:
    """Return the numbers that a run wrote to its result, unless it is as it was before."""
    now = _state(result)
    if now is None or now == before:
        what = "did not write" if now is None else "left as it was"
        raise NoNumberError(f"it {what} its result {result}")
    try:
        text = result.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise NoNumberError(f"its result {result} can't be read: {error}") from error
    try:
        return numbers_in(_content(text, result.suffix))
    except NoNumberError as error:
        raise NoNumberError(f"its result {result} holds {error}") from error


def _said(pattern: re.Pattern[str], file: Path) -> dict[str, float]:
    """Return the numbers of the last place at which an output matches."""
    found = None
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        found = pattern.search(line) or found
    if found is None:
        raise NoNumberError(f"nothing that it printed matches {pattern.pattern!r}")
    named = found.groupdict() or {"value": found[1]}
    return numbers_in({name: _plain(text) for name, text in named.items()})


def _content(text: str, suffix: str) -> Any:
    if suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        if len(rows) != 1:
            raise NoNumberError(f"a table of {len(rows)} rows; one row was expected")
        return {name: _plain(cell) for name, cell in rows[0].items() if name is not None}
    if suffix in (".jsonl", ".ndjson"):
        return _parsed(([""] + [line for line in text.splitlines() if line.strip()])[-1])
    return _parsed(text)


def _parsed(text: str) -> Any:
    """Read JSON, or a number as most languages print it; what is neither stays a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _plain(text.strip())


def _plain(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _last_line(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _MOST_BYTES))
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
