"""One forward and one backward pass through many random networks, and what each layer sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench import activations, initializers
from actbench.initializers import Initializer
from actbench.networks import Architecture, seeded_network
from actbench.parallel import Progress
from actbench.stacks import Stack

Place: TypeAlias = tuple[int, int, slice]
"""Of activation, initializer and members."""

_T = TypeVar("_T")
_STACK_MEMBERS = 50
# More than fits near the processor is slower than the same in smaller stacks.
_STACK_NUMBERS = 3_400_000


def inputs(points: int) -> Tensor:
    """Return points evenly spaced on [-pi, pi], shape ``(points, 1)``, float64."""
    return torch.linspace(-math.pi, math.pi, points, dtype=torch.float64)[:, None]


def stacks(
    keys: Sequence[str],
    draws: Sequence[str],
    depth_and_width: tuple[int, int],
    seeds: Sequence[int],
    x: Tensor,
) -> Iterator[tuple[Place, Stack]]:
    """Every network once, in stacks with the places of activation, initializer and members."""
    architectures = [Architecture(activations.get(key), *depth_and_width) for key in keys]
    for members in _parts(len(seeds), architectures[0].parameter_count):
        count = len(seeds[members])
        # All activations start from the same weights, which are drawn once; parameters of an
        # activation's own start as it says.
        drawn = [
            _drawn(architectures[0], initializers.get(key), seeds[members], x) for key in draws
        ]
        for row, architecture in enumerate(architectures):
            stack = Stack(architecture, (), count, len(x), x.device, x.dtype)
            for which, parameters in enumerate(drawn):
                with torch.no_grad():
                    stack.linear_parameters.copy_(parameters)
                yield (row, which, members), stack


def jobs(
    keys: Sequence[str],
    draws: Sequence[str],
    depth_and_width: tuple[int, int],
    seeds: Sequence[int],
    x: Tensor,
    look: Callable[[Stack, Tensor], _T],
) -> list[Callable[[Progress], list[tuple[Place, _T]]]]:
    """Cut ``stacks`` into jobs, each of which looks at some networks and says where they belong."""

    def job(part: slice, report: Progress) -> list[tuple[Place, _T]]:
        found = []
        for (row, which, members), stack in stacks(keys, draws, depth_and_width, seeds[part], x):
            there = slice(part.start + members.start, part.start + members.stop)
            found.append(((row, which, there), look(stack, x)))
            report(stack.count)
        return found

    parameters = Architecture(activations.get(keys[0]), *depth_and_width).parameter_count
    return [partial(job, part) for part in _parts(len(seeds), parameters)]


def _drawn(
    architecture: Architecture, initializer: Initializer, seeds: Sequence[int], x: Tensor
) -> Tensor:
    networks = (seeded_network(architecture, initializer, seed) for seed in seeds)
    return Stack(architecture, networks, len(seeds), 1, x.device, x.dtype).linear_parameters


def _parts(count: int, parameters: int) -> Iterator[slice]:
    size = max(1, min(_STACK_MEMBERS, _STACK_NUMBERS // parameters))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def flow(stack: Stack, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pass once forward and back; return weight gradients and error signals by member and layer."""
    signal = np.empty((stack.count, stack.architecture.depth + 1))

    def observe(layer: int, error: Tensor) -> None:
        signal[:, layer - 1] = error.square().mean((1, 2)).sqrt().numpy()

    stack.forward(x)
    output_gradient = x.new_full((stack.count, len(x), 1), 1 / len(x))
    stack.backward(x, output_gradient, observe)
    magnitude = [gradient.abs().mean((1, 2)) for gradient in stack.weight_gradients]
    return torch.stack(magnitude, 1).numpy(), signal


@torch.no_grad()
def preactivation_squares(stack: Stack, x: Tensor) -> NDArray[np.float64]:
    """Return the mean square of each layer's pre-activations, shape ``(member, layer)``."""
    layers = range(1, stack.architecture.depth + 2)
    squares = [stack.pre_activation(x, layer).square().mean((1, 2)) for layer in layers]
    return torch.stack(squares, 1).numpy()
