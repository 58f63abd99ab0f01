"""What the commands share: options, exit codes, and how an interruption ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

EXIT_CHANGED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

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


@contextmanager
def interruptible() -> Iterator[None]:
    """End a command that is interrupted in one line and with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\nactbench: interrupted; finished files are whole, others untouched\n")
        raise typer.Exit(EXIT_INTERRUPTED) from None
