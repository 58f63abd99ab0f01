"""What a sweep found: the final losses of each cell, a point of the grid over all its seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from actbench.statistics import quantiles
from actbench.sweeps.axes import Value
from actbench.sweeps.grids import Grid
from actbench.sweeps.stores import TRAINED

_ROWS = 20


@dataclass(frozen=True)
class Cell:
    """A point of a grid, whatever the seed.

    Args:
        at: Value of every axis that varies but the seed.
        losses: Final losses of the seeds that are trained.
        diverged: Share of them that diverged; NaN where none is trained.
    """

    at: dict[str, Value]
    losses: NDArray[np.float64]
    diverged: float

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """The 2.5 %, 50 % and 97.5 % quantiles; NaN where no seed is trained."""
        return quantiles(self.losses) if self.losses.size else (np.nan, np.nan, np.nan)


def cells(path: Path, grid: Grid) -> list[Cell]:
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
        found.append(Cell(dict(zip(axes, values, strict=True)), loss[trained], share))
    return found


def as_csv(found: Sequence[Cell]) -> str:
    """Write cells as a table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*found[0].at, "seeds", "median", "2.5%", "97.5%", "diverged"])
    for cell in found:
        low, median, high = cell.quantiles
        writer.writerow([*cell.at.values(), cell.losses.size, median, low, high, cell.diverged])
    return text.getvalue()


def table(found: Sequence[Cell]) -> Table:
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
