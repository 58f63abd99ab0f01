"""Which commands there are; nothing heavy is imported before one needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from actbench import __version__
from actbench.cli import installing, judging, reading, tracking, verifying
from actbench.cli.options import Command, Group
from actbench.store import studies, terminal
from actbench.store.environment import require_exact_arithmetic
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
_add(verifying.plan, _OWN)
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
