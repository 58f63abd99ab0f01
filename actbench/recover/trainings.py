"""Final losses of trained networks, only where they are asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench import activations, targets
from actbench.networks import Architecture
from actbench.recover.schema import TrainingSearch
from actbench.recover.space import Draw, Plan
from actbench.recover.streams import Beginning, Drawn, Streams
from actbench.training import Schedule, Training, train_stack

_STACK_MEMBERS = 40


class Trainings:
    """Evaluates the final losses of some of a plan's networks.

    Args:
        plan: The plan of a ``TrainingSearch``.
        report: Called now and then with 0, so that an interruption is noticed.
    """

    def __init__(self, plan: Plan, report: Callable[[int], None] = lambda done: None) -> None:
        if not isinstance(plan.search, TrainingSearch):
            raise TypeError("not a search for final losses")
        self._space = plan.search.space
        self._report = report

    def values(
        self, activation: str, draws: Sequence[Draw], needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Train the networks that are wanted and read their losses.

        Args:
            activation: Of every network.
            draws: The networks, each once.
            needed: What is wanted, shape ``(draw, reading)``; more may be given.

        Returns:
            Losses, shape ``(draw, reading)``; NaN where nothing was wanted.
        """
        space, streams = self._space, Streams()
        axes: tuple[tuple[Any, ...], ...] = (
            *(space.learning_rate, space.weight_decay, space.epochs, space.noise_seed, space.dtype),
        )
        shape = (len(draws), len(space.bias), *map(len, axes), len(space.read))
        found = np.full(shape, np.nan)
        asked: NDArray[np.bool_] = np.any(needed.reshape(shape), axis=-1)
        drawn: dict[int, Drawn] = {}
        hidden = np.array([draw.hidden for draw in draws])
        for depth, *where in itertools.product(set(hidden.tolist()), *map(range, asked.shape[2:])):
            rate, decay, epochs, noise, dtype = (
                axis[n] for axis, n in zip(axes, where, strict=True)
            )
            schedule = Schedule(epochs=epochs, learning_rate=rate, weight_decay=decay, dtype=dtype)
            members = np.argwhere(asked[(..., *where)] & (hidden == depth)[:, None]).tolist()
            for start in range(0, len(members), _STACK_MEMBERS):
                part = members[start : start + _STACK_MEMBERS]
                for place, _ in part:
                    if place not in drawn:
                        drawn[place] = streams.network(draws[place])
                beginnings = [Beginning(drawn[place], space.bias[bias]) for place, bias in part]
                losses = self._train(activation, draws[part[0][0]], beginnings, schedule, noise)
                for (place, bias), loss in zip(part, losses, strict=True):
                    found[(place, bias, *where)] = loss
        return found.reshape(len(draws), -1)

    def _train(
        self,
        activation: str,
        draw: Draw,
        beginnings: Sequence[Beginning],
        schedule: Schedule,
        noise_seed: int,
    ) -> NDArray[np.float64]:
        """Train members of one depth; return losses, shape ``(member, read)``."""
        data = targets.noisy_sine(noise_seed=noise_seed)
        architecture = Architecture(activations.get(activation), draw.hidden, draw.width)
        training = train_stack(
            architecture,
            beginnings,
            schedule,
            data.x,
            data.noisy,
            lambda done: self._report(0),
        )
        return np.stack([_read(read, training, data.noisy) for read in self._space.read], -1)


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
