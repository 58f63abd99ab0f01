"""Metrics of a table: a column, some of its rows, one number per run, two compared, or tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

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

from actbench.store import stored
from actbench.store.errors import ActbenchError

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
    where: dict[str, Cell | list[Cell]] = Field(default_factory=dict)
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
        own = self.model_dump(include=ALONE, exclude_defaults=True)
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
                f"{key} is {listed(v)}" for key, v in self.where.items()
            )
        if self.last:
            text += f", at the last {self.last}"
        if self.best:
            text += f", at the {'largest' if self.mode == 'max' else 'smallest'} {self.best}"
        return text


ALONE = {"column", "where", "last", "best", "mode"}
"""Fields of a metric that is not compared."""


def listed(wanted: object) -> str:
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
