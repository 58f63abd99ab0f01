"""What a page or a notebook shows of one claim: verdict, picture, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actbench.pages import rendering
from actbench.pages.strip import strip

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment


def shown(
    judgment: Judgment, margin: str = "", facts: Sequence[tuple[str, str]] = ()
) -> dict[str, object]:
    """Gather what the templates name of a verdict."""
    claim = judgment.claim
    known = [
        *facts,
        ("Found", judgment.sentence),
        ("The published value", judgment.published_run),
        ("Margin", margin),
        ("To flip it", judgment.to_flip),
        ("Why", claim.because),
        ("Stated in", claim.source),
        ("Id", claim.id),
    ]
    return {
        "id": claim.id,
        "verdict": str(judgment.verdict),
        "words": str(judgment.verdict).replace("_", " "),
        "expected": None if judgment.as_expected else str(claim.expected).replace("_", " "),
        "exploratory": claim.expected is None,
        "statement": claim.statement,
        "sentence": judgment.sentence,
        "measured": _measured(judgment),
        "margin": margin,
        "strip": strip(judgment),
        "facts": [(label, text) for label, text in known if text.strip(". ")],
    }


def _measured(judgment: Judgment) -> str:
    if judgment.measured is None:
        return ""
    if judgment.claim.quantifier == "every":
        return f"{100 * judgment.measured:.3g} % of {judgment.seeds} runs"
    return f"{judgment.measured:.4g}"


def cell(judgments: Sequence[Judgment]) -> str:
    """Write verdicts as a notebook shows them."""
    return rendering.html("claims_cell.html.j2", {"claims": [shown(j) for j in judgments]})
