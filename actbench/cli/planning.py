"""The command that tells how many runs a claims file will need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.options import AllowCode, Short, interruptible, require_form
from actbench.store import terminal

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

_POWER = 0.8


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
    from actbench.cli.session import Session
    from actbench.runs import evidence
    from actbench.runs.sources import Sources
    from actbench.store.errors import ActbenchError, require_positive_int
    from actbench.store.files import strict_json

    with interruptible():
        require_form(form, ("table", "json"))
        require_positive_int("--pilot", pilot)
        require_positive_int("--workers", workers)
        claims = load(file)
        about = [
            c for c in claims.claim if c.protocol and not claims.protocol[c.protocol].experiment
        ]
        pooled = [claim.id for claim in about if claim.pooled]
        about = [claim for claim in about if not claim.pooled]
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
        if pooled:
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
