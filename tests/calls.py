"""How a call of the package ended, and Python called in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias


class Ended(NamedTuple):
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Ended]
"""Calls the command line with the words that it is given, as the fixture ``actbench`` does."""

PLUGIN = ("-p", "actbench.pytest_plugin", "-p", "no:cacheprovider")
"""Options with which pytest loads our plugin, where it is not installed too, and keeps nothing."""


def python(
    *words: object,
    folder: Path | None = None,
    variables: Mapping[str, str | None] | None = None,
    timeout: float | None = None,
    encoding: str | None = None,
) -> Ended:
    """Call Python, with these variables beside the environment's; None takes one away."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        timeout=timeout,
        text=True,
        encoding=encoding,
        capture_output=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def printed(*words: object, **how: Any) -> str:
    """What Python prints, which must end well."""
    ended = python(*words, **how)
    assert ended.code == 0, ended.err
    return ended.out
