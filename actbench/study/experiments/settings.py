"""What the settings of all experiments have in common: checks, a protocol, parts of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast

from actbench.store import datasets, studies
from actbench.store.errors import ActbenchError, require_positive_int, unknown_name
from actbench.study.catalog import activations, initializers, targets

if TYPE_CHECKING:
    import xarray as xr

    from actbench.store.checkpoints import Checkpoint

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of a setting and its value; returns the value as it is kept, or raises."""

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


def _number(needed: str, good: Callable[[float], bool] = lambda value: True) -> Check:
    """Make the check of a number that must be finite, and good."""

    def checked(setting: str, value: float) -> float:
        if not (math.isfinite(value) and good(value)):
            raise ActbenchError(f"{setting} is {value!r}, but must be {needed}")
        return value

    return checked


positive = _number("a finite number above 0", lambda value: value > 0)
at_least_zero = _number("a finite number, at least 0", lambda value: value >= 0)
finite = _number("a finite number")


def ordered_pair(setting: str, given: Sequence[float]) -> tuple[float, float]:
    """Check the ends of a range."""
    ends = tuple(given)
    if len(ends) != 2 or not all(math.isfinite(end) for end in ends) or ends[0] > ends[1]:
        raise ActbenchError(
            f"{setting} are {list(ends)!r}, but must be two finite numbers, the smaller first"
        )
    return float(ends[0]), float(ends[1])


def each(of: str, check: Check) -> Check:
    """Make the check of a list whose values are checked, and named in errors, one by one."""

    def checked(setting: str, given: Sequence[Any]) -> tuple[Any, ...]:
        listed = each_once(setting, given)
        for value in listed:
            check(of, value)
        return listed

    return checked


def at_least(fewest: int) -> Check:
    """Make the check of a whole number that must not be below another one."""

    def checked(setting: str, given: int) -> int:
        if require_positive_int(setting, given) < fewest:
            raise ActbenchError(f"{setting} is {given!r}, but must be at least {fewest}")
        return given

    return checked


def zero_or_positive_int(setting: str, given: int) -> int:
    """Check a whole number whose 0 leaves something out."""
    return given if given == 0 else require_positive_int(setting, given)


def _initializer(setting: str, given: str) -> str:  # noqa: ARG001 - one signature for all
    initializers.get(given)
    return given


def _dtype(setting: str, given: str) -> str:
    from actbench.study.nets.training import DTYPES

    if given not in DTYPES:
        raise unknown_name(setting, given, DTYPES)
    return given


_LOOKUPS: Mapping[str, Callable[[str], Any]] = {
    "activations": activations.get,
    "targets": targets.get,
    "initializer": initializers.get,
    "initializers": initializers.get,
    "trained_initializers": initializers.get,
}
_CHECKS: Mapping[str, Check] = {
    "seeds": lambda _, given: studies.expand(given),
    "initializer": _initializer,
    **{
        name: partial(names, lookup=lookup)
        for name, lookup in _LOOKUPS.items()
        if name != "initializer"
    },
    **dict.fromkeys(("epochs", "depth", "width"), require_positive_int),
    "points": at_least(2),
    "dtype": _dtype,
    "threads": lambda name, given: None if given is None else require_positive_int(name, given),
    "learning_rate": positive,
    **dict.fromkeys(("weight_decay", "noise_std"), at_least_zero),
}
NOT_USED: Mapping[str, Check] = dict.fromkeys(("seeds", "threads"), lambda _, given: given)
"""Of an experiment that has these settings for uniformity alone."""


def checks(**own: Check) -> Mapping[str, Check]:
    """List the checks of an experiment's settings: those of all, and its own by name."""
    return {**_CHECKS, **own}


class Settings:
    """What the frozen dataclass ``Config`` of every experiment shares, by the names of fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    checked: ClassVar[Mapping[str, Check]] = _CHECKS
    not_in_protocol: ClassVar[Sequence[str]] = ()

    def __post_init__(self) -> None:
        known = {field.name for field in fields(self)}
        for name, check in self.checked.items():
            if name in known:
                object.__setattr__(self, name, check(name, getattr(self, name)))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves, also where a count was given."""
        return studies.expand(cast(Any, self).seeds)

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members."""
        config = cast(Any, self)
        return len(config.activations) * len(self.seed_list) * int(config.epochs)

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes, as the protocol has it."""
        return {}

    def protocol(self) -> dict[str, Any]:
        """List every setting that a number depends on, with those that no argument changes.

        Returns:
            Names and values that JSON can hold. ``device`` and ``threads`` are as asked for; what
            was used stands in the dataset's environment.
        """
        kept = [f.name for f in fields(self) if f.name not in self.not_in_protocol]
        given = {name: getattr(self, name) for name in kept}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
        return {**listed, **self.fixed(), **own_code(self)}


def in_parts(
    config: Settings,
    along: Mapping[str, Sequence[Any]],
    part: Callable[..., xr.Dataset],
    checkpoint: Checkpoint,
    named: str = "{}",
) -> xr.Dataset:
    """Compute, or find, a part for each combination of values along dimensions, and join them."""
    steps = config.steps // math.prod(map(len, along.values()))

    def joined(place: tuple[Any, ...], dims: Sequence[str]) -> xr.Dataset:
        if not dims:
            return checkpoint(named.format(*place), steps, partial(part, *place))
        dim, *rest = dims
        return datasets.join([joined((*place, value), rest) for value in along[dim]], dim)

    return joined((), tuple(along))


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
