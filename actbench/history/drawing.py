"""Pictures of a history: verdicts, margins, numeric drift, speed."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from actbench.colors import legible, style_of
from actbench.drift import Level
from actbench.history.speed import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

    from actbench.history import History
    from actbench.history.chains import ChainRow
    from actbench.history.claims import ClaimRow
    from actbench.history.speed import SpeedRow

_SMALL: Final = 8.5
_TINY: Final = 7.0
_ROW: Final = 0.19  # inches
_COLUMN: Final = 0.56  # inches; less where two panels stand side by side
_NARROW: Final = 0.36
_LETTER: Final = 0.06
_LONGEST_LABEL: Final = 60
_MOST_MARGINS: Final = 25  # in one panel
_NEAR: Final = "cividis"  # dark is near to flipping; told apart by color-blind readers, and in gray
_FACTOR_SHOWN_AS_FAR: Final = 10.0


class _Look(NamedTuple):
    """How a cell is drawn; the hatch repeats what the color says."""

    name: str
    color: str
    hatch: str = ""


_MISSING: Final = _Look("not measured", "#F1F1F1")
_VERDICTS: Final[dict[str, _Look]] = {
    "reproduced": _Look("reproduced", "#6BAED6"),
    "direction_only": _Look("direction only", "#F2C14E", "///"),
    "not_reproduced": _Look("not reproduced", "#C8553D", "xxx"),
    "inconclusive": _Look("inconclusive", "#8E6BBF", "..."),
    "not_testable": _Look("not testable", "#9A9A9A", "---"),
}
_OTHER: Final = _Look("another word", "#9A9A9A", "|||")
_LEVELS: Final[dict[Level, _Look]] = {
    Level.IDENTICAL: _Look(Level.IDENTICAL.words, "#DCE9F2"),
    Level.LAST_DIGIT: _Look(Level.LAST_DIGIT.words, "#7FB3D5", "///"),
    Level.UNSEEN: _Look(Level.UNSEEN.words, "#A8A2CE", "++"),
    Level.WITHIN_SPREAD: _Look(Level.WITHIN_SPREAD.words, "#F2B134", "..."),
    Level.LARGER: _Look(Level.LARGER.words, "#C8553D", "---"),
    Level.OUTSIDE_SPREAD: _Look(Level.OUTSIDE_SPREAD.words, "#7B1E3A", "xxx"),
}
_ENGINES: Final = {
    "loop": ("plain loop, float32", "#0072B2", "-", "o"),
    "stack": ("stack, float32", "#D55E00", "--", "s"),
    "stack float64": ("stack, float64", "#009E73", ":", "^"),
}


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
    figure, (axes,) = _sheet(history, [names])
    for down, row in enumerate(rows):
        if row is None:
            continue
        for across, verdict in enumerate(row.verdicts):
            look = _MISSING if verdict is None else _VERDICTS.get(verdict, _OTHER)
            _cell(axes, (across, down), look, framed=row.flips[across] is not None)
            if verdict is not None and verdict != row.expected:
                _badge(axes, (across, down), "!")
    _name_rows(axes, names, {row.id for row in history.claims if row.flipped_at})
    shown = {verdict for row in history.claims for verdict in row.verdicts}
    looks = [look for key, look in _VERDICTS.items() if key in shown]
    looks += [_OTHER] if shown - {None} - set(_VERDICTS) else []
    marks: list[Patch | Line2D] = [_frame_handle("another verdict than before")]
    marks.append(Line2D([], [], linestyle="", marker="$!$", color="black", label="not expected"))
    _legend(figure, [*looks, _MISSING] if None in shown else looks, marks)
    _title(
        figure,
        "Verdicts over torch releases",
        "claims that were measured for the records; by experiment",
    )
    return figure


def history_margins(history: History) -> Figure:
    """Draw how far each verdict is from flipping, over the releases.

    Args:
        history: What the records say.

    Returns:
        The figure: above claims of a value, whose margin is the distance to the nearest edge in
        tolerances; below claims of a bound, whose margin is a factor. Those that come nearest to
        flipping first; a number where it is not the one before.
    """
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
        chosen = [row for _, _, row in ranked[:_MOST_MARGINS]]
        if chosen:
            more = len(ranked) - len(chosen)
            panels.append((title + (f"; {more} more lie further off" if more else ""), chosen))
    figure, cells = _sheet(history, [[row.id for row in rows] for _, rows in panels] or [[]])
    for axes, (title, rows) in zip(cells, panels, strict=False):
        axes.set_title(title, fontsize=_SMALL, loc="right", pad=10)
        for down, row in enumerate(rows):
            _margins(axes, down, row)
        _name_rows(axes, [row.id for row in rows], {row.id for row in rows if row.flipped_at})
    marks = [_frame_handle("another verdict than before")]
    _legend(figure, [_Look("near to flipping", _shade(0.0)), _Look("far", _shade(1.0))], marks)
    _title(figure, "Margins over torch releases", "a number where it is not the one before")
    return figure


def _margins(axes: Axes, down: int, row: ClaimRow) -> None:
    written = ""
    for across, margin in enumerate(row.margins):
        framed = row.flips[across] is not None
        if margin is None:
            _cell(axes, (across, down), _MISSING, framed=framed)
            continue
        far = margin
        if row.unit == "factor":
            far = math.log(max(margin, 1.0)) / math.log(_FACTOR_SHOWN_AS_FAR)
        far = min(max(far, 0.0), 1.0)
        _cell(axes, (across, down), _Look("", _shade(far)), framed=framed)
        text = f"{margin:.3g}"
        if text != written:
            color = "white" if far < 0.55 else "black"
            axes.text(across, down, text, ha="center", va="center", fontsize=6.5, color=color)
        written = text


def _shade(far: float) -> str:
    red, green, blue, _ = colormaps[_NEAR](far)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def history_drift(history: History) -> Figure:
    """Draw how much the numbers of every chain changed from release to release.

    Args:
        history: What the records say.

    Returns:
        The figure: a row per chain, under its engine; on the left each release against the one
        before, on the right against the first.
    """
    rows: list[ChainRow | None] = []
    names: list[str] = []
    for engine, members in itertools.groupby(history.chains, key=lambda row: row.engine):
        chains = list(members)
        rows += [None, *chains]
        names += [f"{engine}:", *(_without_engine(chain.name) for chain in chains)]
    figure, (left, right) = _sheet(history, [names], across=2)
    shown: set[Level | None] = {Level.IDENTICAL, Level.LAST_DIGIT}
    for down, row in enumerate(rows):
        if row is None:
            continue
        for axes, side in ((left, row.since_previous), (right, row.since_first)):
            for across, found in enumerate(side):
                level = None if found is None else found.level
                shown.add(level)
                _cell(axes, (across, down), _MISSING if level is None else _LEVELS[level])
    _name_rows(left, names, set())
    for row, label in zip(rows, left.get_yticklabels(), strict=True):
        if row is not None and row.changed_at:
            label.set_fontweight("bold")
    right.set_yticks([])
    first = history.releases[0].name
    left.set_title("against the release before", fontsize=_SMALL, loc="left", pad=10)
    right.set_title(f"against the first, {legible(first)}", fontsize=_SMALL, loc="left", pad=10)
    looks = [look for level, look in _LEVELS.items() if level in shown]
    missing = [_MISSING._replace(name="nothing to compare")] if None in shown else []
    _legend(figure, [*looks, *missing], [])
    _title(figure, "Numeric drift over torch releases", "one thread, the same machine")
    return figure


def _without_engine(chain: str) -> str:
    return chain.partition("/")[2]


def history_speed(history: History) -> Figure:
    """Draw how long each workload takes, relative to the first release.

    Args:
        history: What the records say.

    Returns:
        The figure: a panel per activation, one for other workloads; durations relative to the
        control, over those of the first release, with their intervals.
    """
    panels: dict[str, list[SpeedRow]] = {}
    for row in history.speeds:
        panels.setdefault(_subject(row.workload), []).append(row)
    columns = min(3, max(1, len(panels)))
    down = max(1, math.ceil(len(panels) / columns))
    width = max(2.6, 0.9 + 0.26 * len(history.releases))
    figure = Figure(figsize=(columns * width + 0.6, 1.5 + 2.1 * down), layout="constrained")
    cells = list(figure.subplots(down, columns, squeeze=False, sharex=True, sharey=True).flat)
    handles: dict[str, Line2D] = {}
    for axes, (subject, rows) in zip(cells, panels.items(), strict=False):
        axes.set_title(style_of(subject).name if subject else "products alone", fontsize=10)
        for place, row in enumerate(rows):
            label, line = _speed_line(axes, row, (place - (len(rows) - 1) / 2) * 0.16)
            handles.setdefault(label, line)
    _speed_axes(cells[: len(panels)] or cells, history)
    for unused in cells[max(1, len(panels)) :]:
        unused.remove()
    if handles:
        figure.legend(
            handles=list(handles.values()),
            labels=list(handles),
            loc="outside lower center",
            ncols=min(4, len(handles)),
            frameon=False,
            fontsize=_SMALL,
        )
    figure.supylabel("duration over that at the first release\n(above 1: slower)", fontsize=9)
    _title(figure, "Speed over torch releases", "durations relative to the control")
    return figure


def _subject(workload: str) -> str:
    """The activation of a workload; empty for one without."""
    parts = workload.split("/")
    return parts[1] if len(parts) > 2 else ""


def _speed_line(axes: Axes, row: SpeedRow, aside: float) -> tuple[str, Line2D]:
    engine, *_, dtype = row.workload.split("/")
    key = engine if dtype == "float32" else f"{engine} {dtype}"
    other = (legible(row.workload, 40), "#000000", "-.", "D")
    label, color, linestyle, marker = _ENGINES.get(key, other)
    places, values, errors = [float(row.first)], [1.0], [(0.0, 0.0)]
    for number, ratio in enumerate(row.since_first):
        if ratio is not None:
            low, high = interval(ratio) or (ratio.ratio, ratio.ratio)
            places.append(number)
            values.append(ratio.ratio)
            errors.append((ratio.ratio - low, high - ratio.ratio))
    container = axes.errorbar(
        [place + aside for place in places],
        values,
        yerr=list(zip(*errors, strict=True)),
        color=color,
        linestyle=linestyle,
        marker=marker,
        markersize=3.5,
        linewidth=1.3,
        elinewidth=1,
        capsize=2,
    )
    line = container.lines[0]
    line.set_gid(f"speed-{row.workload}")
    return label, line


def _speed_axes(cells: Sequence[Axes], history: History) -> None:
    names = [legible(release.name) for release in history.releases]
    for axes in cells:
        axes.set_yscale("log", base=2)
        axes.axhline(1, color="#666666", linewidth=0.8, zorder=0)
        axes.grid(axis="y", alpha=0.25)
        axes.set_xticks(range(len(names)), names, rotation=60, fontsize=_TINY)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.tick_params(labelbottom=True)
    low, high = cells[0].get_ylim()
    cells[0].set_ylim(min(low, 0.85), max(high, 1.18))
    low, high = cells[0].get_ylim()
    ticks = _ratio_ticks(low, high)
    for axes in cells:
        axes.set_yticks(ticks)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Round ratios from 1 outwards, none so near to the one before that their labels overlap."""
    apart = 0.08 * math.log(high / low)
    kept = [1.0]
    for steps in ((1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0), (0.9, 0.8, 0.7, 0.5, 0.25)):
        last = 1.0
        for step in steps:
            if low <= step <= high and abs(math.log(step / last)) >= apart:
                kept.append(step)
                last = step
    return sorted(kept)


def _sheet(
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
        axes.set_xticks(range(count), names, fontsize=_TINY if turned else _SMALL)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        if turned:
            axes.tick_params(axis="x", labelrotation=40)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure, list(cells.flat)


def _cell(axes: Axes, place: tuple[int, int], look: _Look, *, framed: bool = False) -> None:
    across, down = place
    axes.add_patch(
        Rectangle(
            (across - 0.5, down - 0.5),
            *(1, 1),
            facecolor=look.color,
            edgecolor="white",
            hatch=look.hatch,
            linewidth=0.8,
            gid=look.name.replace(" ", "-") or None,
        )
    )
    if framed:
        frame = Rectangle(
            (across - 0.45, down - 0.42),
            *(0.9, 0.84),
            fill=False,
            edgecolor="black",
            linewidth=1.8,
            zorder=3,
            gid="flip",
        )
        axes.add_patch(frame)


def _badge(axes: Axes, place: tuple[int, int], text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "circle,pad=0.12"}
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        fontsize=_TINY,
        fontweight="bold",
        bbox=box,
        zorder=4,
    )


def _name_rows(axes: Axes, names: Sequence[str], bold: set[str]) -> None:
    shown = [legible(name, _LONGEST_LABEL) for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=_TINY)
    for name, label in zip(names, axes.get_yticklabels(), strict=True):
        if name.endswith(":"):
            label.set(fontstyle="italic", fontsize=_SMALL, color="#444444")
        elif name in bold:
            label.set_fontweight("bold")


def _frame_handle(text: str) -> Patch:
    return Patch(fill=False, edgecolor="black", linewidth=1.8, label=text)


def _legend(figure: Figure, looks: Sequence[_Look], marks: Sequence[Patch | Line2D]) -> None:
    handles = [
        Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white", label=look.name)
        for look in looks
    ]
    figure.legend(
        handles=[*handles, *marks],
        loc="outside lower center",
        ncols=max(1, int(figure.get_figwidth() / 1.9)),
        frameon=False,
        fontsize=_SMALL,
    )


def _title(figure: Figure, title: str, more: str) -> None:
    figure.suptitle(f"{title}\n{more}", fontsize=11)


FIGURES: Final[Mapping[str, Callable[[History], Figure]]] = {
    "history_verdicts": history_verdicts,
    "history_margins": history_margins,
    "history_drift": history_drift,
    "history_speed": history_speed,
}
"""Figure name to the function that draws it."""
