"""The command that judges any file of claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench import terminal
from actbench.cli.options import (
    Device,
    DryRun,
    Overwrite,
    Quiet,
    Seeds,
    Threads,
    Verbose,
    end,
    interruptible,
)
from actbench.errors import ActbenchError, require_positive_int


def verify(
    file: Annotated[
        Path | None, typer.Argument(help="A file of claims, such as claims.toml.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for data and ledger.",
            show_default="results/ and the file's name",
        ),
    ] = None,
    seeds: Seeds = 16,
    device: Device = "auto",
    threads: Threads = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a claims file, for editors.")
    ] = False,
    metrics: Annotated[
        bool,
        typer.Option("--metrics", help="Print every metric with its arguments, by experiment."),
    ] = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Judge a file of claims of your own: run what its protocols need, then print the ledger.

    A claims file is data: nothing in it is ever executed. It names experiments, settings and
    metrics that actbench has, and says where a measured value must lie. Finished results in --out
    are reused. Writes ledger.json and ledger.md there; exits with 1 if a verdict is not the
    expected one; a claim that lacks seeds says how many it needs. docs/own_study.md shows how to
    write a file.

    Example: actbench verify claims.toml --out mine
    """
    with interruptible():
        if schema or metrics:
            terminal.say(_schema() if schema else _metrics(), end="" if schema else "\n")
            return
        if file is None:
            raise ActbenchError(
                "which claims? Name a file, as in: actbench verify claims.toml; "
                "docs/own_study.md shows how to write one"
            )
        require_positive_int("--seeds", seeds)
        from actbench.claims import evidence, ledger, load
        from actbench.session import Session, jobs_of

        claims = load(file)
        evidence.check_settings(claims)
        session = Session(out or Path("results") / file.stem, quiet, overwrite, verbose)
        jobs = jobs_of(claims, seeds, device, threads)
        if dry_run:
            session.estimate(jobs)
            return
        session.execute(jobs, claims)
        judgments = ledger.from_results(claims, session.out)
        session.write_ledger(judgments, claims)
        session.show_ledger(judgments, claims)
    end(judgments)


def _schema() -> str:
    from actbench.claims.schema import text

    return text()


def _metrics() -> str:
    import inspect

    from actbench.metrics import EXPERIMENTS_OF, METRICS, definition

    lines = []
    for of in dict.fromkeys(EXPERIMENTS_OF.values()):
        lines.append(", ".join(of))
        for name in (name for name, keys in EXPERIMENTS_OF.items() if keys == of):
            arguments = list(inspect.signature(METRICS[name]).parameters)[1:]
            lines += [f"  {name}({', '.join(arguments)})", f"      {definition(name)}"]
    return "\n".join(lines)
