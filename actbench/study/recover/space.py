"""The space of a search: which networks a protocol draws, and what it reads off them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

from actbench.study.recover.schema import GradientSearch, Search

_GRADIENT_READINGS = ("bias", "loss", "measure", "layers")
"""Axes that are decided after a network is drawn, the last one changing fastest."""
TRAINING_READINGS = (
    *("bias", "learning_rate", "weight_decay", "epochs", "noise_seed", "dtype", "read"),
)
"""The same for networks that are trained."""
MORE_HIDDEN = {"hidden": 0, "linear": -1, "square": 1}
"""By what a depth counts, how many hidden layers there are more than it says."""
_CHANCE = ("seed", "reset", "order", "construction", "depths", "outer_loop", "drawn")

_Choices: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a network is fed."""

    kind: str  # `normal`, `uniform`, `evenly_spaced`, or `none` where the stream is not asked
    points: int
    drawn: str  # as the axis has it, or `apart` from a stream of its own, or `never`


@dataclass(frozen=True)
class Draw:
    """One network, told by all that decides its random numbers."""

    seed: int  # to which the stream is set before the first model
    construction: str
    inputs: Inputs
    width: int
    # Hidden layers and initializer of every network that the stream has drawn, this one last.
    models: tuple[tuple[int, str], ...]

    @property
    def hidden(self) -> int:
        """Hidden layers of the network."""
        return self.models[-1][0]

    @property
    def layers_drawn(self) -> int:
        """Layers that the stream draws to get here, which is what it costs."""
        return sum(hidden + 1 for hidden, _ in self.models)


@dataclass(frozen=True)
class _Outer:
    """The choices of a protocol that decide what is drawn."""

    choices: _Choices  # axis to choice; of several protocols that draw the same, the first
    draws: tuple[Draw, ...]

    @property
    def settings(self) -> str:
        """The choices that are no matter of chance, as one word."""
        return repr([(k, v) for k, v in self.choices.items() if k not in _CHANCE])


@dataclass(frozen=True)
class Plan:
    """A space, laid out for searching."""

    search: Search
    outers: tuple[_Outer, ...]  # every different drawing, those that share a stream side by side
    readings: tuple[_Choices, ...]

    @property
    def size(self) -> int:
        """How many different protocols there are."""
        return len(self.outers) * len(self.readings)

    def protocol(self, outer: int, reading: int) -> dict[str, Any]:
        """Return one protocol."""
        chosen = {**self.outers[outer].choices, **self.readings[reading]}
        return {name: chosen[name] for name in self.search.axes}


def lay_out(search: Search) -> Plan:
    """List the protocols of a space, each different drawing once."""
    reading_axes = _GRADIENT_READINGS if isinstance(search, GradientSearch) else TRAINING_READINGS
    outer_axes = [name for name in search.axes if name not in reading_axes]
    # The axes of chance change fastest, so that what shares a stream lies side by side.
    outer_axes.sort(key=lambda name: name in {"reset", "order", "depths", "outer_loop"})
    different: dict[tuple[Draw, ...], _Outer] = {}
    for choices in _product(search, outer_axes):
        draws = tuple(_draws(search, choices))
        different.setdefault(draws, _Outer(choices, draws))
    readings = tuple(_product(search, list(reading_axes)))
    return Plan(search, tuple(different.values()), readings)


def same_drawings(plan: Plan, outers: Set[int]) -> dict[int, list[_Choices]]:
    """Find all choices that draw the very networks of some drawings."""
    wanted = {plan.outers[place].draws: place for place in outers}
    found: dict[int, list[_Choices]] = {place: [] for place in outers}
    for choices in _product(plan.search, list(plan.outers[0].choices)):
        place = wanted.get(tuple(_draws(plan.search, choices)))
        if place is not None:
            found[place].append(choices)
    return found


def _product(search: Search, names: list[str]) -> Iterator[dict[str, Any]]:
    for combination in itertools.product(*(search.axes[name] for name in names)):
        yield dict(zip(names, combination, strict=True))


def _draws(search: Search, choices: _Choices) -> Iterator[Draw]:
    rule = choices["initializer"]
    for number in search.number:
        models = _models(
            (number.activation, number.depth),
            reset=choices["reset"],
            order=choices["order"],
            depths=choices.get("depths", (number.depth,)),
            outer_loop=choices.get("outer_loop", "depth"),
            rule=(("else", rule),) if isinstance(rule, str) else tuple(rule.items()),
            more=MORE_HIDDEN[choices["depth_counts"]],
        )
        silent = all(key == "torch_default" for _, key in models)
        yield Draw(
            seed=choices["seed"],
            construction="all_first" if silent else choices["construction"],
            inputs=_inputs(choices, len(models)),
            width=search.width,
            models=models,
        )


@functools.cache
def _models(
    last: tuple[str, int],
    *,
    reset: str,
    order: tuple[str, ...],
    depths: tuple[int, ...],
    outer_loop: str,
    rule: tuple[tuple[str, str], ...],
    more: int,
) -> tuple[tuple[int, str], ...]:
    """Hidden layers and initializer of every network that a stream draws up to one."""
    if reset == "per_model":
        networks = [last]
    elif outer_loop == "depth":
        networks = [(activation, depth) for depth in depths for activation in order]
    else:
        networks = [(activation, depth) for activation in order for depth in depths]
    initializers = dict(rule)
    return tuple(
        (depth + more, initializers.get(activation, initializers["else"]))
        for activation, depth in networks[: networks.index(last) + 1]
    )


def _inputs(choices: _Choices, models: int) -> Inputs:
    kind = choices.get("input", "none")
    points = choices.get("points", 0)
    if kind in {"none", "evenly_spaced"}:
        return Inputs(kind, points, "never")
    drawn = choices["drawn"]
    if drawn == "once" and choices["reset"] == "per_model":
        drawn = "apart"
    elif drawn == "once" and models == 1:
        drawn = "before_model"
    return Inputs(kind, points, drawn)
