"""A ledger as a page of HTML, and as a badge."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actbench import __version__, ledger
from actbench.claims import ClaimsFile, Verdict
from actbench.claims.picture import shown
from actbench.ledger import published_table
from actbench.pages import rendering

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment


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
