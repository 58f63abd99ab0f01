"""How far every verdict is from flipping, over the releases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from actbench.history.drawing._cells import (
    MISSING,
    SMALL,
    Look,
    add_legend,
    add_title,
    draw_cell,
    frame_handle,
    name_rows,
    sheet,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from actbench.history import History
    from actbench.history.claims import ClaimRow

_MOST_MARGINS: Final = 25  # in one panel
_NEAR: Final = LinearSegmentedColormap.from_list("near", ["#A40E26", "#E4E7EA"])
"""From the report's red, which is near to flipping and the darkest, to its gray."""
_FACTOR_SHOWN_AS_FAR: Final = 10.0


def history_margins(history: History) -> Figure:
    """Draw how far each verdict is from flipping, over the releases."""
    panels: list[tuple[str, list[ClaimRow]]] = []
    for unit, title in (
        ("tolerances", "distance to the nearest edge, in tolerances (0: at the edge)"),
        ("factor", "factor between the value and the bound (1: at the bound)"),
    ):
        ranked = sorted(
            (row.smallest_margin, number, row)
            for number, row in enumerate(history.claims)
            if row.unit == unit and row.smallest_margin is not None
        )
        found = [row for _, _, row in ranked]
        changing = [row for row in found if _changes(row)]
        shown, still = changing[:_MOST_MARGINS], [row for row in found if not _changes(row)]
        more = len(changing) - len(shown)
        notes = [title + (f"; {more} more lie further off" if more else "")]
        if len(still) > 1:
            notes.append(f"{len(still)} that never change: the nearest of them is the last row")
        if found:
            panels.append(("\n".join(notes), [*shown, *still[:1]]))
    figure, cells = sheet(history, [[row.id for row in rows] for _, rows in panels] or [[]])
    for axes, (title, rows) in zip(cells, panels, strict=False):
        axes.set_title(title, fontsize=SMALL, loc="right", pad=10)
        for down, row in enumerate(rows):
            _margins(axes, down, row)
        name_rows(axes, [row.id for row in rows], {row.id for row in rows if row.flipped_at})
    marks = [frame_handle("another verdict than before")]
    add_legend(figure, [Look("near to flipping", _shade(0.0)), Look("far", _shade(1.0))], marks)
    add_title(figure, "Margins over torch releases", "a number where it is not the one before")
    return figure


def _changes(row: ClaimRow) -> bool:
    written = {_written(margin) for margin in row.margins if margin is not None}
    return len(written) > 1 or bool(row.flipped_at)


def _written(margin: float) -> str:
    return f"{margin:.3g}"


def _margins(axes: Axes, down: int, row: ClaimRow) -> None:
    written = ""
    for across, margin in enumerate(row.margins):
        framed = row.flips[across] is not None
        if margin is None:
            draw_cell(axes, (across, down), MISSING, framed=framed)
            continue
        far = margin
        if row.unit == "factor":
            far = math.log(max(margin, 1.0)) / math.log(_FACTOR_SHOWN_AS_FAR)
        far = min(max(far, 0.0), 1.0)
        draw_cell(axes, (across, down), Look("", _shade(far)), framed=framed)
        text = _written(margin)
        if text != written:
            color = "white" if far < 0.55 else "black"
            axes.text(across, down, text, ha="center", va="center", fontsize=6.5, color=color)
        written = text


def _shade(far: float) -> str:
    return to_hex(_NEAR(far))
