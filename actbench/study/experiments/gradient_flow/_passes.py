"""Passes through many random networks, stack by stack, and what each layer sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.store.parallel import Progress
from actbench.study.catalog import activations, initializers
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack

Array: TypeAlias = NDArray[np.float64]
Look: TypeAlias = Callable[[Stack, Tensor], Array]
"""Returns what it sees of a stack, shape ``(quantity, member, layer)``."""
Networks: TypeAlias = tuple[int, int, Sequence[int]]
"""Depth, width and seeds."""
Part: TypeAlias = tuple[list[Callable[[Progress], Any]], Callable[[list[Any]], Any]]
"""Jobs, and what makes of their results what the part is about."""

_STACK_MEMBERS = 50
# More than fits near the processor is slower than the same in smaller stacks.
_STACK_NUMBERS = 3_400_000


def inputs(points: int) -> Tensor:
    """Return points evenly spaced on [-pi, pi], shape ``(points, 1)``, float64."""
    return torch.linspace(-math.pi, math.pi, points, dtype=torch.float64)[:, None]


def looked_at(
    keys: Sequence[str],
    draws: Sequence[str],
    networks: Sequence[Networks],
    x: Tensor,
    look: Look,
    layers: int,
) -> Part:
    """Look at networks of every activation and initializer.

    The jobs' results become an array ``(quantity, activation, initializer, member, networks,
    layer)``, NaN where networks have no such member or no such layer.
    """
    by_networks = [list(_jobs(keys, draws, each, x, look)) for each in networks]

    def gather(results: list[Any]) -> Array:
        left = iter(results)
        placed = [
            ((slice(None), row, which, members, column, slice(values.shape[-1])), values)
            for column, jobs in enumerate(by_networks)
            for (row, which, members), values in chain.from_iterable(next(left) for _ in jobs)
        ]
        most = max(len(seeds) for _, _, seeds in networks)
        quantities = len(placed[0][1])
        shape = (quantities, len(keys), len(draws), most, len(networks), layers)
        found = np.full(shape, np.nan)
        for place, values in placed:
            found[place] = values
        return found

    return [job for jobs in by_networks for job in jobs], gather


def _jobs(
    keys: Sequence[str], draws: Sequence[str], networks: Networks, x: Tensor, look: Look
) -> Iterator[Callable[[Progress], list[Any]]]:
    depth, width, seeds = networks
    shapes = [Architecture(activations.get(key), depth, width) for key in keys]

    def job(members: slice, report: Progress) -> list[Any]:
        crew = seeds[members]
        # All activations start from the same weights, which are drawn once; parameters of an
        # activation's own start as it says.
        drawn = [_drawn(shapes[0], key, crew, x) for key in draws]
        found = []
        for row, shape in enumerate(shapes):
            stack = Stack(shape, (), len(crew), len(x), x.device, x.dtype)
            for which, parameters in enumerate(drawn):
                with torch.no_grad():
                    stack.linear_parameters.copy_(parameters)
                found.append(((row, which, members), look(stack, x)))
                report(stack.count)
        return found

    size = max(1, min(_STACK_MEMBERS, _STACK_NUMBERS // shapes[0].parameter_count))
    for start in range(0, len(seeds), size):
        yield partial(job, slice(start, min(start + size, len(seeds))))


def _drawn(shape: Architecture, initializer: str, seeds: Sequence[int], x: Tensor) -> Tensor:
    draw = initializers.get(initializer)
    networks = (seeded_network(shape, draw, seed) for seed in seeds)
    return Stack(shape, networks, len(seeds), 1, x.device, x.dtype).linear_parameters


def flow(stack: Stack, x: Tensor) -> Array:
    """Pass once forward and back; return weight gradients and error signals."""
    signal = np.empty((stack.count, stack.architecture.depth + 1))

    def observe(layer: int, error: Tensor) -> None:
        signal[:, layer - 1] = error.square().mean((1, 2)).sqrt().numpy()

    stack.forward(x)
    output_gradient = x.new_full((stack.count, len(x), 1), 1 / len(x))
    stack.backward(x, output_gradient, observe)
    magnitude = [gradient.abs().mean((1, 2)) for gradient in stack.weight_gradients]
    return np.stack([torch.stack(magnitude, 1).numpy(), signal])


@torch.no_grad()
def _preactivation_squares(stack: Stack, x: Tensor) -> Array:
    layers = range(1, stack.architecture.depth + 2)
    squares = [stack.pre_activation(x, layer).square().mean((1, 2)) for layer in layers]
    return torch.stack(squares, 1).numpy()


def flow_and_squares(stack: Stack, x: Tensor) -> Array:
    """Return ``flow``, and the mean square of each layer's pre-activations."""
    return np.concatenate([flow(stack, x), _preactivation_squares(stack, x)[None]])


def slope(stack: Stack, x: Tensor) -> Array:
    """Return decades per layer from the first to the last hidden layer, shape ``(1, member, 1)``.

    NaN for a network in which a layer of ReLU is dead.
    """
    signal, last = flow(stack, x)[1], stack.architecture.depth
    with np.errstate(all="ignore"):
        found = np.log10(signal[:, last - 1] / signal[:, 0]) / (last - 1)
    return np.where(np.isfinite(found), found, np.nan)[None, :, None]
