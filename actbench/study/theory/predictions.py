"""What theory expects of every layer of one network shape, and of its spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from actbench.store.errors import ActbenchError
from actbench.study.catalog.initializers import Initializer
from actbench.study.theory.formulas import Activation, Array, formula_of
from actbench.study.theory.mean_field import chi
from actbench.study.theory.quadrature import gaussian_mean


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
