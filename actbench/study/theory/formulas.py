"""The activations in NumPy: functions, derivatives, and the bounds of these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import erfcx, expit, ndtr

from actbench.store.errors import unknown_name

Array: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Formula:
    """An activation for theory: what it is and what its derivative is.

    Args:
        value: The function, elementwise on float64 arrays.
        derivative: Its derivative, likewise. Both may have a kink or a step at 0; one elsewhere
            costs accuracy.
    """

    value: Function
    derivative: Function


Activation: TypeAlias = str | Formula


def normal_density(z: Array) -> Array:
    """Return the density of a standard normal variable, shape as ``z``."""
    density: Array = np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)
    return density


def _logistic_slope(z: Array) -> Array:
    slope: Array = expit(z) * expit(-z)
    return slope


def _selu_parameters() -> tuple[float, float]:
    """Scale and alpha whose fixed point is mean 0, variance 1 (Klambauer et al. 2017, eq. 14)."""
    half, full = erfcx(1 / math.sqrt(2)), erfcx(math.sqrt(2))  # erfc(x) exp(x^2)
    alpha = -math.sqrt(2 / math.pi) / (half - 1)
    inner = 2 * full + math.pi * half**2 - 2 * (2 + math.pi) * half + math.pi + 2
    return (1 - half) * math.sqrt(2 * math.pi / inner), alpha


SELU_SCALE, SELU_ALPHA = _selu_parameters()

FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "linear": Formula(lambda z: z, np.ones_like),
        "sigmoid": Formula(expit, _logistic_slope),
        "tanh": Formula(np.tanh, lambda z: 4 * _logistic_slope(2 * z)),
        "relu": Formula(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
        "leaky_relu": Formula(
            lambda z: np.maximum(z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)
        ),
        "elu": Formula(
            lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
            lambda z: np.exp(np.minimum(z, 0)),
        ),
        "gelu": Formula(lambda z: z * ndtr(z), lambda z: ndtr(z) + z * normal_density(z)),
        "swish": Formula(lambda z: z * expit(z), lambda z: expit(z) + z * _logistic_slope(z)),
        "selu": Formula(
            lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
            lambda z: SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(z, 0))),
        ),
    }
)
"""Every activation: key to function and derivative, from the papers in ``activations``."""


def formula_of(activation: Activation) -> Formula:
    """Find the NumPy form of an activation, by its key unless it is a formula itself."""
    if isinstance(activation, Formula):
        return activation
    if activation not in FORMULAS:
        raise unknown_name("activation", activation, FORMULAS)
    return FORMULAS[activation]


def derivative_bounds(activation: Activation, reach: float = 40.0) -> tuple[float, float]:
    """Find the smallest and largest value that a derivative takes.

    The search goes from ``-reach`` to ``reach``; limits at infinity are seen as what the
    derivative has become there.
    """
    (low, _), (high, _) = extremes(formula_of(activation).derivative, reach)
    return low, high


def extremes(
    function: Function, reach: float = 40.0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Find the smallest value of a function and where it takes it, then the largest."""
    grid = np.linspace(-reach, reach, 8001)  # 0, where kinks are, is one of its points
    on_grid = function(grid)

    def extreme(sign: float) -> tuple[float, float]:
        best = int(np.argmin(sign * on_grid))
        between = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        refined = minimize_scalar(
            lambda z: sign * float(function(np.asarray([z]))[0]),
            bounds=between,
            method="bounded",
            options={"xatol": 1e-12},
        )
        if float(refined.fun) < sign * float(on_grid[best]):
            return sign * float(refined.fun), float(refined.x)
        return float(on_grid[best]), float(grid[best])

    return extreme(1.0), extreme(-1.0)
