"""What is read off the losses and outputs of trained members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
