"""The recursions of mean-field theory: where they settle, are critical, and lead in a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from actbench.store.errors import ActbenchError
from actbench.study.catalog.initializers import Initializer
from actbench.study.theory.formulas import Activation, Array, formula_of
from actbench.study.theory.quadrature import gaussian_mean, pair_mean

# Stand for 0 and infinity where a limit is asked for.
_SMALLEST_Q = 1e-24
_LARGEST_Q = 1e24


def chi(activation: Activation, q: ArrayLike, sigma_w2: float) -> Array:
    """Return chi = sigma_w^2 E[phi'(sqrt(q) z)^2], shape of ``q`` (Poole et al. 2016, eq. 6).

    The mean square of the error signal is multiplied by chi from a layer to the one before it
    (Schoenholz et al. 2017, section 4), so gradients vanish where it is below 1.
    """
    derivative = formula_of(activation).derivative
    return sigma_w2 * gaussian_mean(lambda z: np.square(derivative(z)), q)


def next_q(activation: Activation, q: ArrayLike, sigma_w2: float, sigma_b2: float) -> Array:
    """Return the next layer's q = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2, shape of ``q``.

    Poole et al. (2016), eq. 3; q is the mean square of a layer's pre-activations.
    """
    value = formula_of(activation).value
    return sigma_w2 * gaussian_mean(lambda z: np.square(value(z)), q) + sigma_b2


def next_c(activation: Activation, c: float, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """Return the next layer's correlation between the pre-activations of two inputs.

    Poole et al. (2016), eq. 5, for two inputs of one q; 1 stays 1.
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
    """Find where q and c settle, from a first layer's q on, and the depth scales of the way there.

    Schoenholz et al. (2017), section 3: xi = -1 / log(slope of the map at its fixed point). Where
    every q is one, as of ReLU at sigma_w^2 = 2, it is ``start``.
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
    """Return d q_next / d q, below 1 where a fixed point is stable.

    As E[phi phi' u] sigma_w^2 / q, which by partial integration is the form with a second
    derivative of Schoenholz et al. (2017), section 3, but needs none.
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

    The point of the critical line (Poole et al. 2016, figure 1); its sigma_b^2 may be negative,
    and then no network has it. Where the derivative is 0 wherever pre-activations lie, there is
    none: sigma_w^2 is infinite and the rest NaN.
    """
    slope = float(chi(activation, q, 1.0))
    if slope == 0:
        return Critical(math.inf, math.nan, q, math.nan)
    sigma_w2 = 1 / slope
    sigma_b2 = q - float(next_q(activation, q, sigma_w2, 0.0))
    return Critical(sigma_w2, sigma_b2, q, q_slope(activation, q, sigma_w2))


def critical(activation: Activation, sigma_b2: float = 0.0) -> tuple[Critical, ...]:
    """Find every critical initialization with a given variance of the biases.

    In ascending q between 1e-4 and 1e4, and the limit q -> 0 where the activation has one. None
    for some, as for ReLU with biases. ReLU and its like have sigma_w^2 = 2 / (1 + slope^2) for
    every q (He et al. 2015, eq. 10 and section 2.2).
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


@dataclass(frozen=True)
class Prediction:
    """What mean-field theory expects of every layer of one network shape.

    Args:
        q: Mean square of the pre-activations, averaged over inputs, shape ``(depth + 1,)``,
            layer 1 (nearest the input) first, the output layer last.
        error_signal_rms: RMS of d loss / d z, shape ``(depth + 1,)``, for a loss that is the
            mean of the outputs.
        weight_gradient_rms: RMS of d loss / d W, shape ``(depth + 1,)``, if all inputs pointed
            the same way; an upper bound otherwise (Cauchy-Schwarz).
    """

    q: Array
    error_signal_rms: Array
    weight_gradient_rms: Array


def predict(
    activation: Activation,
    initializer: Initializer,
    x: ArrayLike,
    *,
    depth: int,
    width: int,
    first_q: ArrayLike | None = None,
) -> Prediction:
    """Follow the recursions through a network with one input and one linear output.

    Each of ``x (points,)`` has its own q; that of the first layer may be given where it was
    measured. Forward: Poole et al. (2016), eq. 3. Backward, from layer l + 1 of n units and weights
    of variance v to layer l: E[delta_l^2] = n v E[phi'^2] E[delta_(l+1)^2] (Schoenholz et al. 2017,
    section 4), which for equal widths is a factor of chi.
    """
    formula = formula_of(activation)
    inputs = np.asarray(x, dtype=np.float64)
    fans = [(1, width), *[(width, width)] * (depth - 1), (width, 1)]
    scale = initializer.sigma_w2(*fans[0])
    q = [scale * np.square(inputs) + initializer.sigma_b2(fans[0][0])]
    if first_q is not None:
        q[0] = np.broadcast_to(np.asarray(first_q, dtype=np.float64), inputs.shape)
    outputs = [np.square(inputs)]  # mean square of what enters each layer
    for fan_in, fan_out in fans[1:]:
        outputs.append(gaussian_mean(lambda z: np.square(formula.value(z)), q[-1]))
        q.append(initializer.sigma_w2(fan_in, fan_out) * outputs[-1] + initializer.sigma_b2(fan_in))
    errors = [np.full(inputs.shape, 1 / inputs.size**2)]
    for (fan_in, fan_out), at in zip(reversed(fans[1:]), reversed(q[:-1]), strict=True):
        passed = fan_out * initializer.weight_variance(fan_in, fan_out) * errors[0]
        errors.insert(0, passed * chi(formula, at, 1.0))
    aligned = [np.sum(np.sqrt(e * a)) for e, a in zip(errors, outputs, strict=True)]
    return Prediction(
        q=np.array([row.mean() for row in q]),
        error_signal_rms=np.sqrt([row.mean() for row in errors]),
        weight_gradient_rms=np.array(aligned),
    )


def decades_per_layer(rms: ArrayLike, first: int, last: int) -> float:
    """Return by how many powers of ten a signal grows per layer toward the output.

    From the two ends, as the best estimate of the drift of a random walk uses nothing else. Layer 1
    is the first of ``rms``, nearest the input.
    """
    values = np.asarray(rms, dtype=np.float64)
    if not 1 <= first < last <= len(values):
        raise ActbenchError(
            f"layers {first} to {last} were asked for, but must rise within 1 to {len(values)}"
        )
    ends = np.log10(values[[first - 1, last - 1]])
    return float(ends[1] - ends[0]) / (last - first)


def slope_spread(
    activation: Activation, q: ArrayLike, *, width: int, first: int, last: int
) -> float:
    """Return the standard deviation over networks of one network's decades per layer.

    To leading order in 1 / width: a layer multiplies the squared norm of the error signal by
    a mean of ``width`` terms phi'(z)^2 g^2 with g normal and independent of z, whose relative
    variance is (3 E[phi'^4] / E[phi'^2]^2 - 1) / width, and the logarithms add up as a random walk.
    The bracket is 5 for ReLU and 2 for linear (Hanin and Nica 2020, theorem 1). Fluctuations of
    q itself, one per layer of one input, which move chi, are left out.
    """
    derivative = formula_of(activation).derivative
    # The step from layer l + 1 to l passes phi' at layer l.
    at = np.asarray(q, dtype=np.float64)[first - 1 : last - 1]
    fourth = gaussian_mean(lambda z: derivative(z) ** 4, at)
    second = gaussian_mean(lambda z: derivative(z) ** 2, at)
    variance_of_ln = float(np.sum(3 * fourth / second**2 - 1)) / width
    return math.sqrt(variance_of_ln) / (2 * math.log(10) * (last - first))
