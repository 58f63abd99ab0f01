"""The ledger as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims.claim import Verdict
from actbench.claims.ledger.wording import margin, number

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

_WIDE = 120

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.DIRECTION_ONLY: "yellow",
    Verdict.NOT_REPRODUCED: "red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.NOT_TESTABLE: "dim",
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
            margin(judgment),
        ]
        verdict = Text(judgment.verdict, _STYLES[judgment.verdict])
        if not judgment.as_expected:
            verdict = Text.assemble(verdict, "\n", (f"expected {judgment.claim.expected}", "bold"))
        if wide:
            result.add_row(judgment.claim.id, *numbers, verdict)
        else:
            labels = ("published", "measured", "margin")
            shown = [f"{a} {b}" for a, b in zip(labels, numbers, strict=True) if b]
            name = Text.assemble(judgment.claim.id, "\n  ", (", ".join(shown), "dim"))
            result.add_row(name, verdict)
    return result


def _measured(judgment: Judgment) -> str:
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else number(judgment.measured)
    # It is the interval that decides nothing: the value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else number(end) for end in judgment.interval)
        text += f" (between {low} and {high})"
    return text
