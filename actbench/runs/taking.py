"""Taking a metric from a table: its rows, one number per run, pairs, tasks and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.comparisons import wins
from actbench.runs.columns import ALONE, Column, listed
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    import pandas as pd

    from actbench.runs.tables import Table


@dataclass(frozen=True)
class Taken:
    """What a metric takes from a table.

    Args:
        runs: Names, in the table's order: of runs, or of tasks where a rank is taken.
        values: One number for each; NaN where it has none.
        pair: What was compared, each with one number per run; ``None`` where nothing was.
        tasks: Of each run, its task's place in ``names``.
        names: Of the tasks, or of the methods where a rank is taken.
    """

    runs: list[str]
    values: NDArray[np.float64]
    pair: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    tasks: NDArray[np.intp] | None = None
    names: tuple[str, ...] = ()


def values(table: Table, metric: Column) -> tuple[list[str], NDArray[np.float64]]:
    """Return names and numbers as ``take`` does."""
    taken = take(table, metric)
    return taken.runs, taken.values


def take(table: Table, metric: Column) -> Taken:
    """Take a metric from a table."""
    if metric.ranks:
        return _ranks(table, metric)
    own, pair = _one(table, metric, metric.per), None
    found = own.to_numpy(np.float64)
    if metric.other is not None:
        other = _one(table, metric.other, metric.per)
        if metric.paired:
            _require_pairs(table, metric, own, other)
            other = other.loc[own.index]
        pair = found, other.to_numpy(np.float64)
        found = _compared(metric, *pair)
    names = [str(name) for name in own.index]
    if not metric.per:
        return Taken(names, found, pair)
    tasks, known = table.tasks(metric.per, own.index).factorize()
    _require_as_many(table, metric, tasks, tuple(known))
    return Taken(names, found, pair, tasks, tuple(known))


def _compared(
    metric: Column, own: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not metric.paired:
        placed: NDArray[np.float64] = wins(own[:, None], other).mean(axis=1)
        return placed
    if metric.exceeds is not None:
        return wins(own, other)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return own - other if metric.minus is not None else own / other


def _require_as_many(
    table: Table, metric: Column, tasks: NDArray[np.intp], names: tuple[str, ...]
) -> None:
    """Refuse tasks of which some have more runs: these would weigh more."""
    counts = np.bincount(tasks)
    least, most = int(np.argmin(counts)), int(np.argmax(counts))
    if counts[least] != counts[most]:
        raise ActbenchError(
            f"{table.name} has {counts[least]} runs of {metric.per} {names[least]}, but "
            f"{counts[most]} of {names[most]}, which would weigh more. Give each as many; a run "
            "that failed is a row with an empty cell"
        )


def _ranks(table: Table, metric: Column) -> Taken:
    """The rank of one method in each task, by the mean over runs; without a number it is last."""
    import pandas as pd

    own = table.rows_where(metric.among, metric.where[metric.among])
    column = table.frame[metric.among]
    methods = tuple(map(str, column.dropna().unique()))
    means = {}
    for shown in methods:
        where = {**metric.where, metric.among: shown}
        found = _one(table, metric.model_copy(update={"where": where}), metric.per)
        tasks = table.tasks(metric.per, found.index)
        means[shown] = found.groupby(np.asarray(tasks), sort=False).agg(
            lambda x: x.mean(skipna=False)
        )
    scores = pd.DataFrame(means)
    for shown, found in means.items():
        lacking = scores.index.difference(found.index)
        if len(lacking):
            raise ActbenchError(
                f"{table.name} has no run of {metric.among} {shown} for {metric.per} "
                f"{lacking[0]}, so its rank there is not known; run it, or leave rows out"
            )
    ascending = metric.aggregate == "rank_ascending"
    ranks = scores.rank(axis=1, ascending=ascending, na_option="bottom")
    (chosen,) = {str(name) for name in column[own].unique()}
    return Taken(
        [str(task) for task in ranks.index],
        ranks[chosen].to_numpy(np.float64),
        names=methods,
    )


def _one(table: Table, metric: Column, per: str = "") -> pd.Series[float]:
    asked = metric.model_dump_json(include=ALONE), per
    if asked not in table.taken:
        table.taken[asked] = _taken(table, metric, per)
    return table.taken[asked]


def _taken(table: Table, metric: Column, per: str) -> pd.Series[float]:
    import pandas as pd

    column = metric.column or _only_column(table)
    numbers, rows = table.numbers(column), np.ones(len(table.frame), bool)
    for name, wanted in metric.where.items():
        rows = rows & table.rows_where(name, wanted)
    if not rows.any():
        asked = " and ".join(f"{key} = {listed(value)}" for key, value in metric.where.items())
        raise ActbenchError(f"no row of {table.name} has {asked} at once; choose fewer columns")
    places, names = np.flatnonzero(rows), table.runs(per)
    seeds = names.iloc[places]
    runs = seeds.drop_duplicates()
    chooser = metric.last or metric.best
    if chooser:
        places = places[~table.missing(column)[places]]
        places = _chosen(table, metric, chooser, places, names)
        seeds = names.iloc[places]
    _require_one_row(table, metric, places, seeds)
    found = pd.Series(numbers[places], index=pd.Index(seeds))
    return found.reindex(pd.Index(runs))


def _only_column(table: Table) -> str:
    if len(table.columns) != 1:
        raise ActbenchError(
            f"which number? {table.name} has {', '.join(table.columns)}; choose one with "
            "metric = { column = … }"
        )
    return table.columns[0]


def _chosen(
    table: Table,
    metric: Column,
    chooser: str,
    places: NDArray[np.intp],
    names: pd.Series[Any],
) -> NDArray[np.intp]:
    """Of each run's rows, the places at which the chooser is largest, or smallest."""
    steps = table.numbers(chooser)[places] * (-1 if metric.mode == "min" else 1)
    steps = np.where(np.isnan(steps), -np.inf, steps)
    codes = names.iloc[places].factorize()[0]
    # Among equals the earliest is best, and all of the last are told as several rows.
    order = np.lexsort((np.arange(len(places)), -steps, codes))
    first = np.ones(len(order), bool)
    first[1:] = codes[order][1:] != codes[order][:-1]
    if metric.best:
        return places[np.sort(order[first])]
    top = np.full(codes.max(initial=-1) + 1, -np.inf)
    np.maximum.at(top, codes, steps)
    last: NDArray[np.intp] = places[steps == top[codes]]
    return last


def _require_one_row(
    table: Table, metric: Column, places: NDArray[np.intp], seeds: pd.Series[Any]
) -> None:
    again = np.asarray(seeds.duplicated(keep=False))
    if not again.any():
        return
    name = seeds.iloc[int(np.argmax(again))]
    rows = places[np.asarray(seeds == name)]
    shown = " and ".join(table.place(int(row)) for row in rows[:2])
    varying = _varying(table, rows)
    hint = f", which differ in {', '.join(varying)}" if varying else ""
    raise ActbenchError(
        f"run {name!s} has {len(rows)} rows of {metric.column or 'its number'} where one is meant "
        f'({shown}{hint}). Choose with where = {{ … }}, take the last step (last = "step") or '
        "the best (best = …, mode = …), or say what names a run (seed = …)"
    )


def _varying(table: Table, rows: NDArray[np.intp]) -> list[str]:
    frame = table.frame.iloc[rows]
    return [name for name in table.columns if frame[name].nunique(dropna=False) > 1][:4]


def _require_pairs(
    table: Table, metric: Column, own: pd.Series[float], other: pd.Series[float]
) -> None:
    for one, two, lacks in ((own, other, metric.other), (other, own, metric)):
        alone = one.index.difference(two.index)
        if len(alone):
            shown = ", ".join(map(str, alone[:5])) + (" …" if len(alone) > 5 else "")
            which = lacks.alone if lacks is not None else ""
            raise ActbenchError(
                f"the runs of {table.name} do not pair: there is no {which} for {shown}. Compare "
                "runs of the same seeds, or ask without pairs how often one exceeds the "
                "other, with exceeds = { … }, paired = false"
            )
