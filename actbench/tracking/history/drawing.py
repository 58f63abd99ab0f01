"""The figures of a history: verdicts, margins, drift and speed over releases."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from actbench.pages.colors import legible, style_of
from actbench.tracking.drift.distributions import Level
from actbench.tracking.history._cells import (
    MISSING,
    SMALL,
    TINY,
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
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from actbench.tracking.history import ChainRow, ClaimRow, History, SpeedRow


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
    rows = [
        row
        for group, members in itertools.groupby(history.claims, key=lambda row: row.group)
        for row in ((f"{group}:", None), *_folded(list(members)))
    ]
    names = [name for name, _ in rows]
    figure, (axes,) = sheet(history, [names])
    for down, (_, row) in enumerate(rows):
        for across, verdict in enumerate(row.verdicts if row else ()):
            look = MISSING if verdict is None else _VERDICTS.get(verdict, _OTHER)
            draw_cell(axes, (across, down), look, framed=bool(row and row.flips[across]))
            if row and verdict not in (None, row.expected):
                draw_badge(axes, (across, down), "!")
    name_rows(axes, names, {row.id for row in history.claims if any(row.flips)})
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


def _folded(claims: Sequence[ClaimRow]) -> list[tuple[str, ClaimRow]]:
    """Name each row of some claims; those that are always as expected share rows."""
    folded: dict[tuple[str | None, ...], list[ClaimRow]] = {}
    rows = []
    for claim in claims:
        if set(claim.verdicts) <= {claim.expected, None}:
            folded.setdefault(claim.verdicts, []).append(claim)
        else:
            rows.append((claim.id, claim))
    for first, *others in folded.values():
        name = f"{1 + len(others)} claims that never change" if others else first.id
        rows.append((name, first))
    return rows


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
        name_rows(axes, [row.id for row in rows], {row.id for row in rows if any(row.flips)})
    marks = [frame_handle("another verdict than before")]
    add_legend(figure, [Look("near to flipping", _shade(0.0)), Look("far", _shade(1.0))], marks)
    add_title(figure, "Margins over torch releases", "a number where it is not the one before")
    return figure


def _changes(row: ClaimRow) -> bool:
    written = {_written(margin) for margin in row.margins if margin is not None}
    return len(written) > 1 or any(row.flips)


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
    for engine, members in itertools.groupby(history.chains, key=lambda row: row.group):
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


_ENGINES: Final = {
    "loop": ("plain loop, float32", "#0072B2", "-", "o"),
    "stack": ("stack, float32", "#D55E00", "--", "s"),
    "stack float64": ("stack, float64", "#009E73", ":", "^"),
}


def history_speed(history: History) -> Figure:
    """Draw how long each workload takes, relative to the first release."""
    panels: dict[str, list[SpeedRow]] = {}
    for row in history.speeds:
        panels.setdefault(_subject(row.name), []).append(row)
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
            fontsize=SMALL,
        )
    figure.supylabel("duration over that at the first release\n(above 1: slower)", fontsize=9)
    add_title(figure, "Speed over torch releases", "durations relative to the control")
    return figure


def _subject(workload: str) -> str:
    """The activation of a workload; empty for one without."""
    parts = workload.split("/")
    return parts[1] if len(parts) > 2 else ""


def _speed_line(axes: Axes, row: SpeedRow, aside: float) -> tuple[str, Line2D]:
    engine, *_, dtype = row.name.split("/")
    key = engine if dtype == "float32" else f"{engine} {dtype}"
    other = (legible(row.name, 40), "#000000", "-.", "D")
    label, color, linestyle, marker = _ENGINES.get(key, other)
    places, values, errors = [float(row.first)], [1.0], [(0.0, 0.0)]
    for number, ratio in enumerate(row.since_first):
        if ratio is not None:
            low, high = ratio.interval or (ratio.ratio, ratio.ratio)
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
    line.set_gid(f"speed-{row.name}")
    return label, line


def _speed_axes(cells: Sequence[Axes], history: History) -> None:
    names = [legible(release.name) for release in history.releases]
    for axes in cells:
        axes.set_yscale("log", base=2)
        axes.axhline(1, color="#666666", linewidth=0.8, zorder=0)
        axes.grid(axis="y", alpha=0.25)
        axes.set_xticks(range(len(names)), names, rotation=60, fontsize=TINY)
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


FIGURES: Final[Mapping[str, Callable[[History], Figure]]] = {
    "history_verdicts": history_verdicts,
    "history_margins": history_margins,
    "history_drift": history_drift,
    "history_speed": history_speed,
}
"""Figure name to the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "history_verdicts": "The verdict of every claim that was measured for the records, a "
    "column per torch release; those that never change share a row. A frame marks a verdict "
    "that is not the one measured before, an exclamation mark one that the claims file "
    "does not expect.",
    "history_margins": "How far each verdict is from flipping, where that changes, the nearest "
    "first; last the nearest of those that never change. Cells that stand out are near; a "
    "number stands where it is not the one before.",
    "history_drift": "How much the numbers of every chain of fingerprints changed: on the left "
    "since the release before, on the right since the first. Names in bold changed at least "
    "once.",
    "history_speed": "How long each workload takes, relative to the control and to the first "
    "release that timed it, with the interval of its noise. Above 1 is slower.",
}
"""Figure name to what is seen in it."""
