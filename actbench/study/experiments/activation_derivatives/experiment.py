"""The derivative of every activation as torch computes it, on a grid of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from actbench.store import datasets, environment
from actbench.store.errors import require_positive_int
from actbench.study.catalog import activations
from actbench.study.experiments import settings
from actbench.study.experiments.settings import own_code
from actbench.study.nets.devices import pinned_state

# Rounding of the difference is then 1e-11 of the value.
_STEP = 1e-5
_EIGHT = tuple(activations.ACTIVATIONS)


@dataclass(frozen=True)
class Config(settings.Settings):
    """Grid of inputs; no seed enters.

    Args:
        reach: Inputs run from -reach to reach; beyond 20 every derivative is at its limit.
        points: Number of inputs; the default has a spacing of 0.001 and includes 0.
        activations: Keys of the activations.
        seeds: Not used.
        device: Not used: derivatives are evaluated on the CPU.
        threads: Not used.
    """

    reach: float = 20.0
    points: int = 40_001
    activations: Sequence[str] = _EIGHT
    seeds: object = None
    device: str = "cpu"
    threads: int | None = None

    checked = settings.checks(**settings.NOT_USED, points=require_positive_int)

    def protocol(self) -> dict[str, Any]:
        """List every setting that a number depends on.

        Returns:
            Names and values.
        """
        # Results that name no activations are of all eight.
        some = {} if self.activations == _EIGHT else {"activations": list(self.activations)}
        grid = {"reach": self.reach, "points": self.points, "dtype": "float64"}
        return {**grid, **some, **own_code(self)}

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports."""
        return len(self.activations)


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Evaluate the derivative of activations by autograd, in float64.

    Args:
        config: The grid.
        progress: Called once per activation.

    Returns:
        Dataset with ``value``, ``derivative``, ``backward_difference`` and ``forward_difference
        (activation, z)``.
    """
    z = np.linspace(-config.reach, config.reach, config.points)
    parts = []
    for activation in map(activations.get, config.activations):
        parts.append(_evaluated(activation.module().double(), z))
        progress(1)
    names = ("value", "derivative", "backward_difference", "forward_difference")
    stacked = np.stack(parts, 1)  # (name, activation, z)
    dataset = xr.Dataset(
        {n: (("activation", "z"), rows) for n, rows in zip(names, stacked, strict=True)},
        coords={"activation": list(config.activations), "z": z},
    )
    facts = environment.describe("cpu", 1)
    return datasets.finish(dataset, "activation-derivatives", config.protocol(), facts)


def _evaluated(module: nn.Module, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value, derivative, and the two one-sided differences, between which the derivative lies."""
    inputs = torch.tensor(z, requires_grad=True)
    module(inputs.clone()).sum().backward()
    derivative = inputs.grad.numpy() if inputs.grad is not None else np.zeros_like(z)
    with torch.no_grad():
        below, here, above = (module(torch.tensor(z + h)).numpy() for h in (-_STEP, 0, _STEP))
    return np.stack([here, derivative, (here - below) / _STEP, (above - here) / _STEP])


def calibration(config: Config) -> Config:
    """Return a run from which to estimate how long a run takes: itself, as it takes no time."""
    return config
