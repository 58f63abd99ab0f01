"""What the settings of all experiments have in common, and the protocol they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers, targets

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


_LOOKUPS: Mapping[str, Callable[[str], Any]] = {
    "activations": activations.get,
    "targets": targets.get,
    "initializer": initializers.get,
    "initializers": initializers.get,
}


def own_code(config: object) -> dict[str, dict[str, str]]:
    """State the code of one's own that a configuration names.

    Results of a file that was edited since are then results of another protocol.
    """
    digests: dict[str, str] = {}
    for name, lookup in _LOOKUPS.items():
        keys = getattr(config, name, ())
        for key in (keys,) if isinstance(keys, str) else keys:
            source = lookup(key).source
            if source:
                digests[key] = source
    return {"own_code": digests} if digests else {}


def protocol_of(
    config: Any, fixed: Mapping[str, Any], leave_out: Iterable[str] = ()
) -> dict[str, Any]:
    """List every setting of a configuration, with those that no argument changes."""
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in leave_out}
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    return {**listed, **fixed, **own_code(config)}
