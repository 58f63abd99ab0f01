"""Gaussian means of functions that may have a kink at 0, of one variable and of two."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from actbench.store.errors import ActbenchError
from actbench.study.theory.formulas import Array, Function, normal_density

# Gaussian weights end where they fall below 1e-31; what lies beyond is less than rounding.
_REACH = 12.0
# A kinked derivative has two values at 0; a width that no float misses keeps them apart.
_NO_LESS_Q = 1e-200


def _half_line() -> tuple[Array, Array]:
    # z = reach s^2 on Gauss-Legendre nodes s: crowded at 0, where wide pre-activations make an
    # activation steep, and never across 0, where some have a kink.
    s, weight = np.polynomial.legendre.leggauss(200)
    s, weight = (s + 1) / 2, weight / 2
    return _REACH * s**2, weight * 2 * _REACH * s


_Z, _DZ = _half_line()
_NODES: Array = np.concatenate([-_Z[::-1], _Z])
_WEIGHTS: Array = np.concatenate([_DZ[::-1], _DZ]) * normal_density(_NODES)


def gaussian_mean(function: Function, q: ArrayLike) -> Array:
    """Return E[f(sqrt(q) z)] for a standard normal z, shape of ``q``.

    The two half lines are integrated apart, with 200 nodes each, so that a kink at 0 costs
    nothing: for the eight activations, their derivatives and powers of both the error stays below
    1e-10 of the value up to q = 10,000.
    """
    scale = np.sqrt(np.maximum(np.asarray(q, dtype=np.float64), _NO_LESS_Q))
    mean: Array = function(scale[..., None] * _NODES) @ _WEIGHTS
    return mean


def shifted_gaussian_mean(function: Function, mean: ArrayLike, q: ArrayLike) -> Array:
    """Return E[f(z)] for a normal z of given mean and variance, in the shape that both fit.

    As ``gaussian_mean``, with each node weighted by the ratio of the two densities; good while the
    mean is at most about 3 sqrt(q) from 0.
    """
    center, width = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), q)
    shift, square = (center / width)[..., None], (np.square(center) / (2 * width))[..., None]
    return gaussian_mean(lambda z: function(z) * np.exp(shift * z - square), width)


_ANGLES, _ANGLE_WEIGHTS = np.polynomial.legendre.leggauss(80)


def pair_mean(one: Function, other: Function, q: tuple[float, float], c: float) -> float:
    """Return E[f(u1) g(u2)] for centered normal u1, u2 of variances q and correlation c.

    Poole et al. (2016), eq. 5. In polar coordinates kinks at 0 lie on rays, and the four sectors
    between them are integrated apart; this is how Cho and Saul (2009, section 2.1) find the kernel
    of ReLU in closed form.
    """
    if not -1 <= c <= 1:
        raise ActbenchError(f"a correlation is {c!r}, but must lie between -1 and 1")
    between = math.acos(c)
    ends = np.array(
        [-math.pi / 2, between - math.pi / 2, math.pi / 2, between + math.pi / 2, 1.5 * math.pi]
    )
    half = np.diff(ends) / 2
    theta = (ends[:-1] + half)[:, None] + half[:, None] * _ANGLES  # (sector, angle)
    d_theta = half[:, None] * _ANGLE_WEIGHTS / (2 * math.pi)
    radial = _DZ * _Z * np.exp(-0.5 * np.square(_Z))
    scale = [math.sqrt(max(value, _NO_LESS_Q)) for value in q]
    values = one(scale[0] * np.cos(theta)[..., None] * _Z)
    values = values * other(scale[1] * np.cos(theta - between)[..., None] * _Z)
    return float(np.sum((values @ radial) * d_theta))
