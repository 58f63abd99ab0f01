"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from actbench import __version__
from actbench.cli import (
    drifting,
    history,
    installing,
    reading,
    recovering,
    studying,
    sweeping,
    tracking,
    trying,
    verifying,
)
from actbench.cli.options import EXIT_USAGE
from actbench.environment import require_exact_arithmetic
from actbench.errors import ActbenchError

app = typer.Typer(
    help="Measure and judge the claims of a study of activation functions.\n\n"
    "Start with **actbench reproduce**: it runs every experiment and writes data and "
    "figures to results/. **actbench list** names what can be run.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"actbench {__version__}")
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


_STUDY = "The study"
_OWN = "Your own"
_RESULTS = "Results"
_RELEASES = "Releases of torch"
_HERE = "This installation"

app.command(rich_help_panel=_STUDY)(studying.reproduce)
app.command(rich_help_panel=_STUDY)(studying.run)
app.command(rich_help_panel=_STUDY)(studying.robustness)
app.command(rich_help_panel=_OWN)(verifying.verify)
app.command(rich_help_panel=_OWN)(recovering.recover)
app.command("try", rich_help_panel=_OWN)(trying.try_)
app.command(rich_help_panel=_OWN)(sweeping.sweep)
app.add_typer(reading.claims_app, name="claims", rich_help_panel=_RESULTS)
app.command(rich_help_panel=_RESULTS)(reading.report)
app.command(rich_help_panel=_RELEASES)(tracking.record)
app.command(rich_help_panel=_RELEASES)(drifting.drift)
app.command(rich_help_panel=_RELEASES)(installing.track)
app.command(rich_help_panel=_RELEASES)(installing.bisect)
app.command(rich_help_panel=_RELEASES)(history.history)
app.command("list", rich_help_panel=_HERE)(reading.list_)
app.command(rich_help_panel=_HERE)(reading.doctor)


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except ActbenchError as error:
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"actbench: error: {message}\n")
    sys.exit(code)
