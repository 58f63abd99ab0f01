"""What is measured of one hidden layer: moments, quantiles, zeros, dead and saturated units."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from actbench.study.catalog.activations import Activation
from actbench.study.nets.stacks import Stack

LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Probabilities of the quantiles."""


def statistics(stack: Stack, x: Tensor, epsilon: float, saturation: float) -> dict[str, Tensor]:
    """Describe every hidden layer of every member, pooled over inputs and units.

    Args:
        stack: After a forward pass.
        x: Its inputs, shape ``(points, 1)``.
        epsilon: Absolute value below which an activation is near zero.
        saturation: Share of the largest derivative below which a unit is saturated.

    Returns:
        Mean, standard deviation and quantiles of pre-activations and activations, and the shares
        of zeros, of dead units and of saturation, shape ``(member, hidden layer)``, of quantiles
        ``(member, hidden layer, level)``; NaN where a member's numbers are not finite.
    """
    activation = stack.architecture.activation
    bound = saturation * max(abs(limit) for limit in activation.derivative_bounds)
    layers = []
    for number, a in enumerate(stack.activations):
        z = stack.pre_activation(x, number + 1)
        zero = a == 0
        saturated = _derivative(activation, z).abs() < bound
        found = {
            **_moments("pre_activation", z),
            **_moments("activation", a),
            "zero_share": _mean(zero),
            "near_zero_share": _mean(a.abs() < epsilon),
            "dead_unit_share": _mean(zero.all(1)),
            "saturated_share": _mean(saturated),
            "saturated_unit_share": _mean(saturated.all(1)),
        }
        finite = (z.isfinite() & a.isfinite()).all(2).all(1)
        layers.append({name: _only(finite, values.to(z)) for name, values in found.items()})
    return {name: torch.stack([layer[name] for layer in layers], 1) for name in layers[0]}


def _moments(name: str, values: Tensor) -> dict[str, Tensor]:
    """Of ``(member, points, unit)``."""
    pooled = values.flatten(1)
    # NumPy sorts rows of this length twenty times faster than torch.
    ordered = np.sort(pooled.cpu().numpy(), axis=1)
    ranks = [round(level * (ordered.shape[1] - 1)) for level in LEVELS]
    return {
        f"{name}_mean": pooled.mean(1),
        f"{name}_std": pooled.std(1, correction=0),
        f"{name}_quantile": torch.from_numpy(ordered[:, ranks]),
    }


def _derivative(activation: Activation, z: Tensor) -> Tensor:
    leaf = z.detach().requires_grad_()
    # A module made with inplace=True must not overwrite a leaf.
    (derivative,) = torch.autograd.grad(activation.module()(leaf.clone()).sum(), leaf)
    return derivative


def _mean(condition: Tensor) -> Tensor:
    return condition.flatten(1).float().mean(1)


def _only(finite: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(~finite.view(-1, *[1] * (values.dim() - 1)), torch.nan)
