"""What the commands share: options, exit codes, and how an interruption ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from actbench.store import terminal
from actbench.store.errors import needing_extras, require_extra, unknown_name

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

EXIT_CHANGED = 1
EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130
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
    bool, typer.Option("--dry-run", help="Say what would run and how long it takes; run nothing.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results of other settings in the folder.")
]


AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Let code that the file names run."),
]
Form = Annotated[str, typer.Option("--format", help="table, markdown or json.")]
Short = Annotated[str, typer.Option("--format", help="table or json.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", help="Also list each experiment's losses, gradients and files, and all claims."
    ),
]


def _called(ctx: Any) -> str:
    """Name a command as it is installed, also where Python was told to run the package."""
    return "actbench" + str(ctx.command_path).removeprefix(ctx.find_root().command_path)


class _Ours:
    """What commands and groups share: flags in help as they are typed, and what is missing."""

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return found

    def invoke(self, ctx: Any) -> Any:
        with needing_extras(_called(ctx)):
            return super().invoke(ctx)  # type: ignore[misc]


class Command(_Ours, TyperCommand):
    """What the command line is made of."""


class StudyCommand(Command):
    """A command of which nothing works without the study's packages."""

    def invoke(self, ctx: Any) -> Any:
        """Run it, if they are there."""
        require_extra("study", _called(ctx))
        return super().invoke(ctx)


class Group(_Ours, TyperGroup):
    """Commands below another one, and the whole command line."""


def complete_claim(incomplete: str) -> list[str]:
    """Complete the id of a claim of the study."""
    from actbench.claims import published

    return [claim.id for claim in published().claim if claim.id.startswith(incomplete)]


def end(judgments: Sequence[Judgment]) -> None:
    """End with the exit code that verdicts ask for: 1 if one is not the expected one, else 0.

    A claim that lacks seeds is not counted: fewer were asked for than its wording needs, which the
    ledger tells.
    """
    from actbench import ledger

    if ledger.changed(judgments):
        raise typer.Exit(EXIT_CHANGED)


def require_form(given: str, known: Sequence[str]) -> None:
    """Refuse a --format that a command does not have; raises ``ActbenchError`` for any other."""
    if given not in known:
        raise unknown_name("format", given, known)


@contextmanager
def interruptible() -> Iterator[None]:
    """End a command that is interrupted in one line and with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.say(
            "\nactbench: interrupted; finished files are whole, others untouched", err=True
        )
        raise typer.Exit(_EXIT_INTERRUPTED) from None
