"""From what a user names to their Python object: a file, a module, or an installed package's entry.

Code runs here, and only here: on the user's word, never because a data file names it.
"""

from __future__ import annotations

import hashlib
import io
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from actbench.store.errors import ActbenchError, unknown_name
from actbench.study.nets.devices import pinned_state

_FILES: dict[str, str] = {}
"""Files of the user's that ran in this process, to the key under which."""

RAISED = (Exception, SystemExit)
"""What ends a user's code and is theirs to mend: ``sys.exit`` too, but not an interruption."""

_GROUPS: Mapping[str, str] = {
    "activation": "actbench.activations",
    "target": "actbench.targets",
    "initializer": "actbench.initializers",
}
"""What can be one's own, to the group of entry points under which packages offer it."""


@dataclass(frozen=True)
class Loaded:
    """An object of the user's."""

    key: str  # as it was named
    name: str  # in its code
    thing: Any
    source: str  # start of the SHA-256 of its file; what that file imports is no part of it
    summary: str  # first line of its docstring


def offered(kind: str) -> dict[str, EntryPoint]:
    """List what installed packages offer of a key of ``_GROUPS``, without loading any of it."""
    return {entry.name: entry for entry in entry_points(group=_GROUPS[kind])}


def load(
    kind: str, given: str, known: Mapping[str, object] | tuple[str, ...], base: Path = Path()
) -> Loaded:
    """Load an object of the user's, as seen from a folder. This runs their code.

    It is given as ``path/to/file.py:name``, ``module:name``, or the name of an entry point.
    """
    if ":" not in given:
        entries = offered(kind)
        if given not in entries:
            error = unknown_name(kind, given, [*known, *entries])
            raise ActbenchError(
                f"{error} For one of your own give path/to/file.py:name or module:name"
            )
        module, name = _imported(given, entries[given].module, base), entries[given].attr
    else:
        place, _, name = given.rpartition(":")
        if not place or not name.isidentifier():
            raise ActbenchError(
                f"{given!r} does not name a function; write path/to/file.py:name or module:name"
            )
        is_file = place.endswith(".py")
        module = _from_file(base / place) if is_file else _imported(given, place, base)
    thing = _found(module, name, given)
    _FILES[str(getattr(module, "__file__", None))] = given
    lines = (getattr(thing, "__doc__", None) or "").strip().splitlines()
    return Loaded(given, name.rpartition(".")[2], thing, _digest(module), lines[0] if lines else "")


@contextmanager
def listening(*, errors: bool = True) -> Iterator[io.StringIO]:
    """Keep what is printed in the block from the terminal, and yield where it can be read.

    Warnings, which Python says once, are no part of it.
    """
    printed = io.StringIO()
    with ExitStack() as stack:
        # What the user's code sets of torch must change nothing for the activations beside it.
        gradients = torch.set_grad_enabled(torch.is_grad_enabled())
        stack.enter_context(pinned_state())
        stack.enter_context(gradients)
        stack.enter_context(redirect_stdout(printed))
        if errors:
            stack.enter_context(redirect_stderr(printed))
            stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield printed


def in_one_line(error: BaseException, file: str | None = None) -> str:
    """Say what a user's code raised: ``"ZeroDivisionError: division by zero (line 4)"``."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file is not None and frame.filename == file]
    if isinstance(error, SyntaxError):
        lines = []  # its text says the line
    return f"{text[:200]} (line {lines[-1]})" if lines else text[:200]


@contextmanager
def blaming_own_code(when: str = "while networks are trained") -> Iterator[None]:
    """Turn what code that ``load`` has run raises in the block into one line that says so."""
    try:
        yield
    except RAISED as error:
        frames = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        file = next((file for file in _FILES if file in frames), None)
        if file is None or isinstance(error, ActbenchError):
            raise
        raise ActbenchError(
            f"{_FILES[file]} raises {in_one_line(error, file)} {when}; mend it"
        ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ActbenchError(f"there is no file {str(path)!r}; give path/to/file.py:name")
    place = path.resolve()
    name = f"_actbench_own_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ActbenchError(f"{str(path)!r} is not a Python file; give path/to/file.py:name")
    with _on_path(place.parent):
        return _executed(spec, str(path), str(place))


def _executed(spec: ModuleSpec, shown: str, file: str) -> ModuleType:
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # as an import does, so that its classes can find it
    try:
        with listening(errors=False) as printed:
            assert spec.loader is not None  # noqa: S101 - for the type checker; seen by the caller
            spec.loader.exec_module(module)
    except RAISED as error:
        del sys.modules[spec.name]
        raise ActbenchError(
            f"{shown} raises {in_one_line(error, file)} when it is loaded; mend it, or move what "
            'fails under: if __name__ == "__main__"'
        ) from error
    _require_silence(printed, shown)
    return module


def _imported(given: str, name: str, base: Path) -> ModuleType:
    try:
        with _on_path(base.resolve()), listening(errors=False) as printed:
            module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ActbenchError(
                f"module {name!r} needs {error.name!r}, which is not installed"
            ) from error
        raise ActbenchError(
            f"there is no module {name!r} for {given!r}, neither installed nor in this folder; "
            "install it, or give path/to/file.py:name"
        ) from error
    except RAISED as error:
        raise ActbenchError(
            f"module {name!r} raises {in_one_line(error)} when it is loaded; mend it"
        ) from error
    _require_silence(printed, name)
    return module


def _require_silence(printed: io.StringIO, shown: str) -> None:
    if printed.getvalue():
        start = " ".join(printed.getvalue().split())[:40]
        raise ActbenchError(
            f"{shown} prints {start!r} when it is loaded; remove that, or move it "
            'under: if __name__ == "__main__"'
        )


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _found(module: ModuleType, name: str, given: str) -> Any:
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            public = [
                n for n in vars(module) if not n.startswith("_") and callable(vars(module)[n])
            ]
            raise unknown_name(f"name in {given.rpartition(':')[0] or given}", name, public)
        thing = getattr(thing, part)
    return thing


def _digest(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    content = Path(file).read_bytes() if file and Path(file).is_file() else b""
    return hashlib.sha256(content or module.__name__.encode()).hexdigest()[:16]
