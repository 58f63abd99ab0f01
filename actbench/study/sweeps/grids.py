"""A grid of members as data: axes that are multiplied, zipped or drawn at random.

Its points are never held in a list: member N is computed from N, so that a grid of 10^12 points
costs nothing until somebody asks for them. ``grid_files`` says how one is written down.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.study.sweeps.axes import AXES, Common, Value

SCHEMA_VERSION = 1
"""Of the order of the points and of how they are drawn; part of a grid's identity."""

Column: TypeAlias = NDArray[Any]

_DRAWN_DIGITS = 6  # so that no processor's exponential function changes what was drawn
_WORDS_PER_COUNT = 4  # Philox gives four numbers for each state of its counter


class Block(Protocol):
    """Axes that vary together; a grid is the product of its blocks."""

    @property
    def names(self) -> tuple[str, ...]:
        """The axes, in the order of ``AXES``."""

    @property
    def size(self) -> int:
        """How many rows there are."""

    def values(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an axis's values in some rows, which are in increasing order."""

    def spec(self) -> dict[str, Any]:
        """Describe the block in what JSON can hold."""


@dataclass(frozen=True)
class Listed:
    """Values that are written down, row by row.

    Args:
        columns: By axis, all of one length; a ``range`` is never unrolled.
    """

    columns: Mapping[str, Sequence[Value]]

    @property
    def names(self) -> tuple[str, ...]:
        """The axes, in the order of ``AXES``."""
        return tuple(name for name in AXES if name in self.columns)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values())))

    def values(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an axis's values in some rows."""
        column = self.columns[name]
        if isinstance(column, range):
            counted: Column = column.start + rows
            return counted
        chosen: Column = np.array(column)[rows]
        return chosen

    def spec(self) -> dict[str, Any]:
        """Describe the block in what JSON can hold."""
        return {
            name: {"first": column.start, "count": len(column)}
            if isinstance(column, range)
            else list(column)
            for name, column in self.columns.items()
        }


@dataclass(frozen=True)
class Choice:
    """One of some values, each as likely.

    Args:
        values: At least one.
    """

    values: tuple[Value, ...]

    def at(self, uniform: NDArray[np.float64]) -> Column:
        """Turn numbers that are uniform on [0, 1) into values."""
        chosen: Column = np.array(self.values)[(uniform * len(self.values)).astype(np.int64)]
        return chosen

    def spec(self) -> Any:
        """Describe it in what JSON can hold."""
        return list(self.values)


@dataclass(frozen=True)
class Between:
    """A number between two, evenly or evenly in its logarithm.

    Args:
        low: The smallest.
        high: The largest, above ``low``.
        log: Whether the logarithm is uniform; ``low`` is then positive.
        whole: Whether only whole numbers are drawn, both ends included.
    """

    low: float
    high: float
    log: bool
    whole: bool

    def at(self, uniform: NDArray[np.float64]) -> Column:
        """Turn numbers that are uniform on [0, 1) into values of six significant digits."""
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        if self.log:
            drawn = low * np.exp(uniform * math.log(high / low))
        else:
            drawn = low + uniform * (high - low)
        if self.whole:
            floored: Column = np.clip(np.floor(drawn), self.low, self.high).astype(np.int64)
            return floored
        rounded: Column = np.array([float(f"{value:.{_DRAWN_DIGITS}g}") for value in drawn])
        within: Column = np.clip(rounded, low, high)
        return within

    def spec(self) -> Any:
        """Describe it in what JSON can hold."""
        return {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}


@dataclass(frozen=True)
class Drawn:
    """Rows drawn at random, each from its own number alone.

    Args:
        count: Rows.
        seed: Of the draws, from 0 to 2^64 - 1.
        columns: What is drawn, by axis.
    """

    count: int
    seed: int
    columns: Mapping[str, Choice | Between]

    @property
    def names(self) -> tuple[str, ...]:
        """The axes, in the order of ``AXES``."""
        return tuple(name for name in AXES if name in self.columns)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.count

    def values(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an axis's values in some rows.

        Philox (Salmon et al. 2011) is a function of a key and a counter: the axis and the row.
        """
        first, last = int(rows[0]), int(rows[-1])
        key = np.array([self.seed, list(AXES).index(name)], dtype=np.uint64)
        raw = np.random.Philox(key=key, counter=first).random_raw(
            (last - first + 1) * _WORDS_PER_COUNT
        )
        uniform: NDArray[np.float64] = (raw[::_WORDS_PER_COUNT] >> np.uint64(11)).astype(
            np.float64
        ) * 2.0**-53
        return self.columns[name].at(uniform[rows - first])

    def spec(self) -> dict[str, Any]:
        """Describe the block in what JSON can hold."""
        columns = {name: column.spec() for name, column in self.columns.items()}
        return {"count": self.count, "draws": self.seed, "columns": columns}


@dataclass(frozen=True)
class Grid:
    """Members by number: the product of all blocks, in an order that never changes.

    The block that is drawn varies slowest; the others follow their first axis in ``AXES``.

    Args:
        common: What all members have in common.
        constants: Value of every axis that does not vary.
        blocks: The axes that vary.
        code: Activations of one's own: key, the folder that it is seen from, digest of its file.
    """

    common: Common
    constants: Mapping[str, Value]
    blocks: tuple[Block, ...]
    code: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        order = list(AXES)
        ordered = sorted(
            self.blocks, key=lambda b: (not isinstance(b, Drawn), order.index(b.names[0]))
        )
        object.__setattr__(self, "blocks", tuple(ordered))

    @property
    def size(self) -> int:
        """Number of members."""
        return math.prod(block.size for block in self.blocks)

    @property
    def axes(self) -> tuple[str, ...]:
        """What varies, in the order of ``AXES``."""
        varying = {name for block in self.blocks for name in block.names}
        return tuple(name for name in AXES if name in varying)

    def columns(self, start: int, stop: int) -> dict[str, Column]:
        """Return the coordinates of some members.

        Args:
            start: The first member's number.
            stop: One more than the last one's.

        Returns:
            By axis, in the order of ``AXES``, shape ``(stop - start,)``.
        """
        numbers = np.arange(start, stop, dtype=np.int64)
        found: dict[str, Column] = {}
        for block in reversed(self.blocks):
            rows = numbers % block.size
            numbers //= block.size
            found.update({name: block.values(name, rows) for name in block.names})
        return {name: found[name] for name in self.axes}

    def members(self, start: int, stop: int) -> Iterator[dict[str, Value]]:
        """Describe some members by all axes, those that do not vary too."""
        columns = {name: column.tolist() for name, column in self.columns(start, stop).items()}
        for number in range(stop - start):
            at = {name: column[number] for name, column in columns.items()}
            yield {name: at.get(name, self.constants.get(name)) for name in AXES}  # type: ignore[misc]

    @property
    def text(self) -> str:
        """The grid as JSON: two grids with the same text have the same members in one order."""
        described = {
            "schema_version": SCHEMA_VERSION,
            "common": vars(self.common),
            "constants": {name: v for name, v in self.constants.items() if name not in self.axes},
            "blocks": [block.spec() for block in self.blocks],
        }
        if self.code:
            described["code"] = {key: source for key, _, source in self.code}
        return json.dumps(described, sort_keys=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the grid, its identity."""
        return hashlib.sha256(self.text.encode()).hexdigest()
