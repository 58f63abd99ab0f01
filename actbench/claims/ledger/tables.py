"""The ledger as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from actbench.claims.claim import Verdict
from actbench.claims.ledger.wording import number

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

_WIDE = 120

_MARKS = {
    Verdict.REPRODUCED: "[green]reproduced[/]",
    Verdict.DIRECTION_ONLY: "[yellow]direction_only[/]",
    Verdict.NOT_REPRODUCED: "[red]not_reproduced[/]",
    Verdict.INCONCLUSIVE: "[magenta]inconclusive[/]",
    Verdict.NOT_TESTABLE: "[dim]not_testable[/]",
}


def table(judgments: Sequence[Judgment], width: int) -> Table:
    """Lay the ledger out for the terminal.

    Args:
        judgments: What was judged.
        width: Columns of the terminal; a narrow one gets two lines per claim.

    Returns:
        A table with id, published and measured value, verdict and margin.
    """
    wide = width >= _WIDE
    result = Table(box=SIMPLE, padding=(0, 1))
    result.add_column("claim", overflow="fold")
    for heading in ("published", "measured", "margin") if wide else ():
        result.add_column(heading, justify="right")
    result.add_column("verdict", no_wrap=True)
    for judgment in judgments:
        numbers = [
            number(judgment.claim.published),
            _measured(judgment),
            _margin(judgment),
        ]
        verdict = _MARKS[judgment.verdict]
        if not judgment.as_expected:
            verdict += f"\n[bold]expected {judgment.claim.expected}[/]"
        if wide:
            result.add_row(judgment.claim.id, *numbers, verdict)
        else:
            labels = ("published", "measured", "margin")
            shown = [f"{a} {b}" for a, b in zip(labels, numbers, strict=True) if b]
            result.add_row(f"{judgment.claim.id}\n  [dim]{', '.join(shown)}[/]", verdict)
    return result


def _measured(judgment: Judgment) -> str:
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else number(judgment.measured)
    # It is the interval that decides nothing: the value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else number(end) for end in judgment.interval)
        text += f" (between {low} and {high})"
    return text


def _margin(judgment: Judgment) -> str:
    relation = judgment.claim.relation
    if judgment.margin is None or relation is None:
        return ""
    return f"{judgment.margin:.3g} {'tol' if relation.kind == 'equals' else 'x'}"
