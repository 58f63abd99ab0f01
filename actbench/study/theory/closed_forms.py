"""Closed forms: who is born dead, SELU's map of moments, the floors of a target."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfc, erfcx

from actbench.store.errors import require_positive_int
from actbench.study.theory.formulas import SELU_ALPHA, SELU_SCALE, Array


def dead_at_one_input(width: int, depth: int) -> float:
    """Return the probability that a layer's units are all zero on one given input.

    Weights from distributions that are symmetric about 0 make every unit of a layer negative with
    probability 1/2, independently of the others, as long as anything but 0 enters it. So each
    layer survives with probability 1 - 2^-width, and all do with (1 - 2^-width)^depth. This holds
    whatever the biases, if they too are symmetric or 0, and it bounds the probability of dying on
    all inputs from above (Lu et al. 2019, upper bound for symmetric initializations).
    """
    require_positive_int("width", width)
    return float(1 - (1 - 2.0**-width) ** require_positive_int("depth", depth))


def born_dead_bounds(width: int, depth: int) -> tuple[float, float]:
    """Return bounds of the probability that a network of one input is dead on both sides of 0.

    With zero biases the network only scales with a positive input, so that two inputs, 1 and -1,
    stand for all. Behind layer 1 no unit is active on both: the two vectors of activations are
    orthogonal. Then a further layer dies on both with probability 4^-width, and on one of them, or
    keeps a single unit that sees both, with 2 x 2^-width + (width - 2) 4^-width; from there on one
    direction is left, and dies with 2^-width per layer. Angles below a right one make joint death
    likelier, so following these three states gives a lower bound (Lu et al. 2019, for one
    input and zero biases), which is exact for two hidden layers, where the angle is right, and
    for width 1. The upper bound holds for any number of inputs, and for biases from symmetric
    distributions.
    """
    upper = dead_at_one_input(width, depth)
    all_negative = 2.0**-width
    two_directions, one_direction = 1 - 2 * all_negative, 2 * all_negative
    for _ in range(depth - 1):
        leaves = (2 * all_negative + (width - 2) * all_negative**2) * two_directions
        dies = all_negative * one_direction
        two_directions -= leaves + all_negative**2 * two_directions
        one_direction += leaves - dies
    return 1 - two_directions - one_direction, upper


def selu_moments(
    mean: ArrayLike,
    variance: ArrayLike,
    weight_sum: ArrayLike = 0.0,
    weight_square: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """Return mean and variance of a SELU unit from those of what enters it.

    The pre-activation is taken for normal with mean ``mean * weight_sum`` and variance
    ``variance * weight_square`` (Klambauer et al. 2017, eqs. 4 and 5): the sum of the unit's
    weights, omega in the paper, and of their squares, tau. Of any shapes that fit each other.
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


def best_constant_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best constant: the variance."""
    return float(np.var(np.asarray(y, dtype=np.float64)))


def best_line_mse(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared error of the best straight line (least squares)."""
    inputs, targets = (np.asarray(values, dtype=np.float64) for values in (x, y))
    line = np.polynomial.Polynomial.fit(inputs, targets, 1)
    return float(np.mean(np.square(targets - line(inputs))))


def best_unit_interval_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best output within (0, 1), as a sigmoid's."""
    targets = np.asarray(y, dtype=np.float64)
    return float(np.mean(np.square(targets - np.clip(targets, 0, 1))))


def noise_floor(noisy: ArrayLike, clean: ArrayLike) -> float:
    """Return the mean squared error of the function without noise: the mean square of the noise."""
    noise = np.asarray(noisy, dtype=np.float64) - np.asarray(clean, dtype=np.float64)
    return float(np.mean(np.square(noise)))
