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
    "reproduced": Look("reproduced", "#116329"),
    "direction_only": Look("direction only", "#7A4D00", "///"),
    "not_reproduced": Look("not reproduced", "#A40E26", "xxx"),
    "inconclusive": Look("inconclusive", "#6F2DA8", "..."),
    "not_testable": Look("not testable", "#59636E", "---"),
}
"""Colors are those of the report's badges."""
_OTHER: Final = Look("another word", "#59636E", "|||")


def history_verdicts(history: History) -> Figure:
    """Draw the verdict of every claim that was measured for a record, over the releases."""
    rows: list[ClaimRow | None] = []
    names: list[str] = []
    for group, members in itertools.groupby(history.claims, key=lambda row: row.group):
        rows.append(None)
        names.append(f"{group}:")
        folded: dict[tuple[str | None, ...], list[ClaimRow]] = {}
        for claim in members:
            if set(claim.verdicts) <= {claim.expected, None}:
                folded.setdefault(claim.verdicts, []).append(claim)
            else:
                rows.append(claim)
                names.append(claim.id)
        for alike in folded.values():
            rows.append(alike[0])
            names.append(
                alike[0].id if len(alike) == 1 else f"{len(alike)} claims that never change"
            )
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
        "claims measured for the records; those that never change share a row",
    )
    return figure
