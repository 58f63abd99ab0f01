"""How SELU maps the mean and variance of one layer to the next (Klambauer et al. 2017)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfc, erfcx

from actbench.theory.formulas import SELU_ALPHA, SELU_SCALE, Array


def selu_moments(
    mean: ArrayLike,
    variance: ArrayLike,
    weight_sum: ArrayLike = 0.0,
    weight_square: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """Return mean and variance of a SELU unit from those of what enters it.

    The pre-activation is taken for normal with mean ``mean * weight_sum`` and variance
    ``variance * weight_square`` (Klambauer et al. 2017, eqs. 4 and 5).

    Args:
        mean: Mean of the inputs, any shape.
        variance: Variance of the inputs, above 0, likewise.
        weight_sum: Sum of the unit's weights, omega in the paper.
        weight_square: Sum of their squares, tau in the paper, above 0.

    Returns:
        Mean and variance of the unit's output, in the shape that the arguments broadcast to.
    """
    m = np.asarray(mean, dtype=np.float64) * np.asarray(weight_sum)
    q = np.asarray(variance, dtype=np.float64) * np.asarray(weight_square)
    s = np.sqrt(2 * q)
    density = np.exp(-np.square(m / s))
    # exp(m + q / 2) erfc((m + q) / s) and its like, in a form that can't overflow.
    once, twice = density * erfcx((m + q) / s), density * erfcx((m + 2 * q) / s)
    negative = erfc(m / s)
    spread = np.sqrt(2 * q / math.pi) * density
    first = m * (2 - negative) + SELU_ALPHA * (once - negative) + spread
    second = (np.square(m) + q) * (2 - negative) + m * spread
    second = second + SELU_ALPHA**2 * (twice - 2 * once + negative)
    next_mean = SELU_SCALE * first / 2
    return next_mean, SELU_SCALE**2 * second / 2 - np.square(next_mean)
