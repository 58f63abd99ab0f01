"""What is timed: one epoch of the plain loop and of a stack, and the product that bounds both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench import activations, initializers, targets
from actbench.networks import Architecture, Stack, seeded_network
from actbench.seeds import FIRST_SEED
from actbench.training import DTYPES

POINTS = 200
PRODUCT_SIZE = 2048
PRODUCT_FLOP = 2 * PRODUCT_SIZE**3
_LEARNING_RATE = 1e-3


class Engine(Protocol):
    """Trains networks, one epoch after the other."""

    def epoch(self) -> Tensor:
        """Update every network once; return the losses before it, without waiting for them."""


def flop_per_epoch(architecture: Architecture) -> int:
    """Count the operations of the matrix products of one member's epoch.

    A product of (m, k) and (k, n) takes 2 m k n. Each layer needs one product forward, one for its
    weights' gradient and, but for the first, one for its inputs' gradient.

    Args:
        architecture: Shape of the network.

    Returns:
        Floating-point operations; everything elementwise is left out.
    """
    shapes = architecture.layer_shapes
    products = sum(3 * fan_out * fan_in for fan_out, fan_in in shapes)
    first_out, first_in = shapes[0]
    return 2 * POINTS * (products - first_out * first_in)


def data(device: torch.device, dtype: str) -> tuple[Tensor, Tensor]:
    """Return the study's inputs and noisy targets.

    Args:
        device: Where to put them.
        dtype: ``"float32"`` or ``"float64"``.

    Returns:
        Two tensors of shape ``(points, 1)``.
    """
    target = targets.noisy_sine(POINTS)

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values, dtype=DTYPES[dtype], device=device)[:, None]

    return column(target.x), column(target.noisy)


def study_architecture(activation: str) -> Architecture:
    """Return the study's network: 10 hidden layers of 64 units.

    Args:
        activation: Its key.

    Returns:
        The shape.
    """
    return Architecture(activations.get(activation))


class PlainLoop:
    """One ``nn.Sequential``, autograd and torch's default Adam, as anyone would write it.

    Args:
        activation: Key of the activation.
        device: Where to train.
        dtype: ``"float32"`` or ``"float64"``.
        seed: Of the initial weights.
    """

    def __init__(
        self, activation: str, device: torch.device, dtype: str = "float32", seed: int = FIRST_SEED
    ) -> None:
        initializer = initializers.get("torch_default")
        network = seeded_network(study_architecture(activation), initializer, seed)
        self._network = network.to(device, DTYPES[dtype])
        self._inputs, self._targets = data(device, dtype)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=_LEARNING_RATE)

    def epoch(self) -> Tensor:
        """Update the network once; return its loss before that, shape ``(1,)``."""
        self._optimizer.zero_grad()
        loss = nn.functional.mse_loss(self._network(self._inputs), self._targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.detach()[None]


class StackOf:
    """A stack of networks, updated as ``actbench.training.train_stack`` does it.

    Args:
        members: How many.
        activation: Key of the activation.
        device: Where to train.
        dtype: ``"float32"`` or ``"float64"``.
    """

    def __init__(
        self, members: int, activation: str, device: torch.device, dtype: str = "float32"
    ) -> None:
        architecture = study_architecture(activation)
        initializer = initializers.get("torch_default")
        networks = (
            seeded_network(architecture, initializer, FIRST_SEED + number)
            for number in range(members)
        )
        self._stack = Stack(architecture, networks, members, POINTS, device, DTYPES[dtype])
        self._inputs, self._targets = data(device, dtype)
        self._optimizer = torch.optim.Adam([self._stack.parameters], lr=_LEARNING_RATE, fused=True)

    def epoch(self) -> Tensor:
        """Update every member once; return their losses before that, shape ``(member,)``."""
        residual = self._stack.forward(self._inputs).sub_(self._targets)
        loss = residual.square().mean((1, 2))
        self._stack.backward(self._inputs, residual.mul_(2 / POINTS))
        self._optimizer.step()
        return loss


def train_for(engine: Engine, epochs: int) -> Tensor:
    """Train for a number of epochs.

    Args:
        engine: Trained on from where it is.
        epochs: At least 1.

    Returns:
        The losses before the last update.
    """
    for _ in range(epochs - 1):
        engine.epoch()
    return engine.epoch()


def product(device: torch.device) -> Callable[[], object]:
    """Return the product of two float32 matrices of 2048 x 2048, the first of the controls.

    Args:
        device: Where to multiply.

    Returns:
        A function that multiplies them once.
    """
    # Any numbers do, but zeros and ones could be faster than numbers.
    a = torch.linspace(-1, 1, PRODUCT_SIZE**2, device=device).view(PRODUCT_SIZE, PRODUCT_SIZE)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, a, out=out)
