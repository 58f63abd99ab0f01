"""The command that judges any file of claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import (
    AllowCode,
    Device,
    DryRun,
    Overwrite,
    Quiet,
    Seeds,
    Threads,
    Verbose,
    end,
    interruptible,
    require_form,
)
from actbench.store import terminal
from actbench.store.errors import ActbenchError, require_positive_int
from actbench.store.files import prepare_folder, write_atomic

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment


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
    allow_code: AllowCode = False,
    workers: Annotated[int, typer.Option(help="Runs of functions and commands side by side.")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run functions and commands anew, kept or not.")
    ] = False,
    until: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Make as many runs as each claim takes, at its level.",
        ),
    ] = False,
    largest: Annotated[
        int | None,
        typer.Option(
            "--max-seeds",
            help="Most runs for --until-decided.",
            show_default="100; for 'every' twice what shows its share",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="table, markdown, json, csv or latex.")
    ] = "table",
    page: Annotated[
        Path | None,
        typer.Option("--report", help="Also write a page with a figure per claim to this file."),
    ] = None,
    badge: Annotated[
        Path | None, typer.Option(help="Also write a badge with the counts, an SVG, to this file.")
    ] = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Judge a file of claims of your own, then print the ledger.

    A claims file is data. Its numbers come from a table of results that exist, from an experiment
    of actbench, or from code that it names: a function or a command, run once per seed, and only
    with --allow-code. Finished runs are kept and reused. Writes ledger.json and ledger.md to --out;
    exits with 1 if a verdict is not the expected one; a claim that lacks seeds says how many it
    needs. docs/own_study.md shows how to write a file, and 'actbench init runs.csv' writes one to
    start from.

    Example: actbench verify claims.toml --report page.html
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
        require_positive_int("--workers", workers)
        from actbench import ledger
        from actbench.claims import load
        from actbench.cli.session import Session
        from actbench.runs import evidence
        from actbench.runs.early import jobs_of
        from actbench.runs.sources import Sources

        require_form(form, ledger.EXPORTS)
        claims = load(file)
        sources = Sources(claims, allow_code=allow_code, seeds=seeds, workers=workers, fresh=fresh)
        sources.load_own()
        evidence.check_settings(claims)
        session = Session(
            out or Path("results") / file.stem, quiet or form != "table", overwrite, verbose
        )
        jobs = jobs_of(claims, seeds, device, threads)
        if dry_run:
            session.estimate(jobs, sources)
            return
        prepare_folder(session.out)
        early: dict[str, Judgment] = {}
        if until:
            if largest is not None:
                require_positive_int("--max-seeds", largest)
            early, jobs = session.decide(
                claims, sources, jobs, largest, seeds=seeds, workers=workers
            )
        session.collect(sources)
        session.execute(jobs, claims)
        rest = [claim for claim in claims.claim if claim.id not in early]
        later = {j.claim.id: j for j in ledger.from_results(claims, session.out, rest, sources)}
        judgments = [(early | later)[claim.id] for claim in claims.claim]
        session.write_ledger(judgments, claims)
        session.show_ledger(judgments, claims)
        for sentence in sources.notes:
            terminal.say(f"Note: {sentence}", err=True)
        if form != "table":
            terminal.say(ledger.export(judgments, form, claims), end="")
        if page is not None or badge is not None:
            from actbench.ledger import pages

            if page is not None:
                write_atomic(page, pages.page(judgments, claims, sources.notes).encode())
            if badge is not None:
                write_atomic(badge, pages.badge(judgments).encode())
            if not session.quiet:
                told = " and ".join(str(path) for path in (page, badge) if path is not None)
                terminal.say(f"Written: {told}", err=True)
    end(judgments)


def _schema() -> str:
    from actbench.runs.drafting import text

    return text()


def _metrics() -> str:
    from actbench.claims.metrics import EXPERIMENTS_OF, METRICS, definition
    from actbench.store import studies

    lines = []
    for of in dict.fromkeys(EXPERIMENTS_OF.values()):
        lines.append(", ".join(of))
        for name in (name for name, keys in EXPERIMENTS_OF.items() if keys == of):
            arguments = ", ".join(studies.arguments(METRICS[name]))
            lines += [f"  {name}({arguments})", f"      {definition(name)}"]
    return "\n".join(lines)
