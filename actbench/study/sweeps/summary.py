"""What a sweep found, cell by cell, and its figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from actbench.claims.statistics import quantiles
from actbench.pages.colors import legible, style_of
from actbench.study.sweeps.grids import Grid, Value
from actbench.study.sweeps.stores import TRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS: Final = 20
_MOST_PANELS: Final = 6
_LOG_FROM: Final = 50  # largest over smallest value


def losses(cells: Sequence[_Cell], activation: str) -> Figure:
    """Draw the final loss over the axis with most values, a line per activation."""
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
    axes: Axes, cells: Sequence[_Cell], across: str, values: list[Any], activation: str
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


@dataclass(frozen=True)
class _Cell:
    """A point of a grid, whatever the seed."""

    at: dict[str, Value]  # value of every axis that varies but the seed
    losses: NDArray[np.float64]  # final losses of the seeds that are trained
    diverged: float  # share of them that diverged; NaN where none is trained

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """The 2.5 %, 50 % and 97.5 % quantiles; NaN where no seed is trained."""
        return quantiles(self.losses) if self.losses.size else (np.nan, np.nan, np.nan)


def cells(path: Path, grid: Grid) -> list[_Cell]:
    """Read the cells of a sweep from its store."""
    import xarray as xr

    store = xr.open_zarr(path, chunks=None)
    loss, diverged, status = (store[n].to_numpy() for n in ("final_mse", "diverged", "status"))
    axes = [name for name in grid.axes if name != "seed"]
    places: dict[tuple[Value, ...], list[int]] = {}
    for place, member in enumerate(grid.members(0, grid.size)):
        places.setdefault(tuple(member[name] for name in axes), []).append(place)
    found = []
    for values, members in places.items():
        trained = [place for place in members if status[place] == TRAINED]
        share = float((diverged[trained] >= 0).mean()) if trained else np.nan
        found.append(_Cell(dict(zip(axes, values, strict=True)), loss[trained], share))
    return found


def as_csv(found: Sequence[_Cell]) -> str:
    """Write cells as a table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*found[0].at, "seeds", "median", "2.5%", "97.5%", "diverged"])
    for cell in found:
        low, median, high = cell.quantiles
        writer.writerow([*cell.at.values(), cell.losses.size, median, low, high, cell.diverged])
    return text.getvalue()


def table(found: Sequence[_Cell]) -> Table:
    """Show the best cells."""
    best = sorted(found, key=lambda cell: np.nan_to_num(cell.quantiles[1], nan=np.inf))[:_ROWS]
    count = f"the best {len(best)} of {len(found):,} points" if len(found) > _ROWS else "best first"
    shown = Table(title=f"Final loss over the seeds, {count}", box=SIMPLE)
    for name in found[0].at:
        shown.add_column(name)
    for name in ("seeds", "median", "diverged"):
        shown.add_column(name, justify="right")
    for cell in best:
        at = (f"{v:.6g}" if isinstance(v, float) else str(v) for v in cell.at.values())
        share = f"{cell.diverged:.0%}" if cell.losses.size else "-"
        shown.add_row(*at, str(cell.losses.size), f"{cell.quantiles[1]:.4g}", share)
    return shown
