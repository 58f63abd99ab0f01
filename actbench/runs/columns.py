"""Metrics of a table, and taking them: one number per run, compared in pairs, ranked, by task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from actbench.claims.comparisons import wins
from actbench.store import stored
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    import pandas as pd

    from actbench.runs.tables import Table

_ALONE = {"column", "where", "last", "best", "mode"}
"""Fields of a metric that is not compared."""

_Cell = StrictBool | StrictInt | StrictFloat | StrictStr
"""What a cell can be asked to hold."""


class Column(BaseModel):
    """One number per run, from the rows of a table.

    Args:
        column: Which column; where a run gives a single number, none needs to be named.
        where: Which rows: those whose cells hold these values, or one of several listed.
        last: Of the rows of a run, the one in which this column is largest, such as the step.
        best: Of the rows of a run, the one in which this column is largest or smallest, by
            ``mode``: the value that a model is selected by, such as ``"val_acc"``.
        mode: ``"max"`` or ``"min"``, which of these is best.
        minus: Another metric of the same table that is subtracted, run by run; takes from this one
            what it does not state.
        over: As ``minus``, what it is divided by.
        exceeds: As ``minus``, what it is compared with: how often this one is larger, ties half;
            1 where it is, 0 where it is not.
        paired: Whether ``exceeds`` compares runs of the same seed, or all of one with all of the
            other.
        per: For ``aggregate``, the column that names the task: each has runs of its own.
        aggregate: What is taken of all tasks: ``"iqm"``, the mean of the middle half of all runs;
            ``"rank"``, the mean over tasks of the rank among methods, 1 for the largest; or
            ``"rank_ascending"``, 1 for the smallest.
        among: For a rank, the column that names the method, which ``where`` chooses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = ""
    where: dict[str, _Cell | list[_Cell]] = Field(default_factory=dict)
    last: str = ""
    best: str = ""
    mode: Literal["max", "min"] | None = None
    minus: dict[str, Any] | None = None
    over: dict[str, Any] | None = None
    exceeds: dict[str, Any] | None = None
    paired: StrictBool = True
    per: str = ""
    aggregate: Literal["iqm", "rank", "rank_ascending"] | None = None
    among: str = ""

    @model_validator(mode="after")
    def _check(self) -> Column:
        if self.last and self.best:
            raise ValueError("'last' and 'best' each choose one row of a run; give one of them")
        if bool(self.best) != (self.mode is not None):
            raise ValueError("'best' needs mode = 'max' or 'min', which is best, and only it does")
        if len(self._comparison) > 1:
            raise ValueError("a metric has one of 'minus', 'over' and 'exceeds', not several")
        if not self.paired and self.exceeds is None:
            raise ValueError(
                "paired = false goes with 'exceeds' only: what is subtracted or divided run by run "
                "needs pairs"
            )
        if (self.aggregate is not None) != bool(self.per):
            raise ValueError("'aggregate' needs 'per', the column that names the task, and only it")
        if self.aggregate is not None and self.exceeds is not None:
            raise ValueError("'exceeds' has no 'aggregate'; let it be one claim for each task")
        if self.ranks and (self._comparison or isinstance(self.where.get(self.among, []), list)):
            raise ValueError(
                "a rank needs 'among', the column of methods, of which 'where' chooses one, as in "
                'among = "method", where = { method = "ours" }; it compares with all the others'
            )
        if self.among and not self.ranks:
            raise ValueError("'among' goes with aggregate = 'rank' or 'rank_ascending' only")
        return self

    @property
    def ranks(self) -> bool:
        """Whether it is a rank among methods."""
        return self.aggregate in ("rank", "rank_ascending")

    @property
    def _comparison(self) -> dict[str, dict[str, Any]]:
        """How it is compared, and with what; empty where it stands alone."""
        given = {"minus": self.minus, "over": self.over, "exceeds": self.exceeds}
        return {word: other for word, other in given.items() if other is not None}

    @cached_property
    def other(self) -> Column | None:
        """The metric that this one is compared with, on the same run."""
        if not self._comparison:
            return None
        (given,) = self._comparison.values()
        own = self.model_dump(include=_ALONE, exclude_defaults=True)
        if {"last", "best"} & given.keys():
            own = {key: value for key, value in own.items() if key not in ("last", "best", "mode")}
        return parse({**own, **given, "where": {**self.where, **given.get("where", {})}})

    @property
    def columns(self) -> set[str]:
        """Every column that it reads."""
        chosen = {self.last, self.best, self.per, self.among}
        named = {self.column, *self.where, *chosen} - {""}
        return named | (self.other.columns if self.other else set())

    def __str__(self) -> str:
        """In words, such as ``"acc where method is ours, minus acc where method is base"``."""
        text = self.alone
        for word in self._comparison:
            how = "run by run" if self.paired else "each run with all of the other"
            text += f"{'' if word == 'exceeds' else ','} {word} {self.other}, {how}"
        if self.exceeds is not None:
            return f"how often {text}"
        if self.aggregate == "iqm":
            return f"{text}: interquartile mean over all runs of each {self.per}"
        if self.ranks:
            first = "largest" if self.aggregate == "rank" else "smallest"
            return f"{text}: rank among all {self.among}, 1 for the {first}, mean over {self.per}"
        return text

    @property
    def alone(self) -> str:
        """In words, whatever it is compared with."""
        text = self.column or "its number"
        if self.where:
            text += " where " + " and ".join(
                f"{key} is {_listed(v)}" for key, v in self.where.items()
            )
        if self.last:
            text += f", at the last {self.last}"
        if self.best:
            text += f", at the {'largest' if self.mode == 'max' else 'smallest'} {self.best}"
        return text


def _listed(wanted: object) -> str:
    """Name what a cell may hold."""
    return " or ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def parse(metric: Mapping[str, Any]) -> Column:
    """Read the metric of a claim."""
    try:
        return Column.model_validate(metric)
    except ValidationError as error:
        found = stored.first(error)
        known = Column.model_fields
        raise ActbenchError(stored.in_words(found, "", list(found["loc"]), known, {})) from error


@dataclass(frozen=True)
class Taken:
    """What a metric takes from a table, each array of shape ``(run,)``."""

    runs: list[str]  # names, in the table's order: of runs, or of tasks where a rank is taken
    values: NDArray[np.float64]  # NaN where a run has none
    pair: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None  # what was compared
    tasks: NDArray[np.intp] | None = None  # of each run, its task's place in names
    names: tuple[str, ...] = ()  # of the tasks, or of the methods where a rank is taken


def take(table: Table, metric: Column) -> Taken:
    """Take a metric from a table."""
    if metric.ranks:
        return _ranks(table, metric)
    own, pair = _one(table, metric, metric.per), None
    found = own.to_numpy(np.float64)
    if metric.other is not None:
        other = _one(table, metric.other, metric.per)
        if metric.paired:
            _require_pairs(table, (metric, own), (metric.other, other))
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
        tasks = np.asarray(table.tasks(metric.per, found.index))
        means[shown] = found.groupby(tasks, sort=False).agg(lambda each: each.mean(skipna=False))
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
    return Taken(list(map(str, ranks.index)), ranks[chosen].to_numpy(np.float64), names=methods)


def _one(table: Table, metric: Column, per: str = "") -> pd.Series[float]:
    asked = metric.model_dump_json(include=_ALONE), per
    if asked not in table.taken:
        table.taken[asked] = _taken(table, metric, per)
    return table.taken[asked]


def _taken(table: Table, metric: Column, per: str) -> pd.Series[float]:
    import pandas as pd

    column = metric.column or table.only_column
    numbers, rows = table.numbers(column), np.ones(len(table.frame), bool)
    for name, wanted in metric.where.items():
        rows = rows & table.rows_where(name, wanted)
    if not rows.any():
        asked = " and ".join(f"{key} = {_listed(value)}" for key, value in metric.where.items())
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


def _chosen(
    table: Table,
    metric: Column,
    chooser: str,
    places: NDArray[np.intp],
    names: pd.Series[Any],
) -> NDArray[np.intp]:
    """Of each run's rows, the places at which the chooser is largest, or smallest."""
    import pandas as pd

    steps = pd.Series(table.numbers(chooser)[places] * (-1 if metric.mode == "min" else 1))
    by_run = steps.fillna(-np.inf).groupby(names.to_numpy()[places], sort=False, dropna=False)
    # Among equals the earliest is best, and all of the last are told as several rows.
    if metric.best:
        return np.sort(places[by_run.idxmax()])
    chosen: NDArray[np.intp] = places[steps.fillna(-np.inf) == by_run.transform("max")]
    return chosen


def _require_one_row(
    table: Table, metric: Column, places: NDArray[np.intp], seeds: pd.Series[Any]
) -> None:
    again = np.asarray(seeds.duplicated(keep=False))
    if not again.any():
        return
    name = seeds.iloc[int(np.argmax(again))]
    rows = places[np.asarray(seeds == name)]
    shown = " and ".join(table.place(int(row)) for row in rows[:2])
    several = table.frame.iloc[rows]
    varying = [name for name in table.columns if several[name].nunique(dropna=False) > 1][:4]
    hint = f", which differ in {', '.join(varying)}" if varying else ""
    raise ActbenchError(
        f"run {name!s} has {len(rows)} rows of {metric.column or 'its number'} where one is meant "
        f'({shown}{hint}). Choose with where = {{ … }}, take the last step (last = "step") or '
        "the best (best = …, mode = …), or say what names a run (seed = …)"
    )


def _require_pairs(table: Table, *sides: tuple[Column, pd.Series[float]]) -> None:
    for (_, one), (lacks, two) in permutations(sides):
        alone = one.index.difference(two.index)
        if len(alone):
            shown = ", ".join(map(str, alone[:5])) + (" …" if len(alone) > 5 else "")
            raise ActbenchError(
                f"the runs of {table.name} do not pair: there is no {lacks.alone} for {shown}. "
                "Compare runs of the same seeds, or ask without pairs how often one exceeds the "
                "other, with exceeds = { … }, paired = false"
            )
