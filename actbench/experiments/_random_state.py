"""Where a member's random state stands: set for each network, or running on through several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from actbench import activations, initializers, settings
from actbench.errors import ActbenchError
from actbench.networks import Architecture
from actbench.training import Member


def order_of(given: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Check the setting ``drawn_in_order``, which must name all that is trained, or nothing."""
    if not given:
        return ()
    order = settings.names("drawn_in_order", given, activations.get)
    for key in trained:
        if key not in order:
            raise ActbenchError(
                f"activations name {key!r}, but drawn_in_order is {list(order)!r}; name it there "
                "too, where its network is drawn, or leave it out of the activations"
            )
    return order


def stated(order: Sequence[str]) -> str:
    """Say in a protocol where the random state stands before each network."""
    if not order:
        return "reset to the member's seed before each network"
    return f"set to the member's seed once, then running on through {', '.join(order)}"


def members(
    seeds: Sequence[int],
    initializer: str,
    order: Sequence[str],
    key: str,
    architecture: Callable[[str], Architecture],
) -> list[Member]:
    """One member per seed of the network of an activation, behind those that are drawn before."""
    draw = initializers.get(initializer)
    before = tuple(map(architecture, takewhile(lambda other: other != key, order)))
    return [Member(seed, draw, before) for seed in seeds]
