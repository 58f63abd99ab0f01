"""The figure of a search: published numbers among the values that the space gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from actbench.colors import style_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from actbench.recover.outcome import Result, Spread

_SMALL: Final = 8.5
_SAMPLE: Final = "#BBBBBB"
_PUBLISHED: Final = "#222222"
_FOUND: Final = "#D55E00"


def draw_search(result: Result) -> Figure:
    """Draw each number among the values of the sample, with what the search found."""
    numbers = result.search["number"]
    down = len(numbers)
    figure = Figure(figsize=(8, 1.35 * down + 0.9), layout="constrained")
    panels = figure.subplots(down, 1, squeeze=False).ravel()
    for place, (axes, number) in enumerate(zip(panels, numbers, strict=True)):
        _sample(axes, result.chance.spreads[place])
        axes.axvline(abs(float(number["published"])), color=_PUBLISHED, linewidth=1.4)
        for part in result.parts:
            if part.rounding and place in part.numbers:
                read = result.classes[0].protocol["read"]
                axes.axvspan(*part.rounding[read], color=_FOUND, alpha=0.25, linewidth=0)
        value = result.classes[0].values[place] if result.classes else None
        if value is not None:
            axes.plot(abs(value), 0.5, "D", color=_FOUND, markersize=7)
        name = style_of(number["activation"]).name
        name += f", layer {number['layer']}" if "layer" in number else ""
        axes.set_ylabel(f"{name}\n{number['published']}", **_LEFT)
    _key(figure, found=bool(result.classes), moved=bool(result.parts))
    panels[-1].set_xlabel(f"value, of {result.chance.sampled:,} protocols drawn at random")
    return figure


_LEFT: Final[dict[str, Any]] = {"rotation": 0, "ha": "right", "va": "center", "fontsize": _SMALL}


def _sample(axes: Axes, spread: Spread) -> None:
    edges = np.geomspace(spread.low, spread.high, len(spread.counts) + 1)
    heights = np.array(spread.counts) / max(1, *spread.counts)
    axes.set_xscale("log")
    axes.stairs(heights, edges, fill=True, color=_SAMPLE)
    axes.set_xlim(spread.low, spread.high)
    axes.set_ylim(0, 1.08)
    axes.set_yticks([])
    if spread.high > 20 * spread.low:
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", labelsize=7)


def _key(figure: Figure, *, found: bool, moved: bool) -> None:
    handles: list[Artist] = [
        Patch(color=_SAMPLE, label="protocols of the space"),
        Line2D([], [], color=_PUBLISHED, linewidth=1.4, label="published"),
    ]
    if found:
        handles.append(
            Line2D([], [], color=_FOUND, marker="D", linestyle="", label="best protocol")
        )
    if moved:
        handles.append(Patch(color=_FOUND, alpha=0.25, label="what rounding makes of it"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=_SMALL
    )
