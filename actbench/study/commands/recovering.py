"""The command that looks for unstated settings: recover."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.options import EXIT_CHANGED, DryRun, Out, Quiet, Threads, interruptible
from actbench.store import terminal

_FOUND_NOTHING = EXIT_CHANGED


def _complete_search(incomplete: str) -> list[str]:
    from actbench.study.recover.schema import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def recover(
    file: Annotated[
        str,
        typer.Argument(
            help="A search file (TOML), or a shipped one: gradient_ratios, main_run.",
            autocompletion=_complete_search,
        ),
    ],
    out: Out = Path("results/recover"),
    threads: Threads = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the result of another search in the folder.",
        ),
    ] = False,
) -> None:
    """Find the unstated settings that give published numbers to their printed digits.

    The file names the numbers, with their digits, and the settings to try: initializer, bias, the
    state of the random stream, input, loss, measure and so on. Writes search.json, search.md and,
    where a protocol was found, protocol.toml, which the same command computes again. It says how
    many matches chance alone would give in a space of that size.

    Ends with exit code 1 where no protocol gives the numbers. Interrupted, the same command goes
    on where it stopped.

    Example: actbench recover gradient_ratios
    """
    with interruptible():
        from actbench.study.recover import schema

        search = schema.load(schema.find(file))
        from actbench.cli.console import progress_bar, written_files
        from actbench.pages import blocks
        from actbench.study.recover import folder, report, space
        from actbench.study.recover import search as searching

        screen = terminal.screen(quiet=quiet)
        plan = space.lay_out(search)
        if dry_run:
            screen.print(folder.estimate(plan, threads))
            return
        bar = terminal.screen(stderr=True, quiet=quiet)
        with progress_bar(bar, "recover", searching.steps(plan)) as progress:
            kept = folder.fulfil(plan, out, progress, threads, overwrite=overwrite)
        screen.print(blocks.terminal(report.in_terminal(kept.result), screen.width))
        for sentence in kept.notes:
            screen.print(f"Note: {sentence}")
        screen.print("Written:" if kept.written else f"Reused from {out}; same search.")
        screen.print(written_files(kept.written), soft_wrap=True)
    if not kept.result.classes:
        raise typer.Exit(_FOUND_NOTHING)
