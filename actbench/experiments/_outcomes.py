"""What became of a training, read off its loss curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTCOMES = ("converged", "stuck", "unstable", "diverged")
"""What can become of a training, from best to worst."""

_LATE = 0.2  # of the curve, at its end
_WORSE = 2.0  # times the start
_RISE = 0.1  # of the variance, or of the lowest loss where that is larger
_OFTEN = 0.1  # of the late losses
_LEARNED = 0.95  # of the variance; below it a network has learned something

RULES = (
    "The curve is the loss before each update and after the last; 'late' is its last fifth, "
    "'variance' the error of the best constant, 'start' the larger of variance and first loss. In "
    "this order: diverged, if a loss is not finite or all late losses are above twice the start; "
    "unstable, if more than a tenth of the late losses are above the lowest loss before them by "
    "more than a tenth of that loss or of the variance, whichever is larger; stuck, if no late "
    "loss is below 0.95 variance, which means within these epochs; converged otherwise: the loss "
    "may still be falling, and rises that are early, rare or small are no fault"
)
"""How a loss curve is classified, in words."""


def classify(curve: NDArray[np.floating[Any]], variance: float) -> NDArray[np.str_]:
    """Say what became of trainings, from their loss curves alone; ``RULES`` says how.

    Where a training ends decides, as in maps of trainability (Sohl-Dickstein 2024, section 2):
    it may pass through a catapult (Lewkowycz et al. 2020) or run at the edge of stability, where
    a loss falls over long times and not from step to step (Cohen et al. 2021; for Adam, 2022).

    Args:
        curve: Losses, shape ``(..., epochs + 1)``: before each update, and after the last.
        variance: Mean squared error of the best constant, positive.

    Returns:
        One of ``OUTCOMES`` for each curve, shape ``(...)``.
    """
    finite = np.isfinite(curve).all(-1)
    known = np.where(finite[..., None], curve, 0).astype(np.float64)
    late = slice(-math.ceil(_LATE * curve.shape[-1]), None)
    lowest = np.minimum.accumulate(known, -1)
    risen = known - lowest > _RISE * np.maximum(lowest, variance)
    worse = known > _WORSE * np.maximum(known[..., :1], variance)
    diverged = ~finite | worse[..., late].all(-1)
    unstable = risen[..., late].mean(-1) > _OFTEN
    stuck = (known[..., late] >= _LEARNED * variance).all(-1)
    converged, *others = OUTCOMES
    return np.select([diverged, unstable, stuck], others[::-1], converged)


def border(converged: NDArray[np.bool_], learning_rates: Sequence[float]) -> NDArray[np.float64]:
    """Find the border of stability: the largest learning rate that still converges.

    Args:
        converged: Shape ``(..., learning_rate, seed)``.
        learning_rates: Positive.

    Returns:
        The learning rate, or 0 where none converges, shape ``(..., seed)``.
    """
    rates = np.array(learning_rates, dtype=np.float64)[:, None]
    largest: NDArray[np.float64] = np.where(converged, rates, 0.0).max(-2)
    return largest
