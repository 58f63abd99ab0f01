"""The report: one page of HTML that needs nothing else, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.claims import ClaimsFile, Verdict
from actbench.claims.statements import Standing
from actbench.files import write_atomic
from actbench.findings.wording import words
from actbench.pages import rendering
from actbench.report import content, entries, parts
from actbench.report.glossary import GLOSSARY

if TYPE_CHECKING:
    from actbench.claims.ledger import Results
    from actbench.claims.verdicts import Judgment

_HEADINGS = {
    Standing.DOCUMENTED: "What holds as documented",
    Standing.AS_RUN: "What holds only as it was run",
    Standing.PARTLY: "What holds under some settings only",
    Standing.DIRECTION: "What holds in direction only",
    Standing.NOWHERE: "What does not hold",
    Standing.UNDECIDED: "What these results leave undecided",
    Standing.UNTESTABLE: "What nothing here can decide",
}
FILES = ("report.html", "report.md")


def write(
    out: Path,
    claims: ClaimsFile,
    judgments: Sequence[Judgment],
    results: Results | None = None,
) -> list[Path]:
    """Write the report into a folder of results, as HTML and as Markdown."""
    gathered = content.gather(out, claims, judgments, results)
    pages = {"report.html": html(gathered), "report.md": markdown(gathered)}
    for name, page in pages.items():
        write_atomic(out / name, page.encode())
    return [out / name for name in FILES]


def html(gathered: parts.Content) -> str:
    """Render the report as a page that needs no other file and no network."""
    return rendering.html("report.html.j2", _variables(gathered))


def markdown(gathered: parts.Content) -> str:
    """Render the report as GitHub's Markdown, with figures as files beside it."""
    return rendering.markdown("report.md.j2", _variables(gathered))


def _variables(gathered: parts.Content) -> dict[str, object]:
    ledger = gathered.entries
    by_id = {entry.id: entry for entry in ledger}
    variants = {
        statement.shown.claim.id: [by_id[other.claim.id] for other in statement.others]
        for statement in gathered.statements
    }
    shown = {
        standing: [by_id[s.shown.claim.id] for s in gathered.statements if s.standing is standing]
        for standing in Standing
    }
    stated = [e for e in ledger if not e.judgment.claim.ours]
    ours = [e for e in ledger if e.judgment.claim.ours]
    return {
        "report": gathered,
        "standings": {str(standing): len(found) for standing, found in shown.items() if found},
        "groups": {str(s): entries.group(found, variants) for s, found in shown.items() if found},
        "ours": {
            str(v): entries.group([e for e in ours if e.judgment.verdict is v]) for v in Verdict
        },
        "count_of_ours": len(ours),
        "number_of": {
            str(v): tuple(sum(e.judgment.verdict is v for e in part) for part in (stated, ours))
            for v in Verdict
        },
        "headings": _HEADINGS,
        "glossary": GLOSSARY,
        "meaning": {str(verdict): text for verdict, text in entries.MEANING.items()},
        "words": words,
    }
