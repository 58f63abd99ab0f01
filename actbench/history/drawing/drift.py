"""How much the numbers of every chain changed from release to release."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure

from actbench.colors import legible
from actbench.drift import Level
from actbench.history.drawing._cells import (
    MISSING,
    SMALL,
    Look,
    add_legend,
    add_title,
    draw_cell,
    name_rows,
    sheet,
)

if TYPE_CHECKING:
    from actbench.history import History
    from actbench.history.chains import ChainRow

_LEVELS: Final[dict[Level, Look]] = {
    Level.IDENTICAL: Look(Level.IDENTICAL.words, "#DCE9F2"),
    Level.LAST_DIGIT: Look(Level.LAST_DIGIT.words, "#7FB3D5", "///"),
    Level.UNSEEN: Look(Level.UNSEEN.words, "#A8A2CE", "++"),
    Level.WITHIN_SPREAD: Look(Level.WITHIN_SPREAD.words, "#F2B134", "..."),
    Level.LARGER: Look(Level.LARGER.words, "#C8553D", "---"),
    Level.OUTSIDE_SPREAD: Look(Level.OUTSIDE_SPREAD.words, "#7B1E3A", "xxx"),
}


def history_drift(history: History) -> Figure:
    """Draw how much the numbers of every chain changed from release to release."""
    rows: list[ChainRow | None] = []
    names: list[str] = []
    for engine, members in itertools.groupby(history.chains, key=lambda row: row.engine):
        chains = list(members)
        rows += [None, *chains]
        names += [f"{engine}:", *(_without_engine(chain.name) for chain in chains)]
    figure, (left, right) = sheet(history, [names], across=2)
    shown: set[Level | None] = {Level.IDENTICAL, Level.LAST_DIGIT}
    for down, row in enumerate(rows):
        if row is None:
            continue
        for axes, side in ((left, row.since_previous), (right, row.since_first)):
            for across, found in enumerate(side):
                level = None if found is None else found.level
                shown.add(level)
                draw_cell(axes, (across, down), MISSING if level is None else _LEVELS[level])
    name_rows(left, names, set())
    for row, label in zip(rows, left.get_yticklabels(), strict=True):
        if row is not None and row.changed_at:
            label.set_fontweight("bold")
    right.set_yticks([])
    first = history.releases[0].name
    left.set_title("against the release before", fontsize=SMALL, loc="left", pad=10)
    right.set_title(f"against the first, {legible(first)}", fontsize=SMALL, loc="left", pad=10)
    looks = [look for level, look in _LEVELS.items() if level in shown]
    missing = [MISSING._replace(name="nothing to compare")] if None in shown else []
    add_legend(figure, [*looks, *missing], [])
    add_title(figure, "Numeric drift over torch releases", "one thread, the same machine")
    return figure


def _without_engine(chain: str) -> str:
    return chain.partition("/")[2]
