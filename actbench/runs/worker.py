"""The process that calls a user's function, one seed after another: a program, started as a file.

It loads nothing of actbench, so that it starts in no time and a user's own modules come first.
Requests come as pickles on standard input, which is closed when whoever asked is gone: then this
process ends, and all that the function started. Answers go, one line of JSON each, where standard
output went; what the function prints goes to a log.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import json
import numbers
import os
import pickle
import queue
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import IO, Any

_LONGEST = 300
_LIBRARY = str(Path(os.__file__).parent)


class NoNumberError(Exception):
    """What was returned or written holds no number that can be used."""


class SetupError(Exception):
    """The function can't be called at all, whatever the seed."""


def numbers_in(value: Any) -> dict[str, float]:
    """Return the numbers of what a run returned or wrote."""
    plain = _number(value)
    if plain is not None:
        return {"value": plain}
    if not isinstance(value, Mapping):
        if hasattr(value, "columns") and hasattr(value, "__len__"):
            if len(value) != 1:
                raise NoNumberError(f"a table of {len(value)} rows; one row was expected")
            value = {str(name): next(iter(value[name])) for name in value.columns}
        elif hasattr(value, "to_dict"):
            value = value.to_dict()
    found = dict(_flat(value, "")) if isinstance(value, Mapping) else {}
    if not found:
        raise NoNumberError(
            f"{_shown(value)}; a number, numbers by name or a table of one row was expected"
        )
    return found


def _flat(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        number = _number(value)
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif number is not None:
            yield f"{prefix}{name}", number


def _number(value: Any) -> float | None:
    """Return a number as one: Python's, NumPy's, or an array or tensor without axes."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        return None
    if tuple(getattr(value, "shape", ())):
        return None
    try:
        return float(value)
    except Exception:
        return None


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if value is None or isinstance(value, str | bytes | int | float | Mapping):
        text = repr(value)
    else:
        text = type(value).__name__ + (f" of shape {tuple(shape)}" if shape else "")
    return text if len(text) <= 80 else f"{text[:77]}..."


def told(error: BaseException, base: Path) -> str:
    """Say in one line where a user's code raised what."""
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    foreign = ("<", __file__, _LIBRARY)
    own = [f for f in frames if not f[0].startswith(foreign) and "site-packages" not in f[0]]
    place = f"{os.path.relpath(own[-1][0], base)}, line {own[-1][1]}: " if own else ""
    try:
        said = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        said = "an error that can't be told"
    text = " ".join(f"{type(error).__name__}: {said}".split()).removesuffix(":")[:_LONGEST]
    return place + text.encode(errors="backslashreplace").decode()


def load(function: str, settings: Mapping[str, Any], base: Path) -> Callable[..., Any]:
    """Find a function, and whether it takes a seed and the settings. This runs the user's code."""
    place, _, name = function.rpartition(":")
    try:
        found: Any = _module(place, base)
    except SystemExit as error:
        raise SetupError(f"{place} calls sys.exit({error.code!r}) when it is loaded") from error
    except BaseException as error:
        traceback.print_exc()
        raise SetupError(told(error, base)) from error
    for part in name.split("."):
        if not hasattr(found, part):
            names = [name for name in dir(found) if not name.startswith("_")]
            near = get_close_matches(part, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SetupError(f"{place} has no {part!r}{hint}")
        found = getattr(found, part)
    try:
        signature = inspect.signature(found)
    except ValueError:  # of a builtin, which tells none
        return found  # type: ignore[no-any-return]
    except TypeError as error:
        raise SetupError(f"{name} in {place} is no function: {_shown(found)}") from error
    try:
        signature.bind(seed=0, **settings)
    except TypeError as error:
        given = ", ".join(f"{key}=" for key in ("seed", *settings))
        raise SetupError(
            f"{_place(found, place, base)}: {name}{signature} can't be called with {given}: {error}"
        ) from error
    return found  # type: ignore[no-any-return]


def _module(place: str, base: Path) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = (base / place).resolve()
    # Under its own name, by which a copy of this process finds what it must unpickle.
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    spec = importlib.util.spec_from_file_location(
        f"_claims_{path.stem}" if taken else path.stem, path
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _place(found: Any, place: str, base: Path) -> str:
    code = getattr(inspect.unwrap(found), "__code__", None)
    if code is None:
        return place
    return f"{os.path.relpath(code.co_filename, base)}, line {code.co_firstlineno}"


def _called(
    function: Callable[..., Any], seed: int, settings: Mapping[str, Any], base: Path
) -> dict[str, Any]:
    """Call the function with one seed and say how that went."""
    os.chdir(base)
    _seed_all(seed)
    try:
        value = function(seed=seed, **copy.deepcopy(dict(settings)))
        return {"outcome": "finished", "values": numbers_in(value)}
    except NoNumberError as error:
        return {"outcome": "no number", "message": f"returned {error}"}
    except SystemExit as error:
        return {"outcome": "exited", "message": f"called sys.exit({error.code!r})"}
    except BaseException as error:
        traceback.print_exc()
        return {"outcome": "failed", "message": told(error, base)}


def _seed_all(seed: int) -> None:
    """Let no seed's numbers depend on which ones this process had before."""
    random.seed(seed)
    with suppress(Exception):
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed % 2**32)
    with suppress(Exception):
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)


def _listen(stream: Any, requests: queue.SimpleQueue[Any]) -> None:
    """Take requests while the function runs, and end everything with whoever made them."""
    with suppress(Exception):
        while True:
            requests.put(pickle.load(stream))  # noqa: S301 - from actbench
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _log_to(path: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(number, 1)
    os.dup2(number, 2)
    os.close(number)


def _own_streams() -> tuple[int, IO[bytes]]:
    """Take the ways to and from whoever asks: the function prints to a log, and reads nothing."""
    answers, asked = os.dup(1), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr]
            encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
    if hasattr(os, "register_at_fork"):
        # A copy of this process can neither answer nor keep the end of the answers from being seen.
        held = [answers]

        def let_go() -> None:
            while held:  # once: in a copy of the copy, the number may be another file's
                os.close(held.pop())

        os.register_at_fork(after_in_child=let_go)
    return answers, asked


def main() -> None:
    """Serve requests until whoever makes them is gone."""
    here = os.getpid()
    answers, asked = _own_streams()

    def answer(value: Mapping[str, Any]) -> None:
        if os.getpid() != here:
            os._exit(0)
        line = memoryview(f"{json.dumps(value)}\n".encode())
        while line:
            line = line[os.write(answers, line) :]

    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked, requests), daemon=True).start()
    function, settings, base, paths = requests.get()
    sys.path[:0] = paths
    sys.argv = [function]
    try:
        call = load(function, settings, base)
    except SetupError as error:
        answer({"setup": str(error)})
        return
    answer({})
    while True:
        seed, log = requests.get()
        _log_to(log)
        answer(_called(call, seed, settings, base))


if __name__ == "__main__":
    main()
