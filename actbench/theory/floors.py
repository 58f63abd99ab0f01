"""What follows from a target alone: the errors of its constant, its line and its noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def best_constant_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best constant: the variance.

    Args:
        y: Targets, shape ``(points,)``.

    Returns:
        The error.
    """
    return float(np.var(np.asarray(y, dtype=np.float64)))


def best_line_mse(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared error of the best straight line (least squares).

    Args:
        x: Inputs, shape ``(points,)``.
        y: Targets, same shape.

    Returns:
        The error.
    """
    inputs, targets = (np.asarray(values, dtype=np.float64) for values in (x, y))
    line = np.polynomial.Polynomial.fit(inputs, targets, 1)
    return float(np.mean(np.square(targets - line(inputs))))


def best_unit_interval_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best output that stays within (0, 1), as a sigmoid's.

    Args:
        y: Targets, shape ``(points,)``.

    Returns:
        The error, with the nearest allowed value chosen point by point.
    """
    targets = np.asarray(y, dtype=np.float64)
    return float(np.mean(np.square(targets - np.clip(targets, 0, 1))))


def noise_floor(noisy: ArrayLike, clean: ArrayLike) -> float:
    """Return the mean squared error of the function without noise on the noisy targets.

    Args:
        noisy: Targets with noise, shape ``(points,)``.
        clean: Targets without it, same shape.

    Returns:
        The mean square of the noise that was drawn.
    """
    noise = np.asarray(noisy, dtype=np.float64) - np.asarray(clean, dtype=np.float64)
    return float(np.mean(np.square(noise)))
