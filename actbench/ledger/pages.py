"""A verdict, and a ledger, as a page of HTML or a cell of a notebook."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actbench import __version__, ledger
from actbench.claims import ClaimsFile, Verdict
from actbench.ledger import published_table
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


_GREEN, _YELLOW, _RED = "#2c7d3f", "#9a6700", "#b3261e"
_CHARACTER_WIDTH = 6.6
_LEFT_WIDTH = 48


def page(judgments: Sequence[Judgment], claims: ClaimsFile, notes: Sequence[str] = ()) -> str:
    """Write a ledger as one page that needs no other file and no network."""
    return rendering.html(
        "claims.html.j2",
        {
            "study": claims.study,
            "counts": ledger.counts(judgments, claims),
            "claims": [_shown(judgment, claims) for judgment in judgments],
            "level": f"All pinned claims together err with at most {claims.alpha:.2g}; each has "
            f"{claims.level_in_words} of that, an exploratory one all of it.",
            "together": published_table.sentences(judgments),
            "notes": notes,
            "made_with": f"actbench {__version__}, Python {platform.python_version()}, "
            f"{platform.system()} {platform.machine()}.",
        },
    )


def _shown(judgment: Judgment, claims: ClaimsFile) -> dict[str, object]:
    claim = judgment.claim
    source = _source(claims, claim.protocol)
    reason = claim.relation.reason if claim.relation else ""
    flips = ledger.redraw(judgment)
    again = f"flips it in {flips} of cases" if flips else ""
    facts = (
        ("A redraw of all runs", again),
        ("Holds if", f"{ledger.rule(claim)}. {reason}"),
        ("Numbers from", source),
    )
    return shown(judgment, ledger.margin(judgment), facts)


def _source(claims: ClaimsFile, name: str | None) -> str:
    if name is None:
        return ""
    protocol = claims.protocol[name]
    given = getattr(protocol, protocol.source)
    what = ", ".join(given) if isinstance(given, tuple) else given
    settings = ", ".join(f"{key} = {value}" for key, value in protocol.settings.items())
    return f"{name}: {protocol.source} {what}" + (f" with {settings}" if settings else "")


def badge(judgments: Sequence[Judgment]) -> str:
    """Write the counts as a small picture for a README."""
    held = sum(judgment.verdict is Verdict.REPRODUCED for judgment in judgments)
    text = f"{held} of {len(judgments)} hold"
    fine = not ledger.changed(judgments)
    color = _RED if not fine else _GREEN if held == len(judgments) else _YELLOW
    if not fine:
        text += f", {len(ledger.changed(judgments))} unexpected"
    width = round(_CHARACTER_WIDTH * len(text)) + 12
    return rendering.html(
        "badge.svg.j2", {"left": _LEFT_WIDTH, "right": width, "text": text, "color": color}
    )
