"""A grid of members as data: axes that are multiplied, zipped or drawn at random.

Its points are never held in a list: member N is computed from N, so that a grid of 10^12 points
costs nothing until somebody asks for them. ``grid_files`` says how one is written down.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench import initializers, settings
from actbench.activations import ACTIVATIONS
from actbench.errors import ActbenchError, require_positive_int, unknown_name
from actbench.seeds import FIRST_SEED, LARGEST_SEED
from actbench.targets import TARGETS

SCHEMA_VERSION = 1
"""Of the order of the points and of how they are drawn; part of a grid's identity."""

Value: TypeAlias = str | int | float | bool
Column: TypeAlias = NDArray[Any]

_LARGEST_SHAPE = 10**6
_FEWEST_POINTS = 2
_DTYPES = ("float32", "float64")
_RECORDED_EPOCHS = (0, 1, 10, 100, 499)  # the study's
_DRAWN_DIGITS = 6  # so that no processor's exponential function changes what was drawn
_WORDS_PER_COUNT = 4  # Philox gives four numbers for each state of its counter


@dataclass(frozen=True)
class Axis:
    """Something in which members may differ.

    Args:
        default: Its value where a grid does not mention it: that of the study's main run.
        check: Returns a value as it is stored, or raises ``ActbenchError``.
        definition: What it is.
        unit: Its unit.
    """

    default: Value
    check: Callable[[Any], Value]
    definition: str
    unit: str = "1"


def _registered(kind: str, known: Mapping[str, object]) -> Callable[[Any], Value]:
    # The registry and nothing else: a name in a grid never leads to code being imported.
    def check(given: Any) -> Value:
        if given not in known:
            raise unknown_name(kind, given, known)
        return str(given)

    return check


def _initializer(given: Any) -> Value:
    if given not in initializers.KEYS and not str(given).startswith("normal("):
        raise unknown_name("initializer", given, initializers.KEYS)
    return initializers.get(given).key


def _number(setting: str, check: Callable[[str, float], float]) -> Callable[[Any], Value]:
    def checked(given: Any) -> Value:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise ActbenchError(f"{setting} is {given!r}, but must be a number")
        return check(setting, float(given))

    return checked


def _whole(setting: str) -> Callable[[Any], Value]:
    def check(given: Any) -> Value:
        if require_positive_int(setting, given) > _LARGEST_SHAPE:
            raise ActbenchError(f"{setting} is {given}, but at most {_LARGEST_SHAPE} is sensible")
        return int(given)

    return check


def _seed(setting: str) -> Callable[[Any], Value]:
    def check(given: Any) -> Value:
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST_SEED:
            raise ActbenchError(
                f"{setting} is {given!r}, but must be a whole number from 0 to {LARGEST_SEED}"
            )
        return given

    return check


def _flag(given: Any) -> Value:
    if not isinstance(given, bool):
        raise ActbenchError(f"skip is {given!r}, but must be true or false")
    return given


AXES: Mapping[str, Axis] = {
    "activation": Axis("relu", _registered("activation", ACTIVATIONS), "key of the activation"),
    "target": Axis("sine", _registered("target", TARGETS), "key of the function to be learned"),
    "noise_std": Axis(
        0.1,
        _number("noise_std", settings.at_least_zero),
        "standard deviation of the noise on the targets",
    ),
    "noise_seed": Axis(42, _seed("noise_seed"), "seed of the noise on the targets"),
    "skip": Axis(False, _flag, "whether hidden layers but the first add their input"),
    "depth": Axis(10, _whole("depth"), "hidden layers"),
    "width": Axis(64, _whole("width"), "units per hidden layer"),
    "learning_rate": Axis(
        1e-3, _number("learning_rate", settings.positive), "step size of the optimizer"
    ),
    "weight_decay": Axis(
        0.0, _number("weight_decay", settings.at_least_zero), "L2 penalty of the optimizer"
    ),
    "initializer": Axis("torch_default", _initializer, "key of the initializer"),
    "seed": Axis(FIRST_SEED, _seed("seed"), "seed of the initial weights"),
}
"""By name, in the order in which points are counted: the last varies fastest, so that members
which can share a stack lie side by side."""

INSIDE_A_STACK = ("initializer", "seed")
"""The axes in which members of one stack may differ."""


def axis(name: str) -> Axis:
    """Look up an axis by its name.

    Args:
        name: One of the keys of ``AXES``.

    Returns:
        The axis.

    Raises:
        ActbenchError: The name is not known; the text lists the known and the nearest.
    """
    if name not in AXES:
        raise unknown_name("axis", name, AXES)
    return AXES[name]


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
class Common:
    """What all members of a grid have in common beside the axes that it leaves alone.

    Args:
        epochs: Full-batch updates, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        dtype: ``"float32"`` or ``"float64"``.
        recorded_epochs: Epochs whose loss is kept, increasing, below ``epochs``; ``None`` takes
            those of 0, 1, 10, 100 and 499 that there are.

    Raises:
        ActbenchError: A setting is out of range.
    """

    epochs: int = 500
    points: int = 200
    dtype: str = "float32"
    recorded_epochs: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        require_positive_int("epochs", self.epochs)
        if require_positive_int("points", self.points) < _FEWEST_POINTS:
            raise ActbenchError(f"points is {self.points}, but must be at least {_FEWEST_POINTS}")
        if self.dtype not in _DTYPES:
            raise unknown_name("dtype", self.dtype, _DTYPES)
        if self.recorded_epochs is None:
            kept = tuple(epoch for epoch in _RECORDED_EPOCHS if epoch < self.epochs)
            object.__setattr__(self, "recorded_epochs", kept)
        recorded = self.recorded_epochs or ()
        in_range = all(_is_epoch(epoch, self.epochs) for epoch in recorded)
        if not in_range or sorted(set(recorded)) != list(recorded):
            raise ActbenchError(
                f"recorded_epochs are {list(recorded)!r}, but must be increasing whole numbers "
                f"from 0 to {self.epochs - 1}, the last epoch"
            )


def _is_epoch(given: Any, epochs: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given < epochs


@dataclass(frozen=True)
class Grid:
    """Members by number: the product of all blocks, in an order that never changes.

    The block that is drawn varies slowest; the others follow their first axis in ``AXES``.

    Args:
        common: What all members have in common.
        constants: Value of every axis that does not vary.
        blocks: The axes that vary.
    """

    common: Common
    constants: Mapping[str, Value]
    blocks: tuple[Block, ...]

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
        """Describe some members by all axes, those that do not vary too.

        Args:
            start: The first member's number.
            stop: One more than the last one's.

        Yields:
            Value by axis, in the order of ``AXES``.
        """
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
        return json.dumps(described, sort_keys=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the grid, its identity."""
        return hashlib.sha256(self.text.encode()).hexdigest()
