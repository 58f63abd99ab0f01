"""Gradient ratios of untrained networks, for every way of reading them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.study.catalog import activations, targets
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import Stack
from actbench.study.recover.schema import GradientSearch, Number
from actbench.study.recover.space import Draw, Plan
from actbench.study.recover.streams import Streams

_STACK_MEMBERS = 96
_PLACES = {"first": 0, "second": 1, "last_hidden": -2, "output": -1}


class Gradients:
    """Evaluates the gradient ratios of some of a plan's networks."""

    def __init__(self, plan: Plan, report: Callable[[int], None] = lambda done: None) -> None:
        if not isinstance(plan.search, GradientSearch):
            raise TypeError("not a search for gradient ratios")
        self._space = plan.search.space
        self._streams = Streams()
        self._report = report

    def values(
        self, number: Number, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Compute the ratio of each network under each reading."""
        shape = (len(draws), *(len(axis) for axis in self._reading_axes))
        found = np.full(shape, np.nan)
        biases: NDArray[np.bool_] = np.any(needed.reshape(shape), axis=(2, 3, 4))
        alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for place, draw in enumerate(draws):
            members = [(place, which) for which in np.flatnonzero(biases[place]).tolist()]
            alike.setdefault((draw.hidden, draw.inputs.points), []).extend(members)
        for group in alike.values():
            for start in range(0, len(group), _STACK_MEMBERS):
                self._report(0)
                part = group[start : start + _STACK_MEMBERS]
                # One draw after another, as they lie in their stream.
                rows, columns = np.array(part).T
                found[rows, columns] = self._stack(number.activation, draws, part)
        return found.reshape(len(draws), -1)

    @property
    def _reading_axes(self) -> tuple[tuple[str, ...], ...]:
        space = self._space
        return space.bias, space.loss, space.measure, space.layers

    def _stack(
        self, activation: str, draws: Sequence[Draw], members: Sequence[tuple[int, int]]
    ) -> NDArray[np.float64]:
        """Pass all members of one shape forward once and back once per loss."""
        first = draws[members[0][0]]
        architecture = Architecture(activations.get(activation), first.hidden, first.width)
        points = first.inputs.points
        stack = Stack(architecture, (), len(members), points, torch.device("cpu"), torch.float32)
        networks = {place: self._streams.network(draws[place]) for place, _ in members}
        with torch.no_grad():
            for member, (place, bias) in enumerate(members):
                drawn = networks[place]
                for layer, weight in enumerate(drawn.weights):
                    stack.weights[layer][member] = weight
                    if self._space.bias[bias] == "constructed":
                        stack.biases[layer][member, 0] = drawn.biases[layer]
        x = torch.stack([networks[place].x for place, _ in members])  # (member, points, 1)
        output = stack.forward(x).clone()
        by_loss = []
        for loss in self._space.loss:
            rounding = self._back_propagate(stack, x, _output_gradient(loss, output, x))
            by_loss.append(self._ratios(stack.weight_gradients, rounding))
        return np.stack(by_loss, 1)  # (member, loss, measure, layers)

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(top, bottom) for top, _, bottom in (p.partition("/") for p in self._space.layers)]

    def _back_propagate(self, stack: Stack, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """Fill the gradients; return by layer what rounding may make of them, ``(member,)``.

        A gradient is a sum of one product of error signal and input per point, and the mean
        magnitude of such a product is that of the one times that of the other. Sums of n terms are
        off by at most n u times the terms' magnitudes (u the unit roundoff; Higham 2002, section
        4.2), and to first order the errors of the products that lead to the terms add to that.
        """
        layers, width = stack.architecture.depth + 1, stack.architecture.width
        asked = {name: _PLACES[name] % layers for pair in self._pairs for name in pair}
        most = (x.shape[1] + 2 * layers * width) * torch.finfo(x.dtype).eps / 2
        found = {}

        def observe(layer: int, error: Tensor) -> None:
            if layer - 1 in asked.values():
                below = stack.activations[layer - 2] if layer > 1 else x
                terms = error.abs().mean(-1) * below.abs().mean(-1)  # (member, points)
                found[layer - 1] = most * terms.sum(1)

        stack.backward(x, gradient, observe)
        return {name: found[place] for name, place in asked.items()}

    def _ratios(
        self, gradients: Sequence[Tensor], rounding: Mapping[str, Tensor]
    ) -> NDArray[np.float64]:
        known = {
            name: (gradients[_PLACES[name]].abs().mean((1, 2)) > least).numpy()
            for name, least in rounding.items()
        }
        result = []
        for measure in self._space.measure:
            size = {
                name: np.where(known[name], _measure(measure, gradients[_PLACES[name]]), np.nan)
                for name in rounding
            }
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = [size[top] / size[bottom] for top, bottom in self._pairs]
            result.append(np.stack(ratios, -1))
        return np.stack(result, 1)  # (member, measure, layers)


def _output_gradient(loss: str, output: Tensor, x: Tensor) -> Tensor:
    """Return the derivative of a loss by the outputs, shape ``(member, points, 1)``."""
    points = output.shape[1]
    match loss:
        case "mean":
            return torch.full_like(output, 1 / points)
        case "sum":
            return torch.ones_like(output)
        case "mse_zeros":
            target = torch.zeros_like(x)
        case "mse_sine":
            target = torch.sin(x)
        case _:
            data = targets.noisy_sine(points)
            target = torch.sin(x) + torch.tensor(data.noisy - data.clean, dtype=x.dtype)[:, None]
    return (output - target) * (2 / points)


def _measure(measure: str, gradient: Tensor) -> NDArray[np.float64]:
    """Reduce ``(member, fan_out, fan_in)`` to one number per member."""
    match measure:
        case "mean_abs":
            size = gradient.abs().mean((1, 2))
        case "l2":
            size = gradient.square().sum((1, 2)).sqrt()
        case "rms":
            size = gradient.square().mean((1, 2)).sqrt()
        case _:
            size = gradient.abs().amax((1, 2))
    result: NDArray[np.float64] = size.double().numpy()
    return result
