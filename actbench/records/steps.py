"""Numbers of any length reduced to a digest and a few of them. Loads no torch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actbench.records import Step

if TYPE_CHECKING:
    from torch import Tensor

_KEPT = 4

Numbers = NDArray[np.floating] | NDArray[np.integer]


def step(name: str, numbers: Tensor | Numbers, epoch: int | None = None, keep: int = _KEPT) -> Step:
    """Reduce numbers to a digest and a few of them."""
    array = numbers if isinstance(numbers, np.ndarray) else numbers.detach().cpu().numpy()
    flat = np.ascontiguousarray(array).ravel()
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    places = range(0, len(flat), max(1, len(flat) // keep))
    kept = [float(flat[place]) for place in places][:keep]
    return Step(
        name=name,
        epoch=epoch,
        count=len(flat),
        digest=hashlib.sha256(little.tobytes()).hexdigest()[:16],
        values=[value if np.isfinite(value) else None for value in kept],
    )
