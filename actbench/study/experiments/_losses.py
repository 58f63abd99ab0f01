"""What is read off the losses of trained members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_square_error(prediction: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean squared errors ``(...)`` of outputs ``(..., points)``."""
    # A diverged member overflows on its way to infinity, which is what it should report.
    with np.errstate(over="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.square(prediction.astype(np.float64) - target).mean(-1)
    return result


def first_non_finite(loss: NDArray[Any]) -> NDArray[np.int32]:
    """Return the first epoch of losses ``(..., epoch)`` that is not finite, -1 if there is none."""
    bad = ~np.isfinite(loss)
    return np.where(bad.any(-1), bad.argmax(-1), -1).astype(np.int32)
