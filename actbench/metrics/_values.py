"""What a metric returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.activations import ACTIVATIONS

if TYPE_CHECKING:
    import xarray as xr

Values: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[..., Values]


def catalogued(dataset: xr.Dataset) -> list[str]:
    """Return the activations of a dataset that are the study's, and no code of one's own."""
    return [str(a) for a in dataset["activation"].to_numpy() if str(a) in ACTIVATIONS]


def values(
    array: xr.DataArray, *, keep_shape: bool = False, diverged: float | None = None
) -> Values:
    """Return an array's numbers in float64, flat unless told otherwise.

    Whether a run that diverges ends in an overflow or in what is not a number is chance: where a
    metric says what divergence counts as, ``diverged`` stands for both.
    """
    numbers = array.to_numpy().astype(np.float64)
    if diverged is not None:
        numbers = np.where(np.isfinite(numbers), numbers, diverged)
    return numbers if keep_shape else np.atleast_1d(numbers).ravel()
