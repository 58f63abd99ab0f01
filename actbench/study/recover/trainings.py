"""Losses of trained networks and gradients on the way, only where they are asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.study.catalog import activations, targets
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Schedule, Training, train_stack
from actbench.study.recover.schema import Number, TrainingSearch
from actbench.study.recover.space import TRAINING_READINGS, Draw, Plan
from actbench.study.recover.streams import Beginning, Drawn, Streams

_STACK_MEMBERS = 40
_EPOCHS = TRAINING_READINGS.index("epochs")


class Trainings:
    """Evaluates the numbers of some of a plan's networks."""

    def __init__(self, plan: Plan, report: Callable[[int], None] = lambda done: None) -> None:
        if not isinstance(plan.search, TrainingSearch):
            raise TypeError("not a search for final losses")
        self._space = plan.search.space
        self._report = report

    def values(
        self, number: Number, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Train the networks that are wanted and read the number off them."""
        space, streams = self._space, Streams()
        epochs = space.epochs if number.updates is None else (number.updates,)
        axes: tuple[tuple[Any, ...], ...] = (
            *(space.learning_rate, space.weight_decay, epochs, space.noise_seed, space.dtype),
        )
        wanted = needed.reshape(
            len(draws), *(len(getattr(space, name)) for name in TRAINING_READINGS)
        )
        found = np.full(wanted.shape, np.nan)
        asked: NDArray[np.bool_] = np.any(wanted, axis=-1)
        if number.updates is not None:
            asked = np.any(asked, axis=1 + _EPOCHS, keepdims=True)  # behind that of the draws
        drawn: dict[int, Drawn] = {}
        hidden = np.array([draw.hidden for draw in draws])
        for depth, *where in itertools.product(set(hidden.tolist()), *map(range, asked.shape[2:])):
            rate, decay, updates, noise, dtype = (
                axis[n] for axis, n in zip(axes, where, strict=True)
            )
            schedule = Schedule(
                epochs=max(updates, 1),
                learning_rate=rate,
                weight_decay=decay,
                dtype=dtype,
                recorded_epochs=() if number.updates is None else (updates,),
            )
            members = np.argwhere(asked[(..., *where)] & (hidden == depth)[:, None]).tolist()
            for start in range(0, len(members), _STACK_MEMBERS):
                part = members[start : start + _STACK_MEMBERS]
                for place, _ in part:
                    if place not in drawn:
                        drawn[place] = streams.network(draws[place])
                beginnings = [Beginning(drawn[place], space.bias[bias]) for place, bias in part]
                values = self.read(number, draws[part[0][0]], beginnings, schedule, noise)
                there: list[Any] = list(where)
                if number.updates is not None:
                    there[_EPOCHS - 1] = slice(None)  # without that of the biases
                for (place, bias), value in zip(part, values, strict=True):
                    found[(place, bias, *there)] = value
        return found.reshape(len(draws), -1)

    def read(
        self,
        number: Number,
        draw: Draw,
        beginnings: Sequence[Beginning],
        schedule: Schedule,
        noise_seed: int,
    ) -> NDArray[np.float64]:
        """Train networks of one depth and read a number off each."""
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
