"""The functions that networks are fitted to, as NumPy data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Target:
    """Points of a one-dimensional regression problem.

    Args:
        x: Inputs, shape ``(points,)``, float64.
        noisy: What the networks are trained on, shape ``(points,)``, float64.
        clean: The function without noise, shape ``(points,)``, float64.
    """

    x: NDArray[np.float64]
    noisy: NDArray[np.float64]
    clean: NDArray[np.float64]


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
        The target.
    """
    x = np.linspace(-np.pi, np.pi, points)
    clean = np.sin(x)
    # The study called numpy.random.seed; only the legacy generator gives its stream.
    noise = np.random.RandomState(noise_seed).normal(0.0, noise_std, points)
    return Target(x=x, noisy=clean + noise, clean=clean)
