"""What computes the numbers of networks: gradient ratios, or losses and gradients of trainings."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.study.catalog import activations, targets
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Schedule, Training, train_stack
from actbench.study.recover.schema import GradientSearch, Number, TrainingSearch
from actbench.study.recover.space import TRAINING_READINGS, Draw, Plan
from actbench.study.recover.streams import Beginning, Streams

_STACKED_GRADIENTS = 96
_STACKED_TRAININGS = 40
_PLACES = {"first": 0, "second": 1, "last_hidden": -2, "output": -1}
_EPOCHS = TRAINING_READINGS.index("epochs")


class _Gradients:
    """Computes gradient ratios of some of a plan's networks, for every reading at once.

    What is told of the work is 0, now and then, so that an interruption is noticed.
    """

    def __init__(self, plan: Plan, report: Callable[[int], None] = lambda done: None) -> None:
        if not isinstance(plan.search, GradientSearch):
            raise TypeError("not a search for gradient ratios")
        self._space = plan.search.space
        self._streams = Streams()
        self._report = report

    def values(
        self, number: Number, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Compute the ratio of each network under each reading, shape ``(draw, reading)``.

        NaN where one of the gradients is nothing but rounding, so that there is none.
        """
        shape = (len(draws), *(len(axis) for axis in self._reading_axes))
        found = np.full(shape, np.nan)
        biases: NDArray[np.bool_] = np.any(needed.reshape(shape), axis=(2, 3, 4))
        alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for place, draw in enumerate(draws):
            members = [(place, which) for which in np.flatnonzero(biases[place]).tolist()]
            alike.setdefault((draw.hidden, draw.inputs.points), []).extend(members)
        for group in alike.values():
            for start in range(0, len(group), _STACKED_GRADIENTS):
                self._report(0)
                part = group[start : start + _STACKED_GRADIENTS]
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


class Trainings:
    """Computes losses and gradients of some of a plan's networks, which it trains.

    What is told of the work is 0, now and then, so that an interruption is noticed.
    """

    def __init__(self, plan: Plan, report: Callable[[int], None] = lambda done: None) -> None:
        if not isinstance(plan.search, TrainingSearch):
            raise TypeError("not a search for final losses")
        self._space = plan.search.space
        self._report = report

    def values(
        self, number: Number, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Read a number off the networks that are wanted, shape ``(draw, reading)``, else NaN.

        A gradient is the same whatever the axes ``epochs`` and ``read`` say.
        """
        space = self._space
        wanted = needed.reshape(
            len(draws), *(len(getattr(space, name)) for name in TRAINING_READINGS)
        )
        found = np.full(wanted.shape, np.nan)
        asked: NDArray[np.bool_] = np.any(wanted, axis=-1)
        if number.updates is not None:
            asked = np.any(asked, axis=1 + _EPOCHS, keepdims=True)  # behind that of the draws
        hidden = np.array([draw.hidden for draw in draws])
        streams = Streams()
        drawn = functools.cache(lambda place: streams.network(draws[place]))
        for depth, *where in itertools.product(set(hidden.tolist()), *map(range, asked.shape[2:])):
            there: list[Any] = list(where)
            if number.updates is not None:
                there[_EPOCHS - 1] = slice(None)  # without that of the biases
            members = np.argwhere(asked[(..., *where)] & (hidden == depth)[:, None]).tolist()
            for start in range(0, len(members), _STACKED_TRAININGS):
                part = members[start : start + _STACKED_TRAININGS]
                beginnings = [Beginning(drawn(place), space.bias[bias]) for place, bias in part]
                schedule, noise = self._schedule(number, where)
                values = self.read(number, draws[part[0][0]], beginnings, schedule, noise)
                for (place, bias), value in zip(part, values, strict=True):
                    found[(place, bias, *there)] = value
        return found.reshape(len(draws), -1)

    def _schedule(self, number: Number, where: Sequence[int]) -> tuple[Schedule, int]:
        """Return how a place of the readings trains, and the seed of the noise there."""
        space, (rate, decay, epochs, noise, dtype) = self._space, where
        updates = space.epochs[epochs] if number.updates is None else number.updates
        schedule = Schedule(
            epochs=max(updates, 1),
            learning_rate=space.learning_rate[rate],
            weight_decay=space.weight_decay[decay],
            dtype=space.dtype[dtype],
            recorded_epochs=() if number.updates is None else (updates,),
        )
        return schedule, space.noise_seed[noise]

    def read(
        self,
        number: Number,
        draw: Draw,
        beginnings: Sequence[Beginning],
        schedule: Schedule,
        noise_seed: int,
    ) -> NDArray[np.float64]:
        """Train networks of one depth and read a number off each, shape ``(member, read)``.

        Of a gradient ``(member, 1)``, NaN where there is no such layer.
        """
        data = targets.noisy_sine(noise_seed=noise_seed)
        architecture = Architecture(activations.get(number.activation), draw.hidden, draw.width)
        training = train_stack(
            architecture,
            beginnings,
            schedule,
            data.x,
            data.noisy,
            lambda done: self._report(0),
        )
        if number.layer is None:
            return np.stack([_read(read, training, data.noisy) for read in self._space.read], -1)
        if number.layer > draw.hidden + 1:
            return np.full((len(beginnings), 1), np.nan)
        gradient = training.recorded["gradient_magnitude"][:, 0, number.layer - 1]
        return gradient.astype(np.float64)[:, None]


def _read(read: str, training: Training, y: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    loss: NDArray[np.floating[Any]]
    match read:
        case "before_last_update":
            loss = training.loss[:, -1]
        case "lowest":
            loss = training.loss.min(-1)
        case _:
            # In the precision of the training, as a script that prints loss.item() has it.
            there = y.astype(training.prediction.dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                loss = np.square(training.prediction - there).mean(-1)
    return loss


Evaluator: TypeAlias = _Gradients | Trainings


def evaluator(plan: Plan, report: Callable[[int], None] = lambda done: None) -> Evaluator:
    """Return what computes a plan's numbers."""
    gradients = isinstance(plan.search, GradientSearch)
    return _Gradients(plan, report) if gradients else Trainings(plan, report)
