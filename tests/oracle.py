"""An independent oracle in NumPy, float64: functions, back-propagation, Adam.

Nothing here comes from torch or from actbench: the formulas are those of the papers, written
out once more, so that a fault in either shows as a difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1 + np.tanh(z / 2))


def _normal_cdf(z: Array) -> Array:
    below: Array = 0.5 * (1 + _erf(z / math.sqrt(2)))
    return below


def _normal_pdf(z: Array) -> Array:
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


FUNCTIONS: dict[str, Function] = {
    "linear": lambda z: z,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * _normal_cdf(z),
    "swish": lambda z: z * _sigmoid(z),
}
DERIVATIVES: dict[str, Function] = {
    "linear": np.ones_like,
    "sigmoid": lambda z: _sigmoid(z) * _sigmoid(-z),
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "relu": lambda z: (z > 0).astype(np.float64),
    "leaky_relu": lambda z: np.where(z > 0, 1.0, 0.01),
    "elu": lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0))),
    "gelu": lambda z: _normal_cdf(z) + z * _normal_pdf(z),
    "swish": lambda z: _sigmoid(z) + z * _sigmoid(z) * _sigmoid(-z),
}


@dataclass(frozen=True)
class Result:
    """What one pass through a network gives: of each layer ``hidden`` is ``(points, width)``."""

    loss: float
    output: Array
    hidden: list[Array]
    weight_gradients: list[Array]
    bias_gradients: list[Array]


def back_propagate(
    key: str, weights: Sequence[Array], biases: Sequence[Array], x: Array, y: Array
) -> Result:
    """Return the loss of a network and its derivatives by the chain rule.

    A matrix ``(fan_out, fan_in)`` and a vector ``(fan_out,)`` per layer, the input's side first;
    inputs and targets ``(points,)``.
    """
    inputs, pre = [x[:, None]], []
    for weight, bias in zip(weights, biases, strict=True):
        pre.append(inputs[-1] @ weight.T + bias)
        inputs.append(FUNCTIONS[key](pre[-1]))
    residual = pre[-1][:, 0] - y
    error = (2 / len(x)) * residual[:, None]
    by_weight: list[Array] = []
    by_bias: list[Array] = []
    for number in reversed(range(len(weights))):
        by_weight.insert(0, error.T @ inputs[number])
        by_bias.insert(0, error.sum(axis=0))
        if number > 0:
            error = (error @ weights[number]) * DERIVATIVES[key](pre[number - 1])
    return Result(float(np.mean(residual**2)), pre[-1][:, 0], inputs[1:-1], by_weight, by_bias)


def train(
    key: str,
    weights: Sequence[Array],
    biases: Sequence[Array],
    x: Array,
    y: Array,
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> tuple[list[Result], Result]:
    """Train by Adam (Kingma and Ba 2015, algorithm 1) with an L2 penalty in the gradient.

    Returns the result before each update, and the one after the last.
    """
    layers = len(weights)
    values = [p.copy() for p in (*weights, *biases)]
    first = [np.zeros_like(p) for p in values]
    second = [np.zeros_like(p) for p in values]
    history = []
    for step in range(1, epochs + 1):
        result = back_propagate(key, values[:layers], values[layers:], x, y)
        history.append(result)
        gradients = (*result.weight_gradients, *result.bias_gradients)
        for i, plain in enumerate(gradients):
            gradient = plain + weight_decay * values[i]
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            corrected = first[i] / (1 - 0.9**step)
            scale = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
            values[i] = values[i] - learning_rate * corrected / scale
    return history, back_propagate(key, values[:layers], values[layers:], x, y)
