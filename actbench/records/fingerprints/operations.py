"""Single operations on inputs that no release changes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from actbench import activations
from actbench.records import Chain, Dtype
from actbench.records.fingerprints._settings import LEARNING_RATE, POINTS, WIDTH
from actbench.records.steps import step
from actbench.training import DTYPES

# Of one operation, enough to show how far apart two releases are.
_KEPT_OF_OPERATION = 32


def fixed(dtype: torch.dtype, *shape: int) -> Tensor:
    """Numbers that no release changes: square roots are rounded correctly everywhere."""
    count = int(np.prod(shape))
    return torch.from_numpy(np.sqrt(np.arange(2.0, count + 2)) % 1 - 0.5).to(dtype).view(shape)


def activation_operations(key: str, dtype: Dtype) -> Chain:
    """Apply an activation and its derivative to fixed inputs from -8 to 8."""
    z = (16 * fixed(DTYPES[dtype], 4096)).requires_grad_()
    a = activations.get(key).module()(z)
    (derivative,) = torch.autograd.grad(a.sum(), z)
    return Chain(
        engine="operations",
        activation=key,
        dtype=dtype,
        steps=[
            step("forward", a, keep=_KEPT_OF_OPERATION),
            step("derivative", derivative, keep=_KEPT_OF_OPERATION),
        ],
    )


def linear_operations(dtype: Dtype) -> Chain:
    """Do everything else that a training consists of, each on fixed inputs."""
    a, weight = fixed(DTYPES[dtype], 3, POINTS, WIDTH), fixed(DTYPES[dtype], 3, WIDTH, WIDTH)
    bias, column = fixed(DTYPES[dtype], 3, 1, WIDTH), fixed(DTYPES[dtype], POINTS, 1)
    output = (2 * column).requires_grad_()
    loss = nn.functional.mse_loss(output, column)
    (derivative,) = torch.autograd.grad(loss, output)
    results = {
        "linear": nn.functional.linear(a[0], weight[0], bias[0, 0]),
        "bmm": torch.bmm(a, weight.mT),
        "baddbmm": torch.baddbmm(bias, a, weight.mT),
        "weight gradient": torch.bmm(a.mT, a),
        "sum": a.sum(1),
        "mse_loss": loss,
        "mse_loss derivative": derivative,
        "Adam": _after_adam(weight, fused=False),
        "fused Adam": _after_adam(weight, fused=True),
    }
    steps = [step(n, result, keep=_KEPT_OF_OPERATION) for n, result in results.items()]
    return Chain(engine="operations", activation=None, dtype=dtype, steps=steps)


def _after_adam(start: Tensor, fused: bool) -> Tensor:
    parameter = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([parameter], lr=LEARNING_RATE, fused=fused)
    for sign in (1, -1, 1):
        parameter.grad = sign * start.flip(0)
        optimizer.step()
    return parameter
