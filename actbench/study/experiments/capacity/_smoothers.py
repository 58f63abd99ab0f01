"""Classical fits of noisy points, beside which networks are judged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator, make_smoothing_spline

_Array = NDArray[np.float64]

REFERENCES: Mapping[str, str] = {
    "best_constant": "mean of the noisy points",
    "best_line": "least-squares line",
    "smoothing_spline": "natural cubic smoothing spline, its penalty by generalized cross-"
    "validation (Wahba 1990, section 4.3; scipy's make_smoothing_spline)",
    "kernel_ridge": "ridge regression in the space of Gaussian kernels, with a free constant; "
    "width and penalty by leaving one point out (Allen 1974; scipy's RBFInterpolator)",
}
"""Key of each reference, and what it is."""

FEWEST_POINTS = 5
"""A smoothing spline needs as many."""

_WIDTHS = np.geomspace(0.03, 3, 9)  # of the kernel, in units of x
_PENALTIES = np.geomspace(1e-4, 10, 6)


class KernelRidge:
    """Kernel ridge regression on fixed points, all different, for any targets on them."""

    def __init__(self, x: _Array) -> None:
        column, unit = x[:, None], np.eye(len(x))
        # The fit is linear in the targets: row i of the matrix says how fit i is made of them.
        self._fits = [
            RBFInterpolator(column, unit, kernel="gaussian", epsilon=1 / width, smoothing=penalty)(
                column
            )
            for width, penalty in itertools.product(_WIDTHS, _PENALTIES)
        ]

    def fit(self, y: _Array) -> tuple[_Array, float]:
        """Fit targets with the width and penalty that predict points left out best.

        The error at a point that was left out follows from the full fit: its residual over one
        minus its own weight in its fit (Allen 1974, eq. 3). Returned with the fit is its effective
        number of parameters, the trace of the matrix that maps targets to fits.
        """
        best = min(self._fits, key=lambda matrix: float(np.mean(left_out_errors(matrix, y) ** 2)))
        return best @ y, float(np.trace(best))


def left_out_errors(matrix: _Array, y: _Array) -> _Array:
    """Return how far each point is from the fit to all others; the matrix maps targets to fits."""
    errors: _Array = (y - matrix @ y) / (1 - np.diag(matrix))
    return errors


def fit_all(x: _Array, y: _Array, ridge: KernelRidge) -> tuple[dict[str, _Array], float]:
    """Fit points in increasing order by every reference, with the ridge made for these points.

    Beside the fits: the effective number of parameters of the kernel ridge regression.
    """
    kernel, freedom = ridge.fit(y)
    fits = {
        "best_constant": np.full_like(y, y.mean()),
        "best_line": np.polynomial.Polynomial.fit(x, y, 1)(x),
        "smoothing_spline": np.asarray(make_smoothing_spline(x, y)(x), dtype=np.float64),
        "kernel_ridge": kernel,
    }
    return fits, freedom
