"""Runs that were made, each in a file, under a digest of all that its numbers depend on."""

from __future__ import annotations

import ast
import functools
import glob
import hashlib
import importlib.util
import json
import math
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from actbench.claims.claims_file import Protocol
from actbench.store import environment
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder, read_json, write_json
from actbench.store.stored import to_json

_INSTALLED = {"site-packages", "dist-packages"}


def of_code(function: str, words: Sequence[str], base: Path) -> dict[str, str]:
    """Digest a function's file, or those that a command names, and what they import locally."""
    return _of_function(function, base) if function else _of_command(words, base)


def _of_function(function: str, base: Path) -> dict[str, str]:
    place = function.rpartition(":")[0]
    if not place.endswith(".py"):
        return _with_imported(_located(place.split("."), [base]), [base], base)
    file = (base / place).resolve()
    if not file.is_file():
        raise ActbenchError(
            f"function = {function!r}: there is no file {place!r} in {base}; write "
            "path/to/file.py:name, seen from the claims file's folder"
        )
    return _with_imported([file], [file.parent, base], base)


def _of_command(words: Sequence[str], base: Path) -> dict[str, str]:
    named = []
    for before, word in pairwise(("", *words)):
        if before == "-m":
            named += _located(word.split("."), [base])
        for text in (word, word.partition("=")[2]):
            with suppress(OSError, ValueError):  # too long for a name, or with a null byte
                if text and (base / text).is_file():
                    named.append((base / text).resolve())
    folders = dict.fromkeys(file.parent for file in named if file.suffix == ".py")
    return _with_imported(named, [*folders, base], base)


def of_inputs(inputs: Iterable[str], base: Path) -> dict[str, str]:
    """Digest the files that a protocol declares."""
    found: list[Path] = []
    for given in inputs:
        exact = base / given
        # Not by Path.glob, which takes no absolute pattern.
        matching = glob.glob(given, root_dir=base, recursive=True)  # noqa: PTH207
        paths = [exact] if exact.exists() else [base / path for path in matching]
        files = [file for path in paths for file in _files(path)]
        if not files:
            raise ActbenchError(
                f"inputs names {given!r}, but there is no such file in {base}; mend the path, "
                "which is seen from the claims file's folder, or take it out"
            )
        found += files
    return {_shown(file, base): _read(file)[0] for file in sorted(set(found))}


@functools.cache
def packages() -> list[str]:
    """List what is installed, such as ``"numpy-2.1.0"``; the names of folders tell it fastest."""
    found = set()
    for entry in map(Path, sys.path):
        if entry.name in _INSTALLED and entry.is_dir():
            found |= {p.stem for p in entry.iterdir() if p.suffix in (".dist-info", ".egg-info")}
    return sorted(found)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path.resolve()
    elif path.is_dir():
        for file in path.rglob("*"):
            parts = file.relative_to(path).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if not hidden and file.is_file():
                yield file.resolve()


def _shown(file: Path, base: Path) -> str:
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else str(file)


def _read(file: Path) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Return a file's digest and what it imports, read once until it changes."""
    try:
        status = file.stat()
        return _read_once(file, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ActbenchError(
            f"can't read {file}, which a run's numbers depend on: {error.strerror or error}"
        ) from error


@functools.lru_cache(maxsize=4096)
def _read_once(file: Path, changed: int, size: int) -> tuple[str, tuple[tuple[int, str], ...]]:  # noqa: ARG001 - the key
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest, tuple(_imports(file)) if file.suffix == ".py" else ()


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the names that a file imports, with the number of dots before them."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):  # running it will tell
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # What is imported from a package can be one of its modules.
            prefix = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{prefix}{alias.name}") for alias in node.names)


def _with_imported(files: Iterable[Path], roots: Sequence[Path], base: Path) -> dict[str, str]:
    found: dict[Path, str] = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file], imported = _read(file)
        for dots, name in imported:
            package = [file.parents[min(dots, len(file.parents)) - 1]] if dots else roots
            waiting += _located(name.split("."), package)
    return {_shown(file, base): found[file] for file in sorted(found)}


def _located(names: Sequence[str], roots: Sequence[Path]) -> list[Path]:
    """Find the files that importing a dotted name runs, in the first folder that has any."""
    for root in (*roots, *_editable(names[0])):
        found: list[Path] = []
        folder = root
        for name in names:
            ways = (folder / f"{name}.py", folder / name / "__init__.py")
            found += [way.resolve() for way in ways if way.is_file()]
            folder /= name
            if not folder.is_dir():
                break
        if found:
            return found
    return []


@functools.cache
def _editable(name: str) -> tuple[Path, ...]:
    """Return the folder of a package that is used where it is written: its version says nothing."""
    if not name or name in sys.stdlib_module_names:
        return ()
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ()
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
    for place in map(Path, filter(None, places)):
        if place.is_absolute() and not _INSTALLED & set(place.parts):
            return (place.parent,)
    return ()


_OUTCOMES = ("finished", "failed", "timed out", "exited", "no number")

_SCHEMA = 1
_LONGEST_KEY = 32


@dataclass(frozen=True)
class Run:
    """What became of one seed of a protocol.

    Args:
        seed: The seed.
        outcome: ``finished``, ``failed``, ``timed out``, ``exited`` or ``no number``.
        duration_s: Seconds that it took.
        values: Numbers by name, ``value`` where only one came; empty unless it finished.
        message: Why there are none, in one line; empty where it finished.
    """

    seed: int
    outcome: str
    duration_s: float
    values: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


def ingredients(protocol: Protocol, base: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """List what the numbers of a protocol depend on."""
    return {
        "schema_version": _SCHEMA,
        protocol.source: getattr(protocol, protocol.source),
        "result": protocol.result,
        "settings": json.loads(json.dumps(protocol.settings, default=repr)),
        "sources": of_code(protocol.function, words, base),
        "inputs": of_inputs(protocol.inputs, base),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "arithmetic": environment.pinned(),
        "packages": packages(),
    }


class Store:
    """The runs of one protocol, as long as nothing that their numbers depend on changes."""

    def __init__(
        self, depends: Callable[[], dict[str, Any]], folder: Path, timeout_s: float | None
    ) -> None:
        self._depends = depends  # gives the ingredients, now and whenever a run has ended
        self._parts = depends()
        text = json.dumps(self._parts, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:_LONGEST_KEY]
        self._timeout_s = timeout_s

    def prepare(self) -> None:
        """Make the folder, with a file that says what its name stands for."""
        prepare_folder(self.folder)
        told = self.folder / "protocol.json"
        if not told.exists():
            write_json(told, self._parts)

    def read(self, seed: int) -> Run | None:
        """Return what is kept of a seed; None where nothing is, or nothing that still counts."""
        kept = self._content(seed)
        try:
            if (kept["schema_version"], kept["seed"]) != (_SCHEMA, seed):
                return None
            run = Run(
                seed=seed,
                outcome=str(kept["outcome"]),
                values={str(name): float(value) for name, value in kept["values"].items()},
                message=str(kept["message"]),
                duration_s=float(kept["duration_s"]),
            )
            ended_at = math.inf if kept["timeout_s"] is None else float(kept["timeout_s"])
        except (AttributeError, KeyError, TypeError, ValueError):  # damaged: made once more
            return None
        if run.outcome not in _OUTCOMES or (run.outcome == "finished") != bool(run.values):
            return None
        allowed = math.inf if self._timeout_s is None else self._timeout_s
        return None if run.outcome == "timed out" and allowed > ended_at else run

    def keep(self, run: Run, folder: Path | None) -> None:
        """Write a run in place of what is kept of its seed."""
        self._require_unchanged()
        before = self._content(run.seed).get("folder")
        write_json(
            self._file(run.seed),
            {
                "schema_version": _SCHEMA,
                "seed": run.seed,
                "outcome": run.outcome,
                "values": {name: to_json(value) for name, value in run.values.items()},
                "message": run.message,
                "duration_s": run.duration_s,
                "timeout_s": self._timeout_s,
                "folder": None if folder is None else folder.name,
            },
        )
        if isinstance(before, str) and before.startswith(f"{run.seed}.") and "/" not in before:
            shutil.rmtree(self.folder / before, ignore_errors=True)

    def _require_unchanged(self) -> None:
        now = self._depends()
        for part in ("sources", "inputs"):
            for file in sorted(now[part].keys() | self._parts[part].keys()):
                if now[part].get(file) != self._parts[part].get(file):
                    raise ActbenchError(
                        f"{file} changed while runs that depend on it were made; start again. If "
                        "a run itself writes it, let it write to {out}"
                    )

    def _file(self, seed: int) -> Path:
        return self.folder / f"{seed}.json"

    def _content(self, seed: int) -> dict[str, Any]:
        if not self._file(seed).is_file():
            return {}
        try:
            return read_json(self._file(seed), "a kept run", "It is made once more")
        except ActbenchError:
            return {}
