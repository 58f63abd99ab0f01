"""The command that shows the ledger: claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import (
    Command,
    Form,
    Group,
    Out,
    complete_claim,
    end,
    interruptible,
    require_form,
)
from actbench.store import studies, terminal
from actbench.store.errors import unknown_name
from actbench.store.terminal import docstring

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment

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
            studies.experiment(experiment)
        file = published()
        results = ledger.Results(file, out)
        judgments = results.judge()
    chosen = [
        judgment
        for judgment in judgments
        if verdict in {None, str(judgment.verdict)}
        and experiment in {None, _experiment_of(judgment, file)}
    ]
    if form == "json":
        terminal.say(ledger.as_json(chosen, ledger.elsewhere(file, chosen), judgments))
    elif form == "markdown":
        elsewhere = ledger.elsewhere(file, chosen)
        terminal.say(ledger.markdown(chosen, elsewhere, claims=file, among=judgments))
    else:
        screen = terminal.screen(whole=True)
        screen.print(ledger.table(chosen, screen.width))
        for line in published_table.sentences(chosen, judgments):
            screen.print(line)
        terminal.tell(ledger.origins(chosen, results, out))
        terminal.tell(ledger.counts(chosen, file))
    end(judgments)


def _experiment_of(judgment: Judgment, file: ClaimsFile) -> str | None:
    name = judgment.claim.protocol
    return file.protocol[name].experiment if name else None


def _claims_show(
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


claims_app.command("show", cls=Command, help=docstring(_claims_show))(_claims_show)
