"""What the commands share: options, exit codes, and how an interruption ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from actbench import terminal

EXIT_CHANGED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141  # as of a process that SIGPIPE ends

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for data and figures.")]
Seeds = Annotated[int, typer.Option(help="How many seeds, from 42 on.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or xpu; auto picks the best.")]
Threads = Annotated[
    int | None,
    typer.Option(help="CPU threads.", show_default="physical cores, at most 8"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
DryRun = Annotated[
    bool, typer.Option(help="Say what would run and how long it takes; run nothing.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace results of other settings in the folder.")]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Let functions and commands that the file names run."),
]


@contextmanager
def interruptible() -> Iterator[None]:
    """End a command that is interrupted in one line and with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.say(
            "\nactbench: interrupted; finished files are whole, others untouched", err=True
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None


def offered(kind: str) -> tuple[str, ...]:
    """Name what installed packages offer, without loading any of it.

    Args:
        kind: ``"activation"``, ``"target"`` or ``"initializer"``.

    Returns:
        Names of entry points.
    """
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=f"actbench.{kind}s").names))


def load_own(kind: str, given: str) -> str:
    """Load what the user names as code of their own; a built-in name is left to its registry.

    Args:
        kind: ``"activation"``, ``"target"`` or ``"initializer"``.
        given: What was given on the command line.

    Returns:
        The name, under which the registry has it now.

    Raises:
        ActbenchError: It can't be loaded, or is not fit to be measured.
    """
    if ":" in given or given in offered(kind):
        from actbench import own

        getattr(own, kind)(given)
    return given
