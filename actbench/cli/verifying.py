"""The commands about any file of claims: verify judges it, plan tells how many runs it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.options import (
    AllowCode,
    Device,
    DryRun,
    Overwrite,
    Quiet,
    Seeds,
    Short,
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
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment
    from actbench.cli.console import Session
    from actbench.runs.early import Job
    from actbench.runs.sources import Sources

_POWER = 0.8


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
        from actbench.cli.console import Session
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
            numbers = {"seeds": seeds, "workers": workers}
            early, jobs = session.decide(claims, sources, jobs, largest, **numbers)
        judgments = _judged(session, claims, sources, jobs, early)
        session.show_ledger(judgments, claims)
        for sentence in sources.notes:
            terminal.say(f"Note: {sentence}", err=True)
        if form != "table":
            terminal.say(ledger.export(judgments, form, claims), end="")
        if page is not None or badge is not None:
            _write_pictures(session, judgments, claims, sources.notes, page, badge)
    end(judgments)


def _judged(
    session: Session,
    claims: ClaimsFile,
    sources: Sources,
    jobs: Sequence[Job],
    early: dict[str, Judgment],
) -> list[Judgment]:
    """Run what is still to run, judge what is not decided early, and write the ledger."""
    from actbench import ledger

    session.collect(sources)
    session.execute(jobs, claims)
    rest = [claim for claim in claims.claim if claim.id not in early]
    later = {j.claim.id: j for j in ledger.from_results(claims, session.out, rest, sources)}
    judgments = [(early | later)[claim.id] for claim in claims.claim]
    session.write_ledger(judgments, claims)
    return judgments


def _write_pictures(
    session: Session,
    judgments: Sequence[Judgment],
    claims: ClaimsFile,
    notes: Sequence[str],
    page: Path | None,
    badge: Path | None,
) -> None:
    from actbench.ledger import pages

    if page is not None:
        write_atomic(page, pages.page(judgments, claims, notes).encode())
    if badge is not None:
        write_atomic(badge, pages.badge(judgments).encode())
    written = " and ".join(str(path) for path in (page, badge) if path is not None)
    if written and not session.quiet:
        terminal.say(f"Written: {written}", err=True)


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


def plan(
    file: Annotated[Path, typer.Argument(help="A file of claims about tables or code.")],
    pilot: Annotated[int, typer.Option(help="Runs of a function or a command to learn from.")] = 10,
    allow_code: AllowCode = False,
    workers: Annotated[int, typer.Option(help="Runs side by side.")] = 1,
    form: Short = "table",
) -> None:
    """Tell from a pilot how many runs each claim needs, and what the present number can detect.

    The pilot is the table, or a few runs of the function or command, which are kept. New runs are
    taken to be as the pilot's: its counts say how likely each verdict is (a Dirichlet-multinomial
    prediction), and the number is the smallest for which a decision has 80 % probability.

    Example: actbench plan claims.toml --allow-code --pilot 8
    """
    from actbench.claims import load
    from actbench.cli.console import Session
    from actbench.runs import evidence
    from actbench.runs.sources import Sources
    from actbench.store.errors import ActbenchError, require_positive_int
    from actbench.store.files import strict_json

    with interruptible():
        require_form(form, ("table", "json"))
        require_positive_int("--pilot", pilot)
        require_positive_int("--workers", workers)
        claims = load(file)
        of_runs = [
            c for c in claims.claim if c.protocol and not claims.protocol[c.protocol].experiment
        ]
        about = [claim for claim in of_runs if not claim.pooled]
        if not about:
            raise ActbenchError(
                f"{file}: no claim is about one number per run of a table, function or command; "
                "what an experiment of actbench costs, 'actbench verify --dry-run' tells"
            )
        sources = Sources(claims, allow_code=allow_code, seeds=pilot, workers=workers)
        Session(Path(), quiet=form == "json", overwrite=False).collect(sources)
        judged = [evidence.judge_one(claims, claim, lambda name: None, sources) for claim in about]
        rows = [_row(j, claims.level(j.claim), sources.duration_s(j.claim)) for j in judged]
        if form == "json":
            terminal.say(strict_json(rows))
            return
        terminal.screen().print(_table(rows))
        terminal.say(
            "needed: runs for a verdict with a probability of 80 %; detects: how far a median must "
            "lie beyond its bound for as many runs as the pilot's to show it"
        )
        if pooled := [claim.id for claim in of_runs if claim.pooled]:
            terminal.say(f"left out, as they give one number of all runs: {', '.join(pooled)}")


def _row(judgment: Judgment, alpha: float, duration_s: float | None) -> dict[str, Any]:
    from actbench.claims.redraws import runs_for_decision, smallest_difference

    values, relation = judgment.values, judgment.claim.relation
    needed = difference = None
    if values is not None and relation is not None:
        needed = runs_for_decision(judgment.claim, values, alpha, _POWER)
        if judgment.claim.quantifier == "median" and relation.kind != "equals":
            sign = 1.0 if relation.kind == "above" else -1.0
            difference = smallest_difference(sign * values, alpha, _POWER)
    return {
        "id": judgment.claim.id,
        "verdict_of_pilot": str(judgment.verdict),
        "runs": judgment.seeds,
        "runs_needed": needed,
        "smallest_difference": difference,
        "minutes": None if duration_s is None or needed is None else needed * duration_s / 60,
    }


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE)
    table.add_column("claim", overflow="fold")
    table.add_column("pilot", no_wrap=True)
    for heading in ("runs", "needed", "detects", "minutes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        needed = "more than 10000" if row["runs_needed"] is None else str(row["runs_needed"])
        cells = [
            "" if row[name] is None else f"{row[name]:.3g}"
            for name in ("smallest_difference", "minutes")
        ]
        table.add_row(row["id"], row["verdict_of_pilot"], str(row["runs"]), needed, *cells)
    return table
