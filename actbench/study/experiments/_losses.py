"""What is read off the losses of trained members, and what sentences say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.statistics import quantiles

if TYPE_CHECKING:
    import xarray as xr


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


def medians(values: xr.DataArray) -> dict[str, float]:
    """Return the median over seeds by activation; diverged seeds count as infinite."""
    return {
        str(key): quantiles(values.sel(activation=key).to_numpy())[1]
        for key in values["activation"].to_numpy()
    }


def noise_of(ds: xr.Dataset) -> float:
    """Return the mean square of the noise on a dataset's targets."""
    return float(np.mean(np.square((ds["target_noisy"] - ds["target_clean"]).to_numpy())))
