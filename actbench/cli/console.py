"""What the terminal shows: tables, bars and progress, drawn from datasets and claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from actbench.claims.statistics import quantiles
from actbench.store.terminal import plural

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim

_BAR_CELLS = 4
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with the time left while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task(title, total=total)

    def advance(done: int) -> None:
        # Shown with the first step: what is reused from disk, or refused, takes none.
        progress.start()
        progress.update(task, advance=done)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


def final_mse_table(dataset: xr.Dataset, claims: Mapping[str, Claim]) -> Table:
    """Set published final losses beside measured ones."""
    seeds = dataset["seed"].to_numpy()
    title = f"Mean squared error on the noisy targets, {plural(len(seeds), 'seed')}"
    table = Table(title=title, box=SIMPLE)
    table.add_column("activation", no_wrap=True)
    measured = ("median", "2.5-97.5 %", f"seed {seeds[0]}")[0 if len(seeds) > 1 else 2 :]
    for heading in ("published", *measured, "agrees") if claims else measured:
        table.add_column(heading, justify="right", no_wrap=True)
    for name in dataset["activation"].to_numpy():
        values = dataset["final_mse"].sel(activation=name).to_numpy()
        low, median, high = quantiles(values)
        claim = claims.get(str(name))
        published = _digits(claim.published_value) if claim and claim.published_value else "-"
        first = _digits(float(values[0]))
        over_seeds = (_number(median), _range(low, high)) if len(values) > 1 else ()
        found = (*over_seeds, first)
        table.add_row(
            str(name),
            *((published, *found, _agreement(claim, median)) if claims else found),
            style=None if claim is None or _holds(claim, median) else "bold",
        )
    return table


def _number(value: float) -> str:
    return f"{value:.4g}"


def _range(low: float, high: float) -> str:
    """The ends of an interval; one number where they do not differ in the digits shown."""
    return " - ".join(dict.fromkeys((_number(low), _number(high))))


def _digits(value: float) -> str:
    """As many digits as float32 and the study's own file of losses have."""
    return f"{round(value, 7):.7g}" if 1e-4 < abs(value) < 1e3 else _number(value)


def _holds(claim: Claim, value: float) -> bool:
    return claim.relation is not None and claim.relation.contains(value)


def _agreement(claim: Claim | None, median: float) -> str:
    if claim is None:
        return "-"
    return "yes" if _holds(claim, median) else "NO"


def gradient_bars(dataset: xr.Dataset, width: int) -> list[Table]:
    """Draw the gradient magnitude of each layer before the first update, on one log scale."""
    names = [str(name) for name in dataset["activation"].to_numpy()]
    seed = int(dataset["seed"].to_numpy()[0])
    layers = dataset["layer"].to_numpy()
    values = dataset["gradient_magnitude"].isel(seed=0, recorded_epoch=0).to_numpy()
    usable = values[np.isfinite(values) & (values > 0)]
    low, high = (float(usable.min()), float(usable.max())) if usable.size else (1.0, 1.0)
    per_table = max(1, (width - 7) // (_BAR_CELLS + 9))
    tables = []
    for start in range(0, len(names), per_table):
        chosen = range(start, min(start + per_table, len(names)))
        table = Table(
            title=f"Mean |dloss/dW| per layer at epoch 0, seed {seed} (log bars)",
            caption=f"layer 1 is nearest the input, layer {layers[-1]} is the output layer",
            box=None,
        )
        table.add_column("layer", justify="right")
        for index in chosen:
            table.add_column(names[index])
        for row, layer in enumerate(layers):
            table.add_row(
                str(layer), *(_bar(float(values[index, row]), low, high) for index in chosen)
            )
        tables.append(table)
    return tables


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value) or value <= 0:
        return f"{'':{_BAR_CELLS}} {value:.1e}"
    share = 1.0 if high <= low else math.log(value / low) / math.log(high / low)
    eighths = max(1, round(share * _BAR_CELLS * 8))
    text = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return f"{text:{_BAR_CELLS}} {value:.1e}"


def written_files(paths: Sequence[Path]) -> str:
    """List files with their sizes, a line each."""
    return "\n".join(f"  {path}  ({math.ceil(path.stat().st_size / 1000)} kB)" for path in paths)
