"""The functions that networks are fitted to, as NumPy data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from actbench.store.errors import ActbenchError, unknown_name

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """Points of a one-dimensional regression problem.

    Args:
        x: Inputs, shape ``(points,)``, float64.
        noisy: What the networks are trained on, shape ``(points,)``, float64.
        clean: The function without noise, shape ``(points,)``, float64.
    """

    x: _Array
    noisy: _Array
    clean: _Array


@dataclass(frozen=True)
class TargetFunction:
    """A function on [-pi, pi] as data; all reach from -1 to 1.

    Args:
        key: Name in code, files and flags, such as ``"absolute_value"``.
        name: Name in print, such as ``"Absolute value"``.
        formula: The function in plain text.
        function: Computes it, from shape ``(points,)`` to the same shape.
        source: Digest of the code of a target of one's own; empty for those shipped.
    """

    key: str
    name: str
    formula: str
    function: Callable[[_Array], _Array]
    source: str = ""


def _cubic(x: _Array) -> _Array:
    u = x / np.pi
    cubic: _Array = 4 * u**3 - 3 * u
    return cubic


_ALL = (
    TargetFunction("sine", "Sine", "sin(x)", np.sin),
    TargetFunction("fast_sine", "Fast sine", "sin(4 x)", lambda x: np.sin(4 * x)),
    TargetFunction("step", "Step", "-1 if x < 0 else 1", lambda x: np.where(x < 0, -1.0, 1.0)),
    TargetFunction(
        "absolute_value",
        "Absolute value",
        "2 |x| / pi - 1",
        lambda x: 2 * np.abs(x) / np.pi - 1,
    ),
    # The Chebyshev polynomial of degree 3: of all cubics with its leading coefficient, the one
    # that stays nearest to zero.
    TargetFunction("polynomial", "Polynomial", "4 u^3 - 3 u with u = x / pi", _cubic),
    TargetFunction("chirp", "Chirp", "sin((x + pi)^2 / 2)", lambda x: np.sin((x + np.pi) ** 2 / 2)),
)

TARGETS: Mapping[str, TargetFunction] = MappingProxyType({t.key: t for t in _ALL})
"""The registry: target key to target, the study's sine first."""


OWN: dict[str, TargetFunction] = {}
"""Targets of one's own that this process has loaded: specification to target."""


def register(target: TargetFunction) -> None:
    """Let a target of one's own be found by its key, until this process ends.

    Args:
        target: Its key must not be one of those shipped.

    Raises:
        ActbenchError: The key is one of those shipped.
    """
    if target.key in TARGETS:
        raise ActbenchError(f"{target.key!r} is a built-in target; choose another key")
    OWN[target.key] = target


def get(key: str) -> TargetFunction:
    """Look up a target by its key.

    Args:
        key: One of the keys of ``TARGETS``, or of a target that was registered.

    Returns:
        The target.

    Raises:
        ActbenchError: The key is not known; the text lists the known and the nearest.
    """
    if key in OWN:
        return OWN[key]
    if key not in TARGETS:
        raise unknown_name("target", key, [*TARGETS, *OWN])
    return TARGETS[key]


def noisy(key: str, points: int = 200, noise_std: float = 0.1, noise_seed: int = 42) -> Target:
    """Return a target's data: the function on [-pi, pi] with normal noise, the same for all.

    Args:
        key: One of the keys of ``TARGETS``.
        points: Number of inputs, evenly spaced on [-pi, pi], both ends included; at least 2.
        noise_std: Standard deviation of the noise, at least 0.
        noise_seed: Seed of NumPy's legacy generator, which the study used.

    Returns:
        The target's points.

    Raises:
        ActbenchError: The key is not known.
    """
    x = np.linspace(-np.pi, np.pi, points)
    clean = get(key).function(x)
    # The study called numpy.random.seed; only the legacy generator gives its stream.
    noise = np.random.RandomState(noise_seed).normal(0.0, noise_std, points)
    return Target(x=x, noisy=clean + noise, clean=clean)


def noisy_sine(points: int = 200, noise_std: float = 0.1, noise_seed: int = 42) -> Target:
    """Return the study's data: one period of a sine with normal noise.

    The defaults give the study's very numbers: the best constant has a mean squared error of
    0.5181537 and the best straight line one of 0.2130014, the study's losses for sigmoid and
    linear (its table of final losses).

    Args:
        points: Number of inputs, evenly spaced on [-pi, pi], both ends included; at least 2.
        noise_std: Standard deviation of the noise, at least 0.
        noise_seed: Seed of NumPy's legacy generator, which the study used.

    Returns:
        The target's points.
    """
    return noisy("sine", points, noise_std, noise_seed)
