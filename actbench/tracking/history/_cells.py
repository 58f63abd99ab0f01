"""Figures of cells: a row per claim or chain, a release per column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from actbench.pages.colors import legible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from actbench.tracking.history import History

SMALL: Final = 8.5
TINY: Final = 7.0
_ROW: Final = 0.19  # inches
_COLUMN: Final = 0.56  # inches; less where two panels stand side by side
_NARROW: Final = 0.36
_LETTER: Final = 0.06
_LONGEST_LABEL: Final = 60
_CELL: Final[dict[str, Any]] = {"edgecolor": "white", "linewidth": 0.8}
_FRAME: Final[dict[str, Any]] = {"fill": False, "edgecolor": "black", "linewidth": 1.8, "zorder": 3}


class Look(NamedTuple):
    """How a cell is drawn; the hatch repeats what the color says."""

    name: str
    color: str
    hatch: str = ""


MISSING: Final = Look("not measured", "#F1F1F1")


def sheet(
    history: History, panels: Sequence[Sequence[str]], across: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of cells: a panel for each list of rows, or several of one list side by side."""
    count = len(history.releases)
    names = [legible(release.name, 24) for release in history.releases]
    letters = max((len(name) for rows in panels for name in rows), default=0)
    column = _COLUMN if across == 1 else _NARROW
    size = (
        max(6.5, 0.5 + _LETTER * min(letters, _LONGEST_LABEL) + across * (0.2 + column * count)),
        1.5 + sum(_ROW * len(rows) + 0.6 for rows in panels),
    )
    figure = Figure(figsize=size, layout="constrained")
    heights = [max(1, len(rows)) for rows in panels]
    cells = figure.subplots(len(panels), across, squeeze=False, height_ratios=heights)
    turned = max(map(len, names)) > 7 or across > 1
    for number, axes in enumerate(cells.flat):
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(heights[number // across] - 0.5, -0.5)
        axes.set_xticks(range(count), names, fontsize=TINY if turned else SMALL)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        if turned:
            axes.tick_params(axis="x", labelrotation=40)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure, list(cells.flat)


def draw_cell(axes: Axes, place: tuple[int, int], look: Look, *, framed: bool = False) -> None:
    across, down = place
    name = look.name.replace(" ", "-") or None
    fill: dict[str, Any] = {"facecolor": look.color, "hatch": look.hatch, "gid": name}
    axes.add_patch(Rectangle((across - 0.5, down - 0.5), 1, 1, **fill, **_CELL))
    if framed:
        axes.add_patch(Rectangle((across - 0.45, down - 0.42), 0.9, 0.84, gid="flip", **_FRAME))


def draw_badge(axes: Axes, place: tuple[int, int], text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "circle,pad=0.12"}
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        fontsize=TINY,
        fontweight="bold",
        bbox=box,
        zorder=4,
    )


def name_rows(axes: Axes, names: Sequence[str], bold: set[str]) -> None:
    shown = [legible(name, _LONGEST_LABEL) for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=TINY)
    for name, label in zip(names, axes.get_yticklabels(), strict=True):
        if name.endswith(":"):
            label.set(fontstyle="italic", fontsize=SMALL, color="#444444")
        elif name in bold:
            label.set_fontweight("bold")


def frame_handle(text: str) -> Patch:
    return Patch(fill=False, edgecolor="black", linewidth=1.8, label=text)


def add_legend(figure: Figure, looks: Sequence[Look], marks: Sequence[Patch | Line2D]) -> None:
    handles = [
        Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white", label=look.name)
        for look in looks
    ]
    figure.legend(
        handles=[*handles, *marks],
        loc="outside lower center",
        ncols=max(1, int(figure.get_figwidth() / 1.9)),
        frameon=False,
        fontsize=SMALL,
    )


def add_title(figure: Figure, title: str, more: str) -> None:
    figure.suptitle(f"{title}\n{more}", fontsize=11)
