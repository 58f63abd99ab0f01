"""The figure of a sweep of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.figure import Figure

from actbench.colors import legible, style_of
from actbench.statistics import quantiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from actbench.sweeps.summaries import Cell

_MOST_PANELS: Final = 6
_LOG_FROM: Final = 50  # largest over smallest value


def losses(cells: Sequence[Cell], activation: str) -> Figure:
    """Draw the final loss over the axis with most values, a line per activation.

    Args:
        cells: Of a sweep, at least one.
        activation: Of all members, where it does not vary.

    Returns:
        The figure: medians and 2.5-97.5 % intervals over seeds and the axes that it does not show;
        a panel for each value of the axis with next most values, where they are at most 6.
    """
    values = {name: list(dict.fromkeys(c.at[name] for c in cells)) for name in cells[0].at}
    free = sorted((n for n in values if n != "activation"), key=lambda n: -len(values[n]))
    across = free[0] if free else "activation"
    split = [
        name
        for name in free[1:2]
        if 1 < len(values[name]) <= _MOST_PANELS
        # Not of axes that go together, where each panel would have a part of the line.
        and len({(c.at[across], c.at[name]) for c in cells}) > len(values[across])
    ]
    panels = values[split[0]] if split else [None]
    figure = Figure(figsize=(1 + 4.4 * len(panels), 4.2), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for value, axes in zip(panels, row, strict=True):
        chosen = [cell for cell in cells if not split or cell.at[split[0]] == value]
        _panel(axes, chosen, across, values.get(across, []), activation)
        if split:
            axes.set_title(f"{split[0]} {value}", fontsize=10.5)
    row[0].set_ylabel("final loss")
    row[0].legend()
    return figure


def _panel(
    axes: Axes, cells: Sequence[Cell], across: str, values: list[Any], activation: str
) -> None:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    ticks = sorted(values) if numbers else values
    for key in dict.fromkeys(str(cell.at.get("activation", activation)) for cell in cells):
        pooled: dict[Any, list[Any]] = {}
        for cell in cells:
            if cell.at.get("activation", activation) == key and cell.losses.size:
                pooled.setdefault(cell.at.get(across, activation), []).append(cell.losses)
        there = [value for value in ticks or [activation] if value in pooled]
        if not there:
            continue
        ends = np.array([quantiles(np.concatenate(pooled[value])) for value in there])
        low, median, high = np.where(np.isfinite(ends), ends, np.nan).T
        style = style_of(key)
        x = there if numbers and ticks else [ticks.index(v) if ticks else 0 for v in there]
        line = {"color": style.color, "linestyle": style.linestyle, "marker": style.marker}
        axes.plot(x, median, label=style.name, **line)  # type: ignore[arg-type]
        axes.fill_between(x, low, high, color=style.color, alpha=0.15)
    axes.set_yscale("log")
    axes.set_xlabel(across)
    if not numbers:
        axes.set_xticks(range(len(ticks)), [legible(str(value)) for value in ticks])
    elif ticks and ticks[0] > 0 and ticks[-1] / ticks[0] >= _LOG_FROM:
        axes.set_xscale("log")
