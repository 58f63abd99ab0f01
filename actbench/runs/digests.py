"""What a run's numbers depend on, told without running anything: sources, inputs, packages.

A module that is imported by a name which only running the code gives is not found, nor is a file
that the code reads: a protocol lists such files in ``inputs``.
"""

from __future__ import annotations

import ast
import functools
import glob
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from actbench.errors import ActbenchError

_INSTALLED = {"site-packages", "dist-packages"}


def of_code(function: str, words: Sequence[str], base: Path) -> dict[str, str]:
    """Digest what a protocol runs: its function, or without one the words of its command."""
    return of_function(function, base) if function else of_command(words, base)


def of_function(function: str, base: Path) -> dict[str, str]:
    """Digest a function's file and the local modules that it imports."""
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


def of_command(words: Sequence[str], base: Path) -> dict[str, str]:
    """Digest the files that a command names, and the local modules that these import."""
    named = []
    for before, word in zip(("", *words), words, strict=False):
        if before == "-m":
            named += _located(word.split("."), [base])
        for text in (word, word.partition("=")[2]):
            try:
                if text and (base / text).is_file():
                    named.append((base / text).resolve())
            except (OSError, ValueError):  # too long for a name, or with a null byte
                continue
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
