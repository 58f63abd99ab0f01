"""What theory says without torch: activations in NumPy, floors of a target, mean-field predictions.

Mean-field theory follows one number per layer, q, the mean square of the pre-activations of a
wide random network (Poole et al. 2016), and from it the size of the error signal that comes back
(Schoenholz et al. 2017). It knows nothing of torch, so it can contradict a measurement.

Longer than other modules of the package because it is one argument, from a function and its
derivative to gradients layer by layer, and each step is of use alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, ndtr

from actbench.errors import ActbenchError, unknown_name
from actbench.initializers import Initializer

Array: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Formula:
    """An activation for theory: what it is and what its derivative is.

    Args:
        value: The function, elementwise on float64 arrays.
        derivative: Its derivative, likewise. Both may have a kink or a step at 0; one elsewhere
            costs accuracy.
    """

    value: Function
    derivative: Function


Activation: TypeAlias = str | Formula


def _normal_density(z: Array) -> Array:
    density: Array = np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)
    return density


def _logistic_slope(z: Array) -> Array:
    slope: Array = expit(z) * expit(-z)
    return slope


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "linear": Formula(lambda z: z, np.ones_like),
        "sigmoid": Formula(expit, _logistic_slope),
        "tanh": Formula(np.tanh, lambda z: 4 * _logistic_slope(2 * z)),
        "relu": Formula(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
        "leaky_relu": Formula(
            lambda z: np.maximum(z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)
        ),
        "elu": Formula(
            lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
            lambda z: np.exp(np.minimum(z, 0)),
        ),
        "gelu": Formula(lambda z: z * ndtr(z), lambda z: ndtr(z) + z * _normal_density(z)),
        "swish": Formula(lambda z: z * expit(z), lambda z: expit(z) + z * _logistic_slope(z)),
    }
)
"""The eight activations: key to function and derivative, from the papers in ``activations``."""


def formula_of(activation: Activation) -> Formula:
    """Find the NumPy form of an activation.

    Args:
        activation: A key of ``FORMULAS``, or a formula of one's own.

    Returns:
        The formula.

    Raises:
        ActbenchError: The key is not known.
    """
    if isinstance(activation, Formula):
        return activation
    if activation not in FORMULAS:
        raise unknown_name("activation", activation, FORMULAS)
    return FORMULAS[activation]


def derivative_bounds(activation: Activation, reach: float = 40.0) -> tuple[float, float]:
    """Find the smallest and largest value that a derivative takes.

    Args:
        activation: Key or formula.
        reach: The search goes from ``-reach`` to ``reach``, above 0; limits at infinity are seen
            as what the derivative has become there.

    Returns:
        Both values, found on a grid and then refined between its points.
    """
    derivative = formula_of(activation).derivative
    grid = np.linspace(-reach, reach, 8001)  # 0, where kinks are, is one of its points
    on_grid = derivative(grid)

    def extreme(sign: float) -> float:
        best = int(np.argmin(sign * on_grid))
        between = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        refined = minimize_scalar(
            lambda z: sign * float(derivative(np.asarray([z]))[0]),
            bounds=between,
            method="bounded",
            options={"xatol": 1e-12},
        )
        return sign * min(float(refined.fun), sign * float(on_grid[best]))

    return extreme(1.0), extreme(-1.0)


def best_constant_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best constant: the variance.

    Args:
        y: Targets, shape ``(points,)``.

    Returns:
        The error.
    """
    return float(np.var(np.asarray(y, dtype=np.float64)))


def best_line_mse(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared error of the best straight line (least squares).

    Args:
        x: Inputs, shape ``(points,)``.
        y: Targets, same shape.

    Returns:
        The error.
    """
    inputs, targets = (np.asarray(values, dtype=np.float64) for values in (x, y))
    line = np.polynomial.Polynomial.fit(inputs, targets, 1)
    return float(np.mean(np.square(targets - line(inputs))))


def best_unit_interval_mse(y: ArrayLike) -> float:
    """Return the mean squared error of the best output that stays within (0, 1), as a sigmoid's.

    Args:
        y: Targets, shape ``(points,)``.

    Returns:
        The error, with the nearest allowed value chosen point by point.
    """
    targets = np.asarray(y, dtype=np.float64)
    return float(np.mean(np.square(targets - np.clip(targets, 0, 1))))


def noise_floor(noisy: ArrayLike, clean: ArrayLike) -> float:
    """Return the mean squared error of the function without noise on the noisy targets.

    Args:
        noisy: Targets with noise, shape ``(points,)``.
        clean: Targets without it, same shape.

    Returns:
        The mean square of the noise that was drawn.
    """
    noise = np.asarray(noisy, dtype=np.float64) - np.asarray(clean, dtype=np.float64)
    return float(np.mean(np.square(noise)))


# Gaussian weights end where they fall below 1e-31; what lies beyond is less than rounding.
_REACH = 12.0
# Stand for 0 and infinity where a limit is asked for.
_SMALLEST_Q = 1e-24
_LARGEST_Q = 1e24
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
_WEIGHTS: Array = np.concatenate([_DZ[::-1], _DZ]) * _normal_density(_NODES)


def gaussian_mean(function: Function, q: ArrayLike) -> Array:
    """Return E[f(sqrt(q) z)] for a standard normal z.

    The two half lines are integrated apart, with 200 nodes each, so that a kink at 0 costs
    nothing: for the eight activations, their derivatives and powers of both the error stays below
    1e-10 of the value up to q = 10,000.

    Args:
        function: f, elementwise.
        q: Variances, any shape, at least 0.

    Returns:
        Means, shape of ``q``.
    """
    scale = np.sqrt(np.maximum(np.asarray(q, dtype=np.float64), _NO_LESS_Q))
    mean: Array = function(scale[..., None] * _NODES) @ _WEIGHTS
    return mean


_ANGLES, _ANGLE_WEIGHTS = np.polynomial.legendre.leggauss(80)


def pair_mean(one: Function, other: Function, q: tuple[float, float], c: float) -> float:
    """Return E[f(u1) g(u2)] for centered normal u1, u2 (Poole et al. 2016, eq. 5).

    In polar coordinates kinks at 0 lie on rays, and the four sectors between them are integrated
    apart; this is how Cho and Saul (2009, section 2.1) find the kernel of ReLU in closed form.

    Args:
        one: f, elementwise.
        other: g, elementwise.
        q: Variances of u1 and u2, at least 0.
        c: Their correlation, -1 to 1.

    Returns:
        The mean.

    Raises:
        ActbenchError: The correlation is out of range.
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
        negative, and then no network has it.
    """
    sigma_w2 = 1 / float(chi(activation, q, 1.0))
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

    Each input has its own q. Forward: Poole et al. (2016), eq. 3. Backward, from layer l + 1 of
    n units and weights of variance v to layer l: E[delta_l^2] = n v E[phi'^2] E[delta_(l+1)^2]
    (Schoenholz et al. 2017, section 4), which for equal widths is a factor of chi.

    Args:
        activation: Key or formula.
        initializer: How every layer is drawn.
        x: Inputs, shape ``(points,)``.
        depth: Hidden layers, at least 1.
        width: Units per hidden layer, at least 1.
        first_q: Mean square of the first pre-activations, where it was measured: one number, or
            one per input. Follows from the inputs by default.

    Returns:
        The prediction.
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

    From the two ends, as the best estimate of the drift of a random walk uses nothing else.

    Args:
        rms: One value per layer, layer 1 first, above 0.
        first: A layer, 1 for the one nearest the input.
        last: A layer above it.

    Returns:
        Decades per layer; positive where the signal shrinks on its way to the input.

    Raises:
        ActbenchError: The layers are not there.
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
    q itself, which move chi, are left out.

    Args:
        activation: Key or formula.
        q: Mean square of the pre-activations per layer, layer 1 first, of one input.
        width: Units per hidden layer.
        first: A hidden layer, as for ``decades_per_layer``.
        last: A hidden layer above it.

    Returns:
        The standard deviation in decades per layer; falls as 1 / sqrt(width).
    """
    derivative = formula_of(activation).derivative
    # The step from layer l + 1 to l passes phi' at layer l.
    at = np.asarray(q, dtype=np.float64)[first - 1 : last - 1]
    fourth = gaussian_mean(lambda z: derivative(z) ** 4, at)
    second = gaussian_mean(lambda z: derivative(z) ** 2, at)
    variance_of_ln = float(np.sum(3 * fourth / second**2 - 1)) / width
    return math.sqrt(variance_of_ln) / (2 * math.log(10) * (last - first))
