"""What is printed: each character as the terminal can show it, and docstrings as help."""

from __future__ import annotations

import ast
import codecs
import inspect
import os
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from io import StringIO, TextIOWrapper
from textwrap import dedent
from typing import Any

from rich.console import Console


def docstring(thing: Callable[..., Any]) -> str:
    """Return what the docstring of a function or class says."""
    if sys.flags.optimize < 2:
        return inspect.getdoc(thing) or ""
    (node,) = ast.parse(dedent(inspect.getsource(thing))).body
    return (isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)) or ""


_ALIKE = "▁▂▃▄▅▆▇═█▉▊▋▌▍▎▏━╸╺−–—·“”‘’∂×", """..::||#=###==--.------*""''dx"""  # noqa: RUF001
_IN_ASCII = {
    **dict(zip(*_ALIKE, strict=True)),
    "…": "...",
    "→": "->",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "√": "sqrt",
    "∞": "inf",
    "²": "^2",
    "³": "^3",
}
_ERRORS = "actbench-plain"
_WHOLE = 10_000  # columns, more than any line has


def plain(character: str) -> str:
    """Write a character in ASCII: its own form, without its accent, or its name."""
    if character in _IN_ASCII:
        return _IN_ASCII[character]
    simpler = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    letter = unicodedata.name(character, "").partition(" LETTER ")[2]
    return simpler or (letter.lower() if letter.isalpha() else "?")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def prepare() -> None:
    """Let standard output and error take every text; one that is closed takes it to nowhere."""
    codecs.register_error(_ERRORS, _replaced)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, StringIO())
        # Who asks for another form, as with PYTHONIOENCODING=:replace, has it.
        elif isinstance(stream, TextIOWrapper) and (
            name == "stderr" or stream.errors in {"strict", "surrogateescape"}
        ):
            stream.reconfigure(errors=_ERRORS)


def screen(*, quiet: bool = False, stderr: bool = False, whole: bool = False) -> Console:
    """Return where to draw: brackets and colons of what is printed mean nothing there."""
    console = Console(quiet=quiet, stderr=stderr, markup=False, emoji=False, highlight=False)
    if whole and not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WHOLE
    return console


def tell(text: str, *, quiet: bool = False) -> None:
    """Print sentences: wrapped between words on a terminal, whole lines in a file or a pipe."""
    console = screen(quiet=quiet)
    console.print(text, soft_wrap=not console.is_terminal)


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print a text as it is."""
    print(text, file=sys.stderr if err else sys.stdout, end=end, flush=True)


def plural(count: int, one: str) -> str:
    """Write a count with its noun."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def printable(text: str) -> str:
    """Replace control characters, which a terminal would obey, by spaces."""
    return "".join(c if c.isprintable() else " " for c in text)


def abandon() -> None:
    """Write nothing more to a standard output that takes nothing, at the end of Python either."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
