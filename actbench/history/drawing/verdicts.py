"""The verdict of every claim over the releases."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from actbench.history.drawing._cells import (
    MISSING,
    Look,
    add_legend,
    add_title,
    draw_badge,
    draw_cell,
    frame_handle,
    name_rows,
    sheet,
)

if TYPE_CHECKING:
    from actbench.history import History
    from actbench.history.claims import ClaimRow

_VERDICTS: Final[dict[str, Look]] = {
    "reproduced": Look("reproduced", "#6BAED6"),
    "direction_only": Look("direction only", "#F2C14E", "///"),
    "not_reproduced": Look("not reproduced", "#C8553D", "xxx"),
    "inconclusive": Look("inconclusive", "#8E6BBF", "..."),
    "not_testable": Look("not testable", "#9A9A9A", "---"),
}
_OTHER: Final = Look("another word", "#9A9A9A", "|||")


def history_verdicts(history: History) -> Figure:
    """Draw the verdict of every claim that was measured for a record, over the releases.

    Args:
        history: What the records say.

    Returns:
        The figure: a row per claim, under the experiment that decides it; a release per column. A
        frame marks a verdict that is not the one measured before, "!" one that is not expected.
    """
    rows: list[ClaimRow | None] = []
    names: list[str] = []
    for group, members in itertools.groupby(history.claims, key=lambda row: row.group):
        claims = list(members)
        rows += [None, *claims]
        names += [f"{group}:", *(claim.id for claim in claims)]
    figure, (axes,) = sheet(history, [names])
    for down, row in enumerate(rows):
        if row is None:
            continue
        for across, verdict in enumerate(row.verdicts):
            look = MISSING if verdict is None else _VERDICTS.get(verdict, _OTHER)
            draw_cell(axes, (across, down), look, framed=row.flips[across] is not None)
            if verdict is not None and verdict != row.expected:
                draw_badge(axes, (across, down), "!")
    name_rows(axes, names, {row.id for row in history.claims if row.flipped_at})
    shown = {verdict for row in history.claims for verdict in row.verdicts}
    looks = [look for key, look in _VERDICTS.items() if key in shown]
    looks += [_OTHER] if shown - {None} - set(_VERDICTS) else []
    marks: list[Patch | Line2D] = [frame_handle("another verdict than before")]
    marks.append(Line2D([], [], linestyle="", marker="$!$", color="black", label="not expected"))
    add_legend(figure, [*looks, MISSING] if None in shown else looks, marks)
    add_title(
        figure,
        "Verdicts over torch releases",
        "claims that were measured for the records; by experiment",
    )
    return figure
