"""Networks and trainings of torch's own parts, as anyone would write them, to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Array = NDArray[np.float64]

FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.01),
    "elu": functional.elu,
    "gelu": functional.gelu,
    "swish": functional.silu,
}
DRAWS: Mapping[str, Callable[[Tensor], object]] = {
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "he_normal": lambda weight: nn.init.normal_(weight, 0, math.sqrt(2 / weight.shape[1])),
}
"""Initializers that set biases to zero; any other key leaves torch's default."""


def linear_layers(
    depth: int,
    width: int,
    seed: int,
    initializer: str = "torch_default",
    dtype: torch.dtype = torch.float64,
) -> list[nn.Linear]:
    """The layers of one network of one input and one output; the random state is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(a, b) for a, b in pairwise([1, *[width] * depth, 1])]
        for layer in layers if initializer in DRAWS else ():
            DRAWS[initializer](layer.weight)
            nn.init.zeros_(layer.bias)
    return [layer.to(dtype) for layer in layers]


def arrays(layers: Sequence[nn.Linear]) -> tuple[list[Array], list[Array]]:
    """Weights and biases of every layer, as they are now."""
    return (
        [layer.weight.detach().double().numpy().copy() for layer in layers],
        [layer.bias.detach().double().numpy().copy() for layer in layers],
    )


def forward(layers: Sequence[nn.Linear], key: str, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Pre-activations, which keep their gradients, and outputs of every layer."""
    pre_activations, outputs = [], [x]
    for layer in layers:
        z = layer(outputs[-1])
        z.retain_grad()
        pre_activations.append(z)
        outputs.append(z if layer is layers[-1] else FUNCTIONS[key](z))
    return pre_activations, outputs[1:]


def training(
    layers: Sequence[nn.Linear], key: str, x: Tensor, y: Tensor, epochs: int, **adam: Any
) -> Iterator[tuple[float, list[Tensor], list[Tensor]]]:
    """Loss, pre-activations and outputs before every update, and once more after the last."""
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], **adam)
    for _ in range(epochs + 1):
        optimizer.zero_grad()
        pre_activations, outputs = forward(layers, key, x)
        loss = (outputs[-1] - y).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        yield loss.item(), pre_activations, outputs
        optimizer.step()


def magnitudes(layers: Sequence[nn.Linear]) -> list[float]:
    """Mean |d loss / d W| of every layer."""
    return [_gradient(layer.weight).abs().mean().item() for layer in layers]


def error_signals(pre_activations: Sequence[Tensor]) -> list[float]:
    """Root mean square of d loss / d z of every layer."""
    return [_gradient(z).square().mean().sqrt().item() for z in pre_activations]


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
