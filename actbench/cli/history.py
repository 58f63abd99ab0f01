"""The command that lays records of several torch releases out over time: history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import Out, Quiet, interruptible
from actbench.store import terminal

if TYPE_CHECKING:
    from rich.table import Table

    from actbench.tracking.history import History


def history(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of records.",
            metavar="[DIR]",
            show_default="the records that come with the package",
        ),
    ] = None,
    out: Out = Path("results"),
    quiet: Quiet = False,
) -> None:
    """Draw what releases of torch changed: verdicts, margins, numbers and speed over releases.

    Reads every record of a folder (see actbench record) and writes history.html and history.md
    with four figures beside the report. On screen, a line per release: how many claims were
    measured, how many have the expected verdict, how many flipped, in how many chains of
    fingerprints the bits are not those of the release before, and the mean duration relative to
    the first release. Of a release with several records the newest counts; records of another
    machine and files that can't be read are left out, and named.

    Example: actbench history records --out results
    """
    with interruptible():
        from actbench import claims
        from actbench.cli import console
        from actbench.store.files import baselines_folder
        from actbench.tracking import history as histories
        from actbench.tracking import records
        from actbench.tracking.history import page

        where = baselines_folder() / "records" if folder is None else folder
        found, refused = records.load_folder(where)
        gathered = histories.of(found, claims.published(), refused)
        written = page.write(gathered, out)
        if quiet:
            for why in refused:
                terminal.say(f"actbench: left out: {why}", err=True)
            return
        screen = terminal.screen()
        screen.print(_table(gathered))
        for note in gathered.notes:
            screen.print(f"- {terminal.printable(note)}")
        screen.print(console.written_files(written), soft_wrap=True)


def _table(gathered: History) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from actbench.tracking.history import page

    table = Table(box=SIMPLE, padding=(0, 1))
    for number, name in enumerate(page.HEADING):
        table.add_column(name, justify="right" if number else "left")
    for line in page.lines(gathered):
        table.add_row(*(Text(terminal.printable(cell)) for cell in line))
    return table
