"""The command that compares two records: drift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.options import EXIT_CHANGED, interruptible
from actbench.store import terminal
from actbench.store.errors import unknown_name


def drift(
    old: Annotated[Path, typer.Argument(help="The record to compare with.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The record that is asked about.", metavar="NEW")],
    form: Annotated[
        str, typer.Option("--format", help="table, markdown (for a CI job's summary) or json.")
    ] = "table",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail, too, if numbers moved beyond seeds and rounding."),
    ] = False,
    max_slowdown: Annotated[
        float | None,
        typer.Option(
            help="Fail, too, if a workload is slower by more than this factor, such as 1.3, "
            "beyond its uncertainty.",
            show_default="no limit",
        ),
    ] = None,
) -> None:
    """Say what changed between two records: claims that flipped, numbers, speed, each apart.

    Numbers come in steps: identical bits, last digit, within what seeds and rounding make, beyond
    it; and the first operation and epoch at which the two part is named. Speed is relative to a
    control that no torch release changes. What can't be compared (another machine, other settings)
    is left out, and named.

    Exit code: 1 if a claim flipped; with --strict also if numbers moved beyond seeds and rounding;
    with --max-slowdown X also if a workload is slower than X beyond its uncertainty; 0 otherwise,
    whatever drifted. 2 for bad input, and where nothing could be compared that was asked for.

    Example: actbench drift old.json new.json --format markdown >> "$GITHUB_STEP_SUMMARY"
    """
    with interruptible():
        from actbench.claims import published
        from actbench.tracking import records
        from actbench.tracking.drift import compare, failures, writing

        if form not in writing.FORMATS:
            raise unknown_name("format", form, writing.FORMATS)
        protocols = {claim.id: claim.protocol for claim in published().claim}
        before, now = records.load(old), records.load(new)
        if not now.of_study:
            protocols = {str(d.metric["claim"]): d.protocol for d in now.distributions}
        found = compare(before, now, protocols)
        reasons = failures(found, strict=strict, max_slowdown=max_slowdown)
        if form == "table":
            writing.show(found, reasons, terminal.screen())
        else:
            write = writing.as_json if form == "json" else writing.markdown
            terminal.say(write(found, reasons))
    if reasons:
        raise typer.Exit(EXIT_CHANGED)
