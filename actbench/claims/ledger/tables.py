"""The ledger as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims.claim import Verdict
from actbench.claims.ledger.judging import changed, seeds_to_settle
from actbench.claims.ledger.wording import margin, number, redraw
from actbench.terminal import plural

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

_WIDE = 120
_EDGES = 7  # columns between and beside the two of a narrow table
_NUMBERS = ("published", "measured", "margin", "redraw flips")

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.DIRECTION_ONLY: "yellow",
    Verdict.NOT_REPRODUCED: "red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.NOT_TESTABLE: "dim",
}


def table(judgments: Sequence[Judgment], width: int) -> Table:
    """Lay the ledger out for the terminal."""
    wide = width >= _WIDE
    result = Table(box=SIMPLE, padding=(0, 1))
    result.add_column("claim", overflow="fold")
    for heading in _NUMBERS if wide else ():
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    verdicts = [_verdict(judgment) for judgment in judgments]
    longest = max((len(line) for v in verdicts for line in v.plain.splitlines()), default=0)
    for judgment, verdict in zip(judgments, verdicts, strict=True):
        published = number(judgment.claim.published)
        numbers = [published, _measured(judgment), margin(judgment), redraw(judgment)]
        if wide:
            numbers[1] = numbers[1].replace(" (", "\n(").replace(" and ", "\nand ")
            result.add_row(judgment.claim.id, *numbers, verdict)
        else:
            shown = [f"{a} {b}" for a, b in zip(_NUMBERS, numbers, strict=True) if b]
            lines = _filled(shown, width - longest - _EDGES)
            result.add_row(Text.assemble(judgment.claim.id, (lines, "dim")), verdict)
    return result


def _filled(parts: Sequence[str], room: int) -> str:
    """Lines below a claim's id; a part, such as a number with its unit, is never broken."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= room:
            lines[-1] += f", {part}"
        else:
            lines.append(f"  {part}")
    return "".join(f"\n{line}" for line in lines)


def _verdict(judgment: Judgment) -> Text:
    verdict = Text(judgment.verdict, _STYLES[judgment.verdict])
    if settling := seeds_to_settle(judgment):
        about = "about\n" if judgment.seeds >= judgment.seeds_needed else ""
        verdict.append(f"\nneeds {about}{plural(settling, 'seed')}", "bold")
    if changed([judgment]):
        verdict.append(f"\nexpected {judgment.claim.expected}", "bold")
    return verdict


def _measured(judgment: Judgment) -> str:
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else number(judgment.measured)
    # It is the interval that decides nothing: the value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else number(end) for end in judgment.interval)
        text += f" (between {low} and {high})" if low != high else ""
    return text
