"""A history in sentences, and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actbench.pages import rendering
from actbench.pages.rendering import Drawing
from actbench.pages.saving import save
from actbench.pages.wording import listed, number, words
from actbench.store.files import write_atomic
from actbench.store.terminal import plural
from actbench.tracking.drift.comparing import Ratio
from actbench.tracking.drift.distributions import Level
from actbench.tracking.history.drawing import CAPTIONS, FIGURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.tracking.history import History, Release


_MOST_NAMES: Final = 4

HEADING: Final = ("torch", "claims measured", "as expected", "flipped", "other bits", "duration")
"""Of the columns of ``lines``; other bits: chains of fingerprints that are not those of the release
before; duration: relative to the first release, on average."""


def lines(history: History) -> list[tuple[str, ...]]:
    """Sum each release up in one line."""
    return [_line(history, place) for place in range(len(history.releases))]


def _line(history: History, place: int) -> tuple[str, ...]:
    release = history.releases[place]
    flipped = sum(row.flips[place] is not None for row in history.claims)
    compared = sum(row.since_previous[place] is not None for row in history.chains)
    mean = history.mean_since_first(place)
    return (
        release.name,
        str(release.fresh) if release.fresh else "-",
        str(release.as_expected) if release.fresh else "-",
        str(flipped) if any(row.compared[place] for row in history.claims) else "-",
        f"{_levels(history, place).total()} of {compared}" if compared else "-",
        "-" if mean is None else f"{mean:.2f}",
    )


def verdicts(history: History) -> list[str]:
    """Say which claims flipped, and at which release."""
    newest = history.releases[-1]
    if not history.claims:
        return ["No claim was measured for these records.", *_stored(history)]
    said = [
        f"{history.releases[place].name}: {row.id} is {words(flip.new)}, before it was "
        f"{words(flip.old)}."
        for row in history.claims
        for place, flip in enumerate(row.flips)
        if flip is not None
    ]
    compared = sum(any(row.compared) for row in history.claims)
    if compared and not said:
        said = [
            f"None of the {plural(compared, 'claim')} that can be compared changed its verdict "
            "from release to release."
        ]
    if any(
        sum(v is not None for v in row.verdicts) > 1 + sum(row.compared) for row in history.claims
    ):
        said.append(
            "Some verdicts can't be compared with those before, because the claims file or the "
            "settings are others; where they differ, that may be the reason."
        )
    if newest.fresh:
        said.append(
            f"At the newest release, {newest.name}, {newest.as_expected} of {newest.fresh} "
            "measured verdicts are the expected ones."
        )
    return [*said, *_stored(history)]


def _stored(history: History) -> Iterator[str]:
    newest = history.releases[-1]
    if newest.stored:
        yield (
            f"{plural(newest.stored, 'verdict')} of the newest record rest on stored values, "
            "because measuring them takes too long; they say nothing about a release and are not "
            "shown."
        )


def margins(history: History) -> list[str]:
    """Say which verdict comes nearest to flipping."""
    said = []
    for unit, text in (
        ("tolerances", "{} tolerances from the nearest edge"),
        ("factor", "a factor of {} from its bound"),
    ):
        ranked = sorted(
            (row.smallest_margin, place, row.id)
            for place, row in enumerate(history.claims)
            if row.unit == unit and row.smallest_margin is not None
        )
        if ranked:
            smallest, _, name = ranked[0]
            said.append(f"Nearest to flipping: {name}, {text.format(number(smallest))}.")
    return said or ["No margin was measured for these records."]


def numbers(history: History) -> list[str]:
    """Say at which release and operation numbers drifted."""
    if not history.chains:
        return ["The records hold no fingerprints."]
    said = []
    for place, release in enumerate(history.releases):
        levels = _levels(history, place)
        if levels:
            first = f" They part first in {release.first_parting}." if release.first_parting else ""
            what = plural(levels.total(), "chain")
            counted = _counted(levels)
            said.append(f"{release.name}: other bits in {what} ({counted}).{first}")
    compared = [row for row in history.chains if any(row.since_previous)]
    same = sum(not row.changed_at for row in compared)
    if compared:
        said.append(
            f"{same} of {plural(len(compared), 'chain')} have the same bits in all records."
        )
    for row in history.chains:
        for place in row.back_at:
            name = history.releases[place].name
            said.append(f"{row.name} has at {name} the bits of its first release again.")
    return said


PARTINGS: Final = ("chain", "first other bits at", "where they part", "how far", "later changes at")
"""Of the columns of ``partings``."""


def partings(history: History) -> list[tuple[str, ...]]:
    """Say of each chain at which release its bits changed first, and at which step."""
    told: list[tuple[str, ...]] = []
    for row in history.chains:
        if not row.changed_at:
            continue
        first, *later = (history.releases[place].name for place in row.changed_at)
        found = row.since_previous[row.changed_at[0]]
        step = None if found is None else found.first
        where, far = ("", "") if step is None else (step.where, step.how_far)
        told.append((row.name, first, where, far, ", ".join(later) or "-"))
    return told


def _levels(history: History, place: int) -> Counter[Level]:
    """How many chains drifted how much since the release before, without those that did not."""
    found = [row.since_previous[place] for row in history.chains]
    return Counter(chain.level for chain in found if chain is not None and chain.differing)


def _counted(levels: Counter[Level]) -> str:
    return ", ".join(f"{levels[level]} {level.words}" for level in Level if levels[level])


def speed(history: History) -> list[str]:
    """Say at which release which work became slower or faster."""
    if not history.speeds:
        return ["The records hold no timings."]
    said = []
    for place, release in enumerate(history.releases):
        found = [row.since_previous[place] for row in history.speeds]
        for change in ("slower", "faster"):
            changed = [r for r in found if r is not None and r.change == change]
            if changed:
                said.append(f"{release.name}: {change} than before {_ratios(changed)}.")
    if not said and any(any(row.since_previous) for row in history.speeds):
        said.append(
            "No workload became slower or faster from one release to the next by more than 5 % "
            "beyond its uncertainty."
        )
    first, last = min(row.first for row in history.speeds), len(history.releases) - 1
    mean = history.mean_since_first(last)
    if mean is not None and last > first:
        timed = sum(row.first == first and bool(row.since_first[last]) for row in history.speeds)
        said.append(
            f"At {history.releases[last].name} the work takes {mean:.2f} times as long as at the "
            f"first timed release, {history.releases[first].name} (geometric mean of "
            f"{plural(timed, 'workload')}, relative to the control)."
        )
    return said


def _ratios(found: list[Ratio]) -> str:
    ranked = sorted(found, key=lambda r: -abs(r.ratio - 1))
    each = [
        f"{r.name} ({number(r.ratio)} times as long, ± {100 * r.uncertainty:.2g} %)"
        for r in ranked[:_MOST_NAMES]
    ]
    more = len(ranked) - len(each)
    return f"{'are' if len(ranked) > 1 else 'is'} " + (
        f"{', '.join(each)} and {more} more" if more else listed(each)
    )


_SECTIONS: Final = (
    ("verdicts", "Verdicts", "history_verdicts", verdicts),
    ("margins", "Margins", "history_margins", margins),
    ("numbers", "Numbers", "history_drift", numbers),
    ("speed", "Speed", "history_speed", speed),
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
        "heading": HEADING,
        "lines": lines(history),
        "sections": sections,
        "parting_heading": PARTINGS,
        "partings": partings(history),
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
    return Drawing(svg.stem, CAPTIONS[svg.stem], svg.read_bytes(), png=True)


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
