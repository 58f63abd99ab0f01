"""What is read off the losses of trained members, and where their random state stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers
from actbench.study.experiments import settings
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member


def mean_square_error(prediction: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far predictions are from their targets.

    Args:
        prediction: Outputs, shape ``(..., points)``.
        target: Of a shape that fits it.

    Returns:
        Mean squared errors, float64, shape ``(...)``.
    """
    # A diverged member overflows on its way to infinity, which is what it should report.
    with np.errstate(over="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.square(prediction.astype(np.float64) - target).mean(-1)
    return result


def first_non_finite(loss: NDArray[Any]) -> NDArray[np.int32]:
    """Find when members diverged.

    Args:
        loss: Losses, shape ``(..., epoch)``.

    Returns:
        The first epoch with a loss that is not finite, -1 where there is none, shape ``(...)``.
    """
    bad = ~np.isfinite(loss)
    return np.where(bad.any(-1), bad.argmax(-1), -1).astype(np.int32)


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
