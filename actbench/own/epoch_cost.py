"""What one epoch of training costs with each activation, beside ReLU in the same minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from actbench import datasets, devices, environment
from actbench.engines import PlainLoop
from actbench.experiments._protocol import own_code
from actbench.stopwatch import Stopwatch
from actbench.torch_state import pinned_state

CONTROL = "relu"
_DURATION = "processor time of one epoch of a plain training loop"
_COST = "epoch_duration_s over that of ReLU in the same round"


@dataclass(frozen=True)
class Config:
    """The protocol: the study's network in a plain loop, as a script of one's own would train it.

    Args:
        activations: Keys of the activations, ReLU among them.
        rounds: In each round every activation is timed once, in an order that turns from round to
            round, so that what the machine does meanwhile falls on all alike.
        epochs: Updates per timing.
    """

    activations: Sequence[str]
    rounds: int = 41
    epochs: int = 4

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: timings, and one warm-up of each activation."""
        return len(self.activations) * (self.rounds + 1)

    def protocol(self) -> dict[str, Any]:
        """List every setting."""
        return {
            "activations": list(self.activations),
            "rounds": self.rounds,
            "epochs": self.epochs,
            "network": "10 hidden layers of 64 units, 200 points, float32, CPU, one thread",
            "loop": "nn.Sequential, autograd, torch.optim.Adam; not the stack",
            "clock": "processor time of this process",
            **own_code(self),
        }


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Time epochs of every activation in turn.

    Args:
        config: The protocol.
        progress: Called once per timing.

    Returns:
        Dataset with ``epoch_duration_s`` and ``epoch_cost (activation, round)``, the second over
        ReLU's of the same round.
    """
    with devices.using_threads(1) as threads:
        loops = [PlainLoop(key, torch.device("cpu")) for key in config.activations]
        # Processor time: other work on the machine lengthens it far less.
        watch = Stopwatch(clock=time.process_time)
        watch.units = config.epochs
        for loop in loops:
            loop.train(config.epochs)  # memory, and what torch loads on first use
            progress(1)
        durations = np.empty((len(loops), config.rounds))
        for turn in range(config.rounds):
            for place in np.roll(np.arange(len(loops)), turn):
                work = partial(loops[place].train, config.epochs)
                durations[place, turn] = watch.time(work)
                progress(1)
    control = durations[list(config.activations).index(CONTROL)]
    dims = ("activation", "round")
    dataset = xr.Dataset(
        {
            name: (dims, values, {"definition": definition, "units": unit})
            for name, values, definition, unit in (
                ("epoch_duration_s", durations, _DURATION, "s"),
                ("epoch_cost", durations / control, _COST, "1"),
            )
        },
        coords={"activation": list(config.activations), "round": np.arange(config.rounds)},
    )
    return datasets.finish(
        dataset, "epoch-cost", config.protocol(), environment.describe("cpu", threads)
    )
