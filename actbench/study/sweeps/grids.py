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
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name
from actbench.store.studies import FIRST_SEED, LARGEST_SEED
from actbench.study.catalog import initializers
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER, OWN
from actbench.study.catalog.targets import TARGETS
from actbench.study.experiments import settings

Value: TypeAlias = str | int | float | bool
Column: TypeAlias = NDArray[Any]

_LARGEST_SHAPE = 10_000
_FEWEST_POINTS = 2
_DTYPES = ("float32", "float64")
_RECORDED_EPOCHS = (0, 1, 10, 100, 499)  # the study's


@dataclass(frozen=True)
class Axis:
    """Something in which members may differ; its default is that of the study's main run."""

    default: Value
    check: settings.Check
    definition: str


def _activation(setting: str, given: Any) -> str:
    if str(given) in OWN:
        return str(given)
    if ":" in str(given):
        raise ActbenchError(
            f"activation {given!r} is code. If you trust it, give 'actbench sweep' --allow-code"
        )
    return _registered({**ACTIVATIONS, **FURTHER}, setting, given)


def _registered(known: Mapping[str, object], setting: str, given: Any) -> str:
    # The registry and nothing else: a name in a grid never leads to code being imported.
    if str(given) not in known:
        if ":" in str(given):
            raise ActbenchError(
                f"{setting} {given!r} is code of one's own, which a sweep does not take, as its "
                f"workers would have to have it; name one of {', '.join(known)}"
            )
        raise unknown_name(setting, given, known)
    return str(given)


def _initializer(setting: str, given: Any) -> str:
    if str(given) in initializers.OWN:  # which a worker does not have
        raise unknown_name(setting, given, initializers.KEYS)
    return initializers.get(str(given)).key


def _number(within: Callable[[str, float], float], setting: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ActbenchError(f"{setting} is {given!r}, but must be a number")
    return within(setting, float(given))


def _whole(setting: str, given: Any) -> int:
    if require_positive_int(setting, given) > _LARGEST_SHAPE:
        raise ActbenchError(f"{setting} is {given}, but at most {_LARGEST_SHAPE} is sensible")
    return int(given)


def _seed(setting: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST_SEED:
        raise ActbenchError(
            f"{setting} is {given!r}, but must be a whole number from 0 to {LARGEST_SEED}"
        )
    return given


def _flag(setting: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise ActbenchError(f"{setting} is {given!r}, but must be true or false")
    return given


_POSITIVE = partial(_number, settings.positive)
_AT_LEAST_ZERO = partial(_number, settings.at_least_zero)

AXES: Mapping[str, Axis] = {
    "activation": Axis("relu", _activation, "key of the activation"),
    "target": Axis("sine", partial(_registered, TARGETS), "key of the function to be learned"),
    "noise_std": Axis(0.1, _AT_LEAST_ZERO, "standard deviation of the noise on the targets"),
    "noise_seed": Axis(42, _seed, "seed of the noise on the targets"),
    "skip": Axis(False, _flag, "whether hidden layers but the first add their input"),
    "depth": Axis(10, _whole, "hidden layers"),
    "width": Axis(64, _whole, "units per hidden layer"),
    "learning_rate": Axis(1e-3, _POSITIVE, "step size of the optimizer"),
    "weight_decay": Axis(0.0, _AT_LEAST_ZERO, "L2 penalty of the optimizer"),
    "initializer": Axis("torch_default", _initializer, "key of the initializer"),
    "seed": Axis(FIRST_SEED, _seed, "seed of the initial weights"),
}
"""By name, in the order in which points are counted: the last varies fastest, so that members
which can share a stack lie side by side."""

INSIDE_A_STACK = ("initializer", "seed")
"""The axes in which members of one stack may differ."""


@dataclass(frozen=True)
class Common:
    """What all members of a grid have in common beside the axes that it leaves alone."""

    epochs: int = 500  # full-batch updates, at least 1
    points: int = 200  # inputs, evenly spaced on [-pi, pi], at least 2
    dtype: str = "float32"  # or float64
    # Epochs whose loss is kept, increasing; by default those of 0, 1, 10, 100 and 499 there are.
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


_SCHEMA_VERSION = 1  # of the order of the points and of how they are drawn; part of the identity
_DRAWN_DIGITS = 6  # so that no processor's exponential function changes what was drawn
_WORDS_PER_COUNT = 4  # Philox gives four numbers for each state of its counter


@dataclass(frozen=True)
class Listed:
    """Values that are written down, row by row."""

    columns: Mapping[str, Sequence[Value]]  # by axis, all of one length; a range stays one

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
class Between:
    """A number between two, evenly or evenly in its logarithm, both ends included."""

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


@dataclass(frozen=True)
class Drawn:
    """Rows drawn at random, each from its own number alone: each value as likely as another."""

    size: int
    seed: int
    columns: Mapping[str, tuple[Value, ...] | Between]

    def values(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an axis's values in some rows, which are in increasing order.

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
        column, at = self.columns[name], uniform[rows - first]
        if isinstance(column, Between):
            return column.at(at)
        chosen: Column = np.array(column)[(at * len(column)).astype(np.int64)]
        return chosen

    def spec(self) -> dict[str, Any]:
        """Describe the block in what JSON can hold."""
        columns = {
            name: vars(column) if isinstance(column, Between) else list(column)
            for name, column in self.columns.items()
        }
        return {"count": self.size, "draws": self.seed, "columns": columns}


Block: TypeAlias = Listed | Drawn
"""Axes that vary together; a grid is the product of its blocks."""


@dataclass(frozen=True)
class Grid:
    """Members by number: the product of all blocks, in an order that never changes.

    The block that is drawn varies slowest; the others follow their first axis in ``AXES``.
    """

    common: Common
    constants: Mapping[str, Value]  # value of every axis that does not vary
    blocks: tuple[Block, ...]
    # Activations of one's own: key, the folder that it is seen from, digest of its file
    code: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        def place(block: Block) -> tuple[bool, int]:
            return not isinstance(block, Drawn), min(map(list(AXES).index, block.columns))

        object.__setattr__(self, "blocks", tuple(sorted(self.blocks, key=place)))

    @property
    def size(self) -> int:
        """Number of members."""
        return math.prod(block.size for block in self.blocks)

    @property
    def axes(self) -> tuple[str, ...]:
        """What varies, in the order of ``AXES``."""
        varying = {name for block in self.blocks for name in block.columns}
        return tuple(name for name in AXES if name in varying)

    def columns(self, start: int, stop: int) -> dict[str, Column]:
        """Return the coordinates of some members by axis, each of shape ``(stop - start,)``."""
        numbers = np.arange(start, stop, dtype=np.int64)
        found: dict[str, Column] = {}
        for block in reversed(self.blocks):
            rows = numbers % block.size
            numbers //= block.size
            found.update({name: block.values(name, rows) for name in block.columns})
        return {name: found[name] for name in self.axes}

    def members(self, start: int, stop: int) -> Iterator[dict[str, Value]]:
        """Describe some members by all axes, those that do not vary too."""
        columns = {name: column.tolist() for name, column in self.columns(start, stop).items()}
        for number in range(stop - start):
            at = {name: column[number] for name, column in columns.items()}
            yield {name: at.get(name, self.constants.get(name)) for name in AXES}  # type: ignore[misc]

    def described(self, number: int) -> str:
        """Describe a member by the axes that vary."""
        (member,) = self.members(number, number + 1)
        at = ((name, member[name]) for name in self.axes)
        return ", ".join(f"{n}={str(v).lower() if isinstance(v, bool) else v}" for n, v in at)

    @property
    def text(self) -> str:
        """The grid as JSON: two grids with the same text have the same members in one order."""
        described = {
            "schema_version": _SCHEMA_VERSION,
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
