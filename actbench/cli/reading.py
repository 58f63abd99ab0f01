"""Commands that show what is there: list, claims, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.options import (
    Command,
    Form,
    Group,
    Out,
    Quiet,
    Short,
    complete_claim,
    end,
    interruptible,
    offered,
    require_form,
)
from actbench.store import studies, terminal
from actbench.store.errors import unknown_name
from actbench.store.terminal import docstring
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.catalog.initializers import KEYS as INITIALIZER_KEYS
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments import FURTHER as FURTHER_EXPERIMENTS
from actbench.study.experiments import get as get_experiment

_SHORT = ("table", "json")


def list_(form: Short = "table") -> None:
    """Name the experiments, activations and initializers."""
    require_form(form, _SHORT)
    if form == "json":
        terminal.say(json.dumps(_listed(), indent=1))
        return
    widest = max(map(len, studies.experiments()))
    for heading, known in (
        (f"experiments: the {len(EXPERIMENTS)} of the study, which reproduce runs", EXPERIMENTS),
        ("experiments for other studies, which reproduce does not run", FURTHER_EXPERIMENTS),
    ):
        terminal.say(heading)
        for experiment in known.values():
            terminal.say(f"  {experiment.key:{widest}}  {experiment.summary}")
    for other in (o for o in studies.registered() if not o.own):
        terminal.say(f"experiments of {other}: {other.study.title}")
        for experiment in other.study.experiments:
            terminal.say(f"  {experiment.key:{widest}}  {experiment.summary}")
        if other.study.claims is not None:
            terminal.say(f"  judge its claims with: actbench verify {other.study.claims}")
    for problem in studies.problems():
        terminal.say(f"Note: {problem}", err=True)
    terminal.say("activations")
    for activation in (*ACTIVATIONS.values(), *FURTHER.values()):
        low, high = activation.derivative_bounds
        bounds = f"slope in [{low:.4g}, {high:.4g}]"
        terminal.say(f"  {activation.key:12} {activation.formula:29} {bounds}")
    for name in offered("activation"):
        terminal.say(f"  {name:12} of an installed package; look at it with: actbench try {name}")
    terminal.say("initializers")
    for key in INITIALIZER_KEYS:
        terminal.say(f"  {key}")


def _listed() -> dict[str, object]:
    return {
        "experiments": [
            {"key": e.key, "summary": e.summary, "reproduce": e.key in EXPERIMENTS}
            for e in studies.experiments().values()
        ],
        "studies": [
            {
                "name": found.study.name,
                "title": found.study.title,
                "experiments": [e.key for e in found.study.experiments],
                "claims": found.study.claims and str(found.study.claims),
            }
            for found in studies.registered()
        ],
        "activations": [
            {"key": a.key, "formula": a.formula, "slope": a.derivative_bounds}
            for a in (*ACTIVATIONS.values(), *FURTHER.values())
        ],
        "activations_installed": offered("activation"),
        "initializers": list(INITIALIZER_KEYS),
    }


claims_app = typer.Typer(
    cls=Group,
    help="The ledger: every claim of the study with its verdict.",
    invoke_without_command=True,
)


@claims_app.callback()
def claims(
    context: typer.Context,
    form: Form = "table",
    verdict: Annotated[
        str | None, typer.Option(help="Only claims with this verdict.", show_default="all")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Only claims of this experiment.", show_default="all")
    ] = None,
    out: Out = Path("results"),
) -> None:
    """Print the ledger, judged from the results in --out or from stored measurements."""
    if context.invoked_subcommand is not None:
        context.obj = out
        return
    from actbench import ledger
    from actbench.claims import Verdict, published
    from actbench.ledger import published_table

    with interruptible():
        require_form(form, ledger.FORMATS)
        verdicts = [str(known) for known in Verdict]
        if verdict is not None and verdict not in verdicts:
            raise unknown_name("verdict", verdict, verdicts)
        if experiment is not None:
            get_experiment(experiment)
        file = published()
        results = ledger.Results(file, out)
        judgments = results.judge()
    chosen = [
        j
        for j in judgments
        if verdict in {None, str(j.verdict)}
        and (
            experiment is None
            or (j.claim.protocol and file.protocol[j.claim.protocol].experiment == experiment)
        )
    ]
    if form == "table":
        screen = terminal.screen(whole=True)
        screen.print(ledger.table(chosen, screen.width))
        for line in published_table.sentences(chosen, judgments):
            screen.print(line)
        terminal.tell(ledger.origins(chosen, results, out))
        terminal.tell(ledger.counts(chosen, file))
    else:
        elsewhere = ledger.elsewhere(file, chosen)
        if form == "json":
            terminal.say(ledger.as_json(chosen, elsewhere, judgments))
        else:
            terminal.say(ledger.markdown(chosen, elsewhere, claims=file, among=judgments))
    end(judgments)


def claims_show(
    context: typer.Context,
    claim_id: Annotated[str, typer.Argument(help="The claim.", autocompletion=complete_claim)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for data and figures.", show_default="results"),
    ] = None,
) -> None:
    """Print one claim with its source, protocol and evidence, and how to rerun just it.

    Where the same statement is judged under other protocols, such as the settings that were run
    where others are documented, their verdicts stand beside it.
    """
    from actbench import ledger
    from actbench.claims import published

    with interruptible():
        file = published()
        claim = file.get(claim_id)
        folder: Path = out or context.obj
        beside = [other for other in file.alike(claim) if other is not claim]
        results = ledger.Results(file, folder)
        judgment, *others = results.judge([claim, *beside])
        stored = not results.holds(claim.protocol)
        terminal.say(ledger.in_full(judgment, file, stored=stored, others=others))
        for sentence in results.others:
            terminal.say(f"Note: {sentence}", err=True)


claims_app.command("show", cls=Command, help=docstring(claims_show))(claims_show)


def report(out: Out = Path("results"), quiet: Quiet = False) -> None:
    """Write report.html and report.md into a folder of results, without computing anything anew.

    The page holds its figures and needs no network: open it, send it, print it. It has the ledger,
    each experiment with figures and findings, and why some claims do not reproduce. Claims whose
    experiment the folder lacks are judged from stored measurements, and say so.

    Example: actbench run sine-regression --out mine && actbench report --out mine
    """
    with interruptible():
        from actbench import ledger
        from actbench.claims import published
        from actbench.cli.session import Session

        results = ledger.Results(published(), out)
        judgments = results.judge()
        Session(out, quiet, overwrite=False).write_report(judgments, results)
        if not quiet:
            terminal.say(ledger.origins(judgments, results, out), err=True)
    end(judgments)
