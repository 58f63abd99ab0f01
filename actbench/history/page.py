"""A history as one page of HTML that needs nothing else, as Markdown, and as figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actbench.figures.saving import save
from actbench.files import write_atomic
from actbench.findings.captions import caption
from actbench.findings.wording import words
from actbench.history import sentences
from actbench.history.drawing import FIGURES
from actbench.pages import rendering
from actbench.report.parts import Drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.history import History, Release

_SECTIONS: Final = (
    ("verdicts", "Verdicts", "history_verdicts", sentences.verdicts),
    ("margins", "Margins", "history_margins", sentences.margins),
    ("numbers", "Numbers", "history_drift", sentences.numbers),
    ("speed", "Speed", "history_speed", sentences.speed),
)


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        key: Names it in links.
        title: Its heading.
        sentences: What is seen.
        drawing: Its figure.
    """

    key: str
    title: str
    sentences: tuple[str, ...]
    drawing: Drawing


def write(history: History, out: Path) -> list[Path]:
    """Write the four figures, ``history.html`` and ``history.md``."""
    drawn = {name: save(draw(history), out, name) for name, draw in FIGURES.items()}
    sections = [
        Section(key, title, tuple(say(history)), _drawing(drawn[name]))
        for key, title, name, say in _SECTIONS
    ]
    variables = {
        "history": history,
        "heading": sentences.HEADING,
        "lines": sentences.lines(history),
        "sections": sections,
        "parting_heading": sentences.PARTINGS,
        "partings": sentences.partings(history),
        "environment": _environment(history.releases),
    }
    pages = {
        out / "history.html": rendering.html("history.html.j2", variables),
        out / "history.md": rendering.markdown("history.md.j2", variables),
    }
    for path, page in pages.items():
        write_atomic(path, page.encode())
    return [*pages, *(path for paths in drawn.values() for path in paths)]


def _drawing(paths: Sequence[Path]) -> Drawing:
    svg = next(path for path in paths if path.suffix == ".svg")
    return Drawing(svg.stem, caption(svg.stem), svg.read_bytes(), png=True)


def _environment(releases: Sequence[Release]) -> list[tuple[str, str]]:
    """Each version and part of the machine, with the releases where it is not the same for all."""
    rows = []
    for key in dict.fromkeys(key for release in releases for key in release.environment):
        holders: dict[str, list[str]] = {}
        for release in releases:
            value = str(release.environment.get(key, "not recorded"))
            holders.setdefault(value, []).append(release.name)
        several = len(holders) > 1
        said = [f"{value} (at {', '.join(names)})" for value, names in holders.items()]
        rows.append((words(key), "; ".join(said) if several else next(iter(holders))))
    return rows
