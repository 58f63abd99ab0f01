"""What the settings of all experiments have in common: how each is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from actbench.errors import ActbenchError

_T = TypeVar("_T")


def names(
    setting: str, given: str | Sequence[str], lookup: Callable[[str], object]
) -> tuple[str, ...]:
    """Check a list of names of a registry."""
    listed = each_once(setting, (given,) if isinstance(given, str) else given)
    for name in listed:
        lookup(name)
    return listed


def each_once(setting: str, given: Sequence[_T]) -> tuple[_T, ...]:
    """Check a list of values that are coordinates of a dataset."""
    listed = tuple(given)
    if not listed or len(set(listed)) < len(listed):
        raise ActbenchError(
            f"{setting} are {list(listed)!r}, but must be at least one, each named once"
        )
    return listed


def positive(setting: str, value: float) -> float:
    """Check a number that must be finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ActbenchError(f"{setting} is {value!r}, but must be a finite number above 0")
    return value


def at_least_zero(setting: str, value: float) -> float:
    """Check a number that must be finite and not below 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ActbenchError(f"{setting} is {value!r}, but must be a finite number, at least 0")
    return value


def finite(setting: str, value: float) -> float:
    """Check a number that must be finite."""
    if not math.isfinite(value):
        raise ActbenchError(f"{setting} is {value!r}, but must be a finite number")
    return value


def ordered_pair(setting: str, given: Sequence[float]) -> tuple[float, float]:
    """Check the ends of a range."""
    ends = tuple(given)
    if len(ends) != 2 or not all(math.isfinite(end) for end in ends) or ends[0] > ends[1]:
        raise ActbenchError(
            f"{setting} are {list(ends)!r}, but must be two finite numbers, the smaller first"
        )
    return float(ends[0]), float(ends[1])
