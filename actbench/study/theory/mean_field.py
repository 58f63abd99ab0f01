"""The recursions of mean-field theory, where they settle, and where they are critical."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from actbench.study.theory.formulas import Activation, Array, formula_of
from actbench.study.theory.quadrature import gaussian_mean, pair_mean

# Stand for 0 and infinity where a limit is asked for.
_SMALLEST_Q = 1e-24
_LARGEST_Q = 1e24


def chi(activation: Activation, q: ArrayLike, sigma_w2: float) -> Array:
    """Return chi = sigma_w^2 E[phi'(sqrt(q) z)^2] (Poole et al. 2016, eq. 6).

    The mean square of the error signal is multiplied by chi from a layer to the one before it
    (Schoenholz et al. 2017, section 4), so gradients vanish where it is below 1.

    Args:
        activation: Key or formula.
        q: Mean square of the pre-activations, any shape, at least 0.
        sigma_w2: sigma_w^2, as ``Initializer.sigma_w2`` gives it.

    Returns:
        chi, shape of ``q``.
    """
    derivative = formula_of(activation).derivative
    return sigma_w2 * gaussian_mean(lambda z: np.square(derivative(z)), q)


def next_q(activation: Activation, q: ArrayLike, sigma_w2: float, sigma_b2: float) -> Array:
    """Return the next layer's q = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2.

    Poole et al. (2016), eq. 3.

    Args:
        activation: Key or formula.
        q: Mean square of this layer's pre-activations, any shape, at least 0.
        sigma_w2: sigma_w^2 of the next layer.
        sigma_b2: sigma_b^2 of the next layer.

    Returns:
        Mean square of the next layer's pre-activations, shape of ``q``.
    """
    value = formula_of(activation).value
    return sigma_w2 * gaussian_mean(lambda z: np.square(value(z)), q) + sigma_b2


def next_c(activation: Activation, c: float, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """Return the next layer's correlation between the pre-activations of two inputs.

    Poole et al. (2016), eq. 5, for two inputs of one q.

    Args:
        activation: Key or formula.
        c: Correlation in this layer, -1 to 1.
        q: Mean square of this layer's pre-activations, for both inputs.
        sigma_w2: sigma_w^2 of the next layer.
        sigma_b2: sigma_b^2 of the next layer.

    Returns:
        The correlation; 1 stays 1.

    Raises:
        ActbenchError: The correlation is out of range.
    """
    value = formula_of(activation).value
    covariance = sigma_w2 * pair_mean(value, value, (q, q), c) + sigma_b2
    return covariance / (sigma_w2 * pair_mean(value, value, (q, q), 1.0) + sigma_b2)


@dataclass(frozen=True)
class FixedPoint:
    """Where the recursion settles in a deep network, and how many layers it takes.

    Args:
        q: Mean square of the pre-activations that stays; ``inf`` where it grows without end.
        c: Correlation of two inputs that stays.
        chi: chi at q: above 1 gradients explode, below 1 they vanish.
        depth_q: Layers over which q settles, by a factor e.
        depth_c: Layers over which the correlation settles.
        depth_gradient: Layers over which the squared error signal changes by a factor e; a
            negative one means that it grows toward the input. All three are ``inf`` where the
            approach is slower than exponential.
    """

    q: float
    c: float
    chi: float
    depth_q: float
    depth_c: float
    depth_gradient: float


def fixed_point(
    activation: Activation, sigma_w2: float, sigma_b2: float, start: float = 1.0
) -> FixedPoint:
    """Find where q and c settle, and the depth scales of the way there.

    Schoenholz et al. (2017), section 3: xi = -1 / log(slope of the map at its fixed point).

    Args:
        activation: Key or formula.
        sigma_w2: sigma_w^2 of all layers.
        sigma_b2: sigma_b^2 of all layers.
        start: q of the first layer; a map may have several fixed points.

    Returns:
        The fixed point. Where every q is one, as of ReLU at sigma_w^2 = 2, it is ``start``.
    """
    q = _settled_q(activation, sigma_w2, sigma_b2, start)
    at = min(max(q, _SMALLEST_Q), _LARGEST_Q)
    slope = float(chi(activation, at, sigma_w2))
    # Where q is not finite, correlations still settle: the map of c divides by the growth of q.
    growth = float(next_q(activation, at, sigma_w2, sigma_b2)) / at
    c = _settled_c(activation, at, sigma_w2, sigma_b2, slope / growth)
    derivative = formula_of(activation).derivative
    slope_c = sigma_w2 * pair_mean(derivative, derivative, (at, at), c) / growth
    return FixedPoint(
        q=q,
        c=c,
        chi=slope,
        depth_q=_depth(q_slope(activation, at, sigma_w2)),
        depth_c=_depth(slope_c),
        depth_gradient=_depth(slope),
    )


def q_slope(activation: Activation, q: float, sigma_w2: float) -> float:
    """Return how the next layer's q changes with this one's, d q_next / d q.

    As E[phi phi' u] sigma_w^2 / q, which by partial integration is the form with a second
    derivative of Schoenholz et al. (2017), section 3, but needs none.

    Args:
        activation: Key or formula.
        q: Mean square of this layer's pre-activations.
        sigma_w2: sigma_w^2 of the next layer.

    Returns:
        The slope; a fixed point is stable where it is below 1.
    """
    formula = formula_of(activation)
    at = min(max(q, _SMALLEST_Q), _LARGEST_Q)
    mean = gaussian_mean(lambda u: formula.value(u) * formula.derivative(u) * u, at)
    return sigma_w2 * float(mean) / at


# Rounding of the quadrature: a slope this near to 1 is 1.
_ROUNDING = 1e-9


def _depth(slope: float) -> float:
    if abs(slope - 1) < _ROUNDING:
        return math.inf
    return 0.0 if slope <= 0 else -1 / math.log(slope)


def _settled_q(activation: Activation, sigma_w2: float, sigma_b2: float, start: float) -> float:
    def growth(log_q: float) -> float:
        q = math.exp(log_q)
        return float(next_q(activation, q, sigma_w2, sigma_b2)) / q - 1

    here = math.log(start)
    if abs(growth(here)) < _ROUNDING:
        return start
    rising = growth(here) > 0
    end = math.log(_LARGEST_Q if rising else _SMALLEST_Q)
    steps = np.linspace(here, end, 200)
    for before, after in pairwise(steps):
        if (growth(after) > 0) != rising and abs(growth(after)) >= _ROUNDING:
            return math.exp(brentq(growth, before, after, xtol=1e-13))
    return math.inf if rising else 0.0


def _settled_c(
    activation: Activation, q: float, sigma_w2: float, sigma_b2: float, slope_at_1: float
) -> float:
    if slope_at_1 <= 1 + _ROUNDING:
        return 1.0

    def change(c: float) -> float:
        return next_c(activation, c, q, sigma_w2, sigma_b2) - c

    # Just below 1 the map lies under the diagonal, and at 0 it never does.
    if change(0.0) < _ROUNDING:
        return 0.0
    return float(brentq(change, 0.0, 1 - 1e-6, xtol=1e-13))


@dataclass(frozen=True)
class Critical:
    """An initialization under which the error signal neither vanishes nor explodes: chi = 1.

    Args:
        sigma_w2: sigma_w^2.
        sigma_b2: sigma_b^2.
        q: The fixed point at which chi is 1; ``None`` where every q is one, 0 for the limit.
        q_slope: d q_next / d q there: above 1 a small deviation of q grows from layer to layer,
            and the network leaves the critical point.
    """

    sigma_w2: float
    sigma_b2: float
    q: float | None
    q_slope: float


def critical_at(activation: Activation, q: float) -> Critical:
    """Return the initialization with a fixed point at q where chi is 1.

    Args:
        activation: Key or formula.
        q: Mean square of the pre-activations, above 0.

    Returns:
        The point of the critical line (Poole et al. 2016, figure 1); its sigma_b^2 may be
        negative, and then no network has it. Where the derivative is 0 wherever pre-activations
        lie, there is none: sigma_w^2 is infinite and the rest NaN.
    """
    slope = float(chi(activation, q, 1.0))
    if slope == 0:
        return Critical(math.inf, math.nan, q, math.nan)
    sigma_w2 = 1 / slope
    sigma_b2 = q - float(next_q(activation, q, sigma_w2, 0.0))
    return Critical(sigma_w2, sigma_b2, q, q_slope(activation, q, sigma_w2))


def critical(activation: Activation, sigma_b2: float = 0.0) -> tuple[Critical, ...]:
    """Find every critical initialization with a given variance of the biases.

    Args:
        activation: Key or formula.
        sigma_b2: sigma_b^2, at least 0.

    Returns:
        Critical points in ascending q between 1e-4 and 1e4, and the limit q -> 0 where the
        activation has one. Empty where there is none, as for ReLU with biases. ReLU and its like
        have sigma_w^2 = 2 / (1 + slope^2) for every q (He et al. 2015, eq. 10 and section 2.2).
    """
    grid = np.geomspace(1e-4, 1e4, 161)
    excess = np.array([critical_at(activation, q).sigma_b2 for q in grid]) - sigma_b2
    if np.all(np.abs(excess) < _ROUNDING * grid):
        return (Critical(critical_at(activation, 1.0).sigma_w2, sigma_b2, None, 1.0),)
    found: list[Critical] = []
    formula = formula_of(activation)
    if sigma_b2 == 0 and float(formula.value(np.zeros(1))[0]) == 0:
        at_zero = critical_at(activation, _SMALLEST_Q)
        if math.isfinite(at_zero.sigma_w2):
            found.append(Critical(at_zero.sigma_w2, 0.0, 0.0, at_zero.q_slope))
    for low, high in pairwise(grid):
        ends = [critical_at(activation, q).sigma_b2 - sigma_b2 for q in (low, high)]
        if ends[0] * ends[1] < 0:
            q = brentq(
                lambda q: critical_at(activation, q).sigma_b2 - sigma_b2, low, high, xtol=1e-12
            )
            found.append(critical_at(activation, q))
    return tuple(found)
