"""Metrics of a table: a column, some of its rows, one number per run, and two of these paired."""

from __future__ import annotations

from collections.abc import Mapping
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

from actbench import slips
from actbench.errors import ActbenchError
from actbench.runs.tables import SEED

if TYPE_CHECKING:
    import pandas as pd

    from actbench.runs.tables import Table

Cell = StrictBool | StrictInt | StrictFloat | StrictStr
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
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = ""
    where: dict[str, Cell | list[Cell]] = Field(default_factory=dict)
    last: str = ""
    best: str = ""
    mode: Literal["max", "min"] | None = None
    minus: dict[str, Any] | None = None
    over: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check(self) -> Column:
        if self.last and self.best:
            raise ValueError("'last' and 'best' each choose one row of a run; give one of them")
        if bool(self.best) != (self.mode is not None):
            raise ValueError("'best' needs mode = 'max' or 'min', which is best, and only it does")
        if self.minus is not None and self.over is not None:
            raise ValueError("a metric has 'minus' or 'over', not both")
        return self

    @property
    def other(self) -> Column | None:
        """The metric that this one is compared with, on the same run."""
        given = self.minus if self.minus is not None else self.over
        if given is None:
            return None
        own = self.model_dump(exclude={"minus", "over"}, exclude_defaults=True)
        if {"last", "best"} & given.keys():
            own = {key: value for key, value in own.items() if key not in ("last", "best", "mode")}
        return parse({**own, **given, "where": {**self.where, **given.get("where", {})}})

    @property
    def columns(self) -> set[str]:
        """Every column that it reads."""
        named = {self.column, *self.where, self.last, self.best} - {""}
        return named | (self.other.columns if self.other else set())

    def __str__(self) -> str:
        """In words, such as ``"acc where method is ours, minus acc where method is base"``."""
        text = self.column or "its number"
        if self.where:
            text += " where " + " and ".join(
                f"{key} is {_words(v)}" for key, v in self.where.items()
            )
        if self.last:
            text += f", at the last {self.last}"
        if self.best:
            text += f", at the {'largest' if self.mode == 'max' else 'smallest'} {self.best}"
        if self.other is not None:
            text += f", {'minus' if self.minus is not None else 'over'} {self.other}, run by run"
        return text


def _words(wanted: object) -> str:
    return " or ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def parse(metric: Mapping[str, Any]) -> Column:
    """Read the metric of a claim.

    Raises:
        ActbenchError: A field is not known, or not of its kind.
    """
    try:
        return Column.model_validate(metric)
    except ValidationError as error:
        found = slips.first(error)
        known = Column.model_fields
        raise ActbenchError(slips.in_words(found, "", list(found["loc"]), known, {})) from error


def values(table: Table, metric: Column) -> tuple[list[str], NDArray[np.float64]]:
    """Take a metric from a table.

    Args:
        table: The rows.
        metric: What to take.

    Returns:
        The runs' names, in the table's order, and one number for each; NaN where a run has none.

    Raises:
        ActbenchError: A column or value is not there, a cell is no number, a run has several rows
            where one is meant, or two metrics have not the same runs.
    """
    own = _one(table, metric)
    if metric.other is not None:
        other = _one(table, metric.other)
        _require_pairs(table, metric, own, other)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            paired = other.loc[own.index].to_numpy()
            own = own - paired if metric.minus is not None else own / paired
    return [str(name) for name in own.index], own.to_numpy(np.float64)


def _one(table: Table, metric: Column) -> pd.Series[float]:
    import pandas as pd

    column = metric.column or _only_column(table)
    numbers, rows = table.numbers(column), np.ones(len(table.frame), bool)
    for name, wanted in metric.where.items():
        rows = rows & table.rows_where(name, wanted)
    if not rows.any():
        asked = " and ".join(f"{key} = {_words(value)}" for key, value in metric.where.items())
        raise ActbenchError(f"no row of {table.name} has {asked} at once; choose fewer columns")
    places = np.flatnonzero(rows)
    seeds = table.frame[SEED].iloc[places]
    runs = seeds.drop_duplicates()
    chooser = metric.last or metric.best
    if chooser:
        places = _chosen(table, metric, chooser, places[~table.missing(column)[places]])
        seeds = table.frame[SEED].iloc[places]
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
    table: Table, metric: Column, chooser: str, places: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Of each run's rows, the places at which the chooser is largest, or smallest."""
    steps = table.numbers(chooser)[places] * (-1 if metric.mode == "min" else 1)
    steps = np.where(np.isnan(steps), -np.inf, steps)
    codes = table.frame[SEED].iloc[places].factorize()[0]
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
            which = str(lacks).partition(", minus ")[0].partition(", over ")[0]
            raise ActbenchError(
                f"the runs of {table.name} do not pair: there is no {which} for {shown}. Compare "
                "runs of the same seeds, or judge each by itself"
            )
