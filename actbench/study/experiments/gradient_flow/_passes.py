"""Passes through many random networks, what each layer sees, and how networks differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench.store.parallel import Progress
from actbench.study.catalog import activations, initializers
from actbench.study.catalog.initializers import Initializer
from actbench.study.experiments.gradient_flow._protocol import (
    SPREAD_DEPTH,
    SPREAD_INITIALIZER,
    Config,
    spread_activations,
    spread_networks,
)
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack

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


Part: TypeAlias = tuple[list[Callable[[Progress], Any]], Callable[[list[Any]], Any]]
"""Jobs, and what makes of their results what the part is about."""


def spread_over_width(config: Config) -> Part:
    """Measure how much the error signal's slope differs between networks of one width.

    Args:
        config: The protocol; its seeds, activations and ``spread_widths`` are used.

    Returns:
        Jobs, and what makes of their results a dataset with ``error_slope (spread_activation,
        width, network)``, decades per layer from layer 1 to ``SPREAD_DEPTH`` of one input, NaN for
        a network in which a layer of ReLU is dead; empty where there is nothing to measure.
    """
    keys = spread_activations(config)
    if not (keys and config.spread_widths):
        return [], lambda found: xr.Dataset()
    counts = [spread_networks(config, width) for width in config.spread_widths]
    by_width = [
        jobs(
            keys,
            (SPREAD_INITIALIZER,),
            (SPREAD_DEPTH, width),
            config.seed_list[:count],
            torch.ones(1, 1),
            _slope,
        )
        for width, count in zip(config.spread_widths, counts, strict=True)
    ]

    def gather(results: list[Any]) -> xr.Dataset:
        slopes = np.full((len(keys), len(counts), max(counts)), np.nan)
        left = iter(results)
        for column, jobs in enumerate(by_width):
            for (row, _, members), slope in chain.from_iterable(next(left) for _ in jobs):
                slopes[row, column, members] = slope
        return xr.Dataset(
            {"error_slope": (("spread_activation", "width", "network"), slopes)},
            coords={
                "spread_activation": list(keys),
                "width": np.array(config.spread_widths, dtype=np.int32),
            },
        )

    return [job for jobs in by_width for job in jobs], gather


def _slope(stack: Stack, x: Tensor) -> NDArray[np.float64]:
    _, signal = flow(stack, x)
    with np.errstate(all="ignore"):
        growth = signal[:, SPREAD_DEPTH - 1] / signal[:, 0]
        found = np.log10(growth) / (SPREAD_DEPTH - 1)
    return np.where(np.isfinite(found), found, np.nan)
