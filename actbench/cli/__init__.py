"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from actbench import __version__
from actbench.cli import (
    installing,
    judging,
    planning,
    reading,
    tracking,
    verifying,
)
from actbench.cli.options import EXIT_UNREAD, EXIT_USAGE, Command, Group
from actbench.store import studies, terminal
from actbench.store.environment import require_exact_arithmetic
from actbench.store.errors import ActbenchError
from actbench.store.terminal import docstring

app = typer.Typer(
    cls=Group,
    help="Judge what is said of results of many runs, your own or those of a published study.\n\n"
    "Start with **actbench judge runs.csv** on a table of yours, or **actbench claims** on the "
    "study of activation functions, which **actbench reproduce** runs anew.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"actbench {__version__}")
        raise typer.Exit


_EXACT = ("record", "track", "bisect", "sweep", "recover")
"""Commands that promise the same bits whatever is computed beside them."""


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - shown as soon as it is read
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Make a network's bits independent of those beside it (MKL_CBWR=AUTO,STRICT); "
            "always on for " + ", ".join(_EXACT) + ".",
        ),
    ] = False,
) -> None:
    if exact or context.invoked_subcommand in _EXACT:
        require_exact_arithmetic()


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What ends writing to standard output."""

_LONGEST = 2000
"""Characters of an error."""

_OWN = "Your own"
_RESULTS = "Results"
_RELEASES = "Releases of torch"
_STUDY = "The study"
_PANELS = (_OWN, _STUDY, _RESULTS, _RELEASES)


def _add(
    command: Callable[..., None],
    panel: str,
    name: str | None = None,
    cls: type[Command] = Command,
) -> None:
    # Typer finds no help where Python was told to strip docstrings.
    app.command(name, cls=cls, rich_help_panel=panel, help=docstring(command))(command)


def _add_registered(*panels: str) -> None:
    """Add the commands that studies bring to some panels; to all others where none is named."""
    for part in studies.parts("commands"):
        for panel, commands in part.COMMANDS.items():
            if panel in panels or not (panels or panel in _PANELS):
                for command, cls in commands:
                    _add(command, panel, command.__name__.rstrip("_"), cls)


_add(judging.judge, _OWN)
_add(judging.init, _OWN)
_add(verifying.verify, _OWN)
_add(planning.plan, _OWN)
_add_registered(_OWN)
_add_registered(_STUDY)
app.add_typer(reading.claims_app, name="claims", rich_help_panel=_RESULTS)
_add_registered(_RESULTS)
_add(tracking.record, _RELEASES)
_add(tracking.drift, _RELEASES)
_add(installing.track, _RELEASES)
_add(installing.bisect, _RELEASES)
_add(tracking.history, _RELEASES)
_add_registered()


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2.

    So is a disk that is full. Where nobody reads on, as with ``| head``, it ends as other tools do.
    """
    terminal.prepare()
    try:
        _require_a_place()
        try:
            app()
        finally:
            sys.stdout.flush()
    except ActbenchError as error:
        _fail(str(error))
    except SystemExit as leaving:
        # Typer and Rich end with 1, which here says that a verdict changed.
        if isinstance(leaving.__context__, BrokenPipeError):
            _leave_unread()
        raise
    except BrokenPipeError:
        _leave_unread()
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        place = "standard output" if error.filename is None else error.filename
        terminal.abandon()
        _fail(f"{place}: {error.strerror}")


def _require_a_place() -> None:
    try:
        Path.cwd()
    except OSError as error:
        # Not only relative paths need one: MKL ends the process where it can't load its libraries.
        raise ActbenchError(
            f"the working directory can't be used: {error.strerror}. Change to one that is there"
        ) from error


def _leave_unread() -> None:
    terminal.abandon()
    sys.exit(EXIT_UNREAD)


def _fail(message: str) -> None:
    text = terminal.printable(message)
    if len(text) > _LONGEST:  # a text of a file's that is given back
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    with suppress(OSError):
        terminal.say(f"actbench: error: {text}", err=True)
    sys.exit(EXIT_USAGE)
