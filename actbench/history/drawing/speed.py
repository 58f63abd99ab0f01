"""How long every workload takes, over the releases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from actbench.colors import legible, style_of
from actbench.history.drawing._cells import SMALL, TINY, add_title
from actbench.history.speed import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from actbench.history import History
    from actbench.history.speed import SpeedRow

_ENGINES: Final = {
    "loop": ("plain loop, float32", "#0072B2", "-", "o"),
    "stack": ("stack, float32", "#D55E00", "--", "s"),
    "stack float64": ("stack, float64", "#009E73", ":", "^"),
}


def history_speed(history: History) -> Figure:
    """Draw how long each workload takes, relative to the first release."""
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
