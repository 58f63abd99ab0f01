"""What is timed: one epoch of the plain loop and of a stack, and the product that bounds both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.store.studies import FIRST_SEED
from actbench.study.catalog import activations, initializers, targets
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import DTYPES, Schedule, stack_sizes

POINTS = 200
PRODUCT_SIZE = 2048
PRODUCT_FLOP = 2 * PRODUCT_SIZE**3
_LEARNING_RATE = 1e-3


class Engine(Protocol):
    """Trains networks, from where they are."""

    def train(self, epochs: int) -> Tensor:
        """Update every network so often; return each one's loss before its last update."""

    def differentiate(self) -> tuple[Tensor, list[Tensor]]:
        """Return each network's loss, and per layer the gradient, weights before the bias.

        Returns:
            Shapes ``(member,)`` and, of each layer, ``(member, parameters)``; overwritten by the
            next call. Nothing is updated.
        """


def flop_per_epoch(architecture: Architecture) -> int:
    """Count the operations of the matrix products of one member's epoch.

    A product of (m, k) and (k, n) takes 2 m k n. Each layer needs one product forward, one for its
    weights' gradient and, but for the first, one for its inputs' gradient.
    """
    shapes = architecture.layer_shapes
    products = sum(3 * fan_out * fan_in for fan_out, fan_in in shapes)
    first_out, first_in = shapes[0]
    return 2 * POINTS * (products - first_out * first_in)


def data(device: torch.device, dtype: str) -> tuple[Tensor, Tensor]:
    """Return the study's inputs and noisy targets, both of shape ``(points, 1)``."""
    target = targets.noisy_sine(POINTS)

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values, dtype=DTYPES[dtype], device=device)[:, None]

    return column(target.x), column(target.noisy)


def study_architecture(activation: str) -> Architecture:
    """Return the study's network: 10 hidden layers of 64 units."""
    return Architecture(activations.get(activation))


def network_loss(activation: nn.Module, x: Tensor, y: Tensor) -> Callable[..., Tensor]:
    """Write the plain network and its loss as a function of the parameters."""

    def loss(*parameters: Tensor) -> Tensor:
        a = x
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            a = activation(nn.functional.linear(a, weight, bias))
        output = nn.functional.linear(a, parameters[-2], parameters[-1])
        return nn.functional.mse_loss(output, y)

    return loss


class PlainLoop:
    """One ``nn.Sequential`` under autograd and torch's default Adam, as anyone would write it."""

    def __init__(
        self, activation: str, device: torch.device, dtype: str = "float32", seed: int = FIRST_SEED
    ) -> None:
        initializer = initializers.get("torch_default")
        network = seeded_network(study_architecture(activation), initializer, seed)
        network.to(device, DTYPES[dtype])
        self._parameters = list(network.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=_LEARNING_RATE)
        x, y = data(device, dtype)
        self._loss: Callable[[], Tensor] = lambda: nn.functional.mse_loss(network(x), y)

    def train(self, epochs: int) -> Tensor:
        """Update the network so often; return its loss before the last update, shape ``(1,)``."""
        for _ in range(epochs):
            loss = self._backward()
            self._optimizer.step()
        return loss

    def differentiate(self) -> tuple[Tensor, list[Tensor]]:
        """Return its loss and gradients, as of an ``Engine``."""
        loss = self._backward()
        gradients = [torch.empty(0) if p.grad is None else p.grad.ravel() for p in self._parameters]
        pairs = zip(gradients[::2], gradients[1::2], strict=True)
        return loss, [torch.cat(pair)[None] for pair in pairs]

    def _backward(self) -> Tensor:
        self._optimizer.zero_grad()
        loss = self._loss()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()[None]


@cache
def _compiled_loss(activation: str, device: torch.device, dtype: str) -> Callable[..., Tensor]:
    # Of the parameters, not of a module: a fresh network needs no compilation of its own.
    loss = network_loss(activations.get(activation).module(), *data(device, dtype))
    return torch.compile(loss)


class CompiledLoop(PlainLoop):
    """The same network and loss under ``torch.compile``; Adam stays as it is."""

    def __init__(
        self, activation: str, device: torch.device, dtype: str = "float32", seed: int = FIRST_SEED
    ) -> None:
        super().__init__(activation, device, dtype, seed)
        loss = _compiled_loss(activation, device, dtype)
        self._loss = lambda: loss(*self._parameters)


class StackOf:
    """Stacks of networks, cut and trained as ``training.train`` does it on one thread."""

    def __init__(
        self, members: int, activation: str, device: torch.device, dtype: str = "float32"
    ) -> None:
        architecture = study_architecture(activation)
        schedule = Schedule(device=device, dtype=dtype)
        initializer = initializers.get("torch_default")
        networks = (
            seeded_network(architecture, initializer, FIRST_SEED + number)
            for number in range(members)
        )
        self._inputs, self._targets = data(device, dtype)
        self._stacks = []
        for size in stack_sizes(architecture, members, POINTS, schedule):
            own = islice(networks, size)
            stack = Stack(architecture, own, size, POINTS, device, DTYPES[dtype])
            optimizer = torch.optim.Adam([stack.parameters], lr=_LEARNING_RATE, fused=True)
            self._stacks.append((stack, optimizer))

    def train(self, epochs: int) -> Tensor:
        """Update every member so often; return their losses before the last, shape ``(member,)``.

        One stack after the other: taking turns, each would find its numbers gone from the cache.
        """
        return torch.cat([self._train_one(*each, epochs) for each in self._stacks])

    def differentiate(self) -> tuple[Tensor, list[Tensor]]:
        """Return losses and gradients, as of an ``Engine``."""
        losses = torch.cat([self._backward(stack) for stack, _ in self._stacks])
        layers = range(len(self._stacks[0][0].weights))
        return losses, [torch.cat([_gradient(s, n) for s, _ in self._stacks]) for n in layers]

    def _train_one(self, stack: Stack, optimizer: torch.optim.Adam, epochs: int) -> Tensor:
        for _ in range(epochs):
            loss = self._backward(stack)
            optimizer.step()
        return loss

    def _backward(self, stack: Stack) -> Tensor:
        residual = stack.forward(self._inputs).sub_(self._targets)
        loss = residual.square().mean((1, 2))
        stack.backward(self._inputs, residual.mul_(2 / POINTS))
        return loss


class CompiledStackOf(StackOf):
    """The same under ``torch.compile``; Adam stays as it is."""

    def __init__(
        self, members: int, activation: str, device: torch.device, dtype: str = "float32"
    ) -> None:
        super().__init__(members, activation, device, dtype)
        self._compiled: Callable[[Stack], Tensor] = torch.compile(super()._backward)

    def _backward(self, stack: Stack) -> Tensor:
        return self._compiled(stack)


def _gradient(stack: Stack, layer: int) -> Tensor:
    pair = stack.weight_gradients[layer], stack.bias_gradients[layer]
    return torch.cat([gradient.flatten(1) for gradient in pair], 1)


def product(device: torch.device) -> Callable[[], object]:
    """Return the product of two float32 matrices of 2048 x 2048, the first of the controls."""
    # Any numbers do, but zeros and ones could be faster than numbers.
    a = torch.linspace(-1, 1, PRODUCT_SIZE**2, device=device).view(PRODUCT_SIZE, PRODUCT_SIZE)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, a, out=out)
