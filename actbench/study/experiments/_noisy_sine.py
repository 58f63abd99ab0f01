"""Networks of one shape per activation, trained on the noisy sine: what two experiments share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
import xarray as xr

from actbench.store import datasets, environment
from actbench.store.checkpoints import Checkpoint
from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.targets import Target
from actbench.study.experiments import settings
from actbench.study.nets import devices
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import (
    Member,
    Recorder,
    Schedule,
    Training,
    gradient_magnitudes,
    train,
)


class Settings(settings.Settings):
    """Of networks that may be drawn one after the other from one random state."""

    activations: Sequence[str]
    epochs: int
    initializer: str
    learning_rate: float
    depth: int
    width: int
    points: int
    noise_std: float
    noise_seed: int
    drawn_in_order: Sequence[str]
    device: str
    dtype: str
    threads: int | None

    not_in_protocol = ("drawn_in_order",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "drawn_in_order", self._order())

    def _order(self) -> tuple[str, ...]:
        """Check the order, which must name all that is trained, or nothing."""
        if not self.drawn_in_order:
            return ()
        order = settings.names("drawn_in_order", self.drawn_in_order, activations.get)
        for key in self.activations:
            if key not in order:
                raise ActbenchError(
                    f"activations name {key!r}, but drawn_in_order is {list(order)!r}; name it "
                    "there too, where its network is drawn, or leave it out of the activations"
                )
        return order

    @property
    def recorded_epochs(self) -> tuple[int, ...]:
        """Epochs at which something is kept beside the loss."""
        raise NotImplementedError

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes, and where the random state stands before a network."""
        before = "reset to the member's seed before each network"
        if self.drawn_in_order:
            order = ", ".join(self.drawn_in_order)
            before = f"set to the member's seed once, then running on through {order}"
        return {
            "optimizer": "Adam, betas 0.9 and 0.999, eps 1e-8, full batch",
            "objective": "mean squared error on the noisy targets",
            "random_state": before,
        }

    def architecture(self, key: str) -> Architecture:
        """Return the shape of an activation's networks."""
        return Architecture(activations.get(key), self.depth, self.width)

    def members(self, key: str) -> list[Member]:
        """One per seed of an activation's network, behind those that are drawn before."""
        draw = initializers.get(self.initializer)
        earlier = takewhile(lambda other: other != key, self.drawn_in_order)
        before = tuple(map(self.architecture, earlier))
        return [Member(seed, draw, before) for seed in self.seed_list]

    def schedule(self, device: torch.device) -> Schedule:
        """Return how every network is trained."""
        return Schedule(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            recorded_epochs=self.recorded_epochs,
            device=device,
            dtype=self.dtype,
        )


def train_each(
    experiment: str,
    config: Settings,
    labelled: Callable[[str, Target, Training], xr.Dataset],
    progress: Callable[[int], None],
    checkpoint: Checkpoint,
    recorder: Recorder = gradient_magnitudes,
) -> xr.Dataset:
    """Train every activation from every seed, keep each as it is finished, and join them."""
    device = devices.choose(config.device)
    target = targets.noisy_sine(config.points, config.noise_std, config.noise_seed)
    schedule = config.schedule(device)
    with devices.using_threads(config.threads) as threads:

        def part(key: str) -> xr.Dataset:
            training = train(
                config.architecture(key),
                config.members(key),
                schedule,
                target.x,
                target.noisy,
                progress,
                threads,
                recorder=recorder,
            )
            return labelled(key, target, training)

        along = {"activation": config.activations}
        dataset = settings.in_parts(config, along, part, checkpoint)
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, experiment, config.protocol(), facts)


def labels(config: Settings, key: str, target: Target, hidden: Sequence[int]) -> dict[str, Any]:
    """Return the coordinates of an activation's part, with the hidden layers that it keeps."""
    return {
        "activation": [key],
        "seed": np.array(config.seed_list, dtype=np.int32),
        "epoch": np.arange(config.epochs, dtype=np.int32),
        "recorded_epoch": np.array(config.recorded_epochs, dtype=np.int32),
        "layer": np.arange(1, config.depth + 2, dtype=np.int32),
        "hidden_layer": np.array(hidden, dtype=np.int32),
        "x": target.x,
    }
