"""A robustness map as rows, and rows as a table, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims.robustness_sentence import sentence
from actbench.errors import ActbenchError

if TYPE_CHECKING:
    from actbench.claims.claim import Claim
    from actbench.claims.robustness import Robustness
_SENTENCE = "where"


def map_rows(found: Robustness, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Sum the map up."""
    rows = []
    for claim in claims:
        outcomes = found.outcomes(claim).values()
        rows.append(
            {
                "claim": claim.id,
                "settings": len(outcomes),
                "holds in": sum(outcome.holds for outcome in outcomes),
                "seeds disagree in": sum(0 < outcome.share < 1 for outcome in outcomes),
                _SENTENCE: sentence(found, claim),
            }
        )
    return rows


def setting_rows(found: Robustness, claim: Claim) -> list[dict[str, Any]]:
    """Tell one claim's map setting by setting."""
    return [
        {
            **setting.model_dump(),
            "holds": outcome.holds,
            "seeds inside": outcome.share,
            "median": outcome.median,
        }
        for setting, outcome in found.outcomes(claim).items()
    ]


def require_mapped(claim: Claim, mapped: Sequence[Claim]) -> None:
    """Refuse a claim that no map is about."""
    if claim not in mapped:
        raise ActbenchError(
            f"claim {claim.id!r} is not on the map, which has the claims about trained networks "
            "of the stated protocol. 'actbench robustness' lists them"
        )


def rows_as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay rows out for the terminal."""
    table = Table(box=SIMPLE, padding=(0, 1), collapse_padding=True, pad_edge=False)
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    first, *others = (name for name in rows[0] if name != _SENTENCE)
    for name in (first, *others):
        table.add_column(
            name.replace("_", " ").replace(" ", "\n"),  # as narrow as its cells
            justify="right" if name in others else "left",
            no_wrap=name in others,
            min_width=max(len(row[name]) for row in cells) if name == first else None,
        )
    for row in cells:
        below = (f"\n{row[_SENTENCE]}", "dim") if _SENTENCE in row else ""
        table.add_row(Text.assemble(row[first], below), *(row[name] for name in others))
    return table


def rows_as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a Markdown table; arguments as of ``rows_as_table``."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(map(_cell, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
