"""How networks are trained: the schedule, and what can be run at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.errors import ActbenchError, require_positive_int, unknown_name

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def require_runnable(points: int, dtype: str, threads: int | None, fewest_points: int = 2) -> None:
    """Check what every experiment that trains must be given to run at all.

    Args:
        points: Inputs of the batch.
        dtype: Name of a floating-point type.
        threads: CPU threads; ``None`` leaves the choice open.
        fewest_points: How few inputs will do.

    Raises:
        ActbenchError: One of them is out of range or not known.
    """
    if require_positive_int("points", points) < fewest_points:
        raise ActbenchError(f"points is {points!r}, but must be at least {fewest_points}")
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    if threads is not None:
        require_positive_int("threads", threads)


@dataclass(frozen=True)
class Schedule:
    """How every member is trained: Adam on the mean squared error of the full batch.

    Args:
        epochs: Updates, at least 1.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        adam_eps: What Adam adds to the root of the second moment before it divides by it.
        recorded_epochs: Epochs, in increasing order, at which the recorder is asked what to keep:
            before the update of that epoch, or after the last one where it is ``epochs``.
        device: Where to train.
        dtype: ``"float32"`` or ``"float64"``; initial weights are drawn in float32 either way.
    """

    epochs: int = 500
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    adam_eps: float = 1e-8
    recorded_epochs: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: str = "float32"


def column(values: NDArray[np.float64], schedule: Schedule) -> Tensor:
    """Return ``(..., points)`` as the batch that a schedule trains on, ``(..., points, 1)``."""
    return torch.tensor(values, dtype=DTYPES[schedule.dtype], device=schedule.device)[..., None]
