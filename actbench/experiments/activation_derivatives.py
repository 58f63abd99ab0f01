"""The derivative of every activation as torch computes it, on a grid of inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from actbench import datasets, environment
from actbench.activations import ACTIVATIONS
from actbench.errors import require_positive_int


@dataclass(frozen=True)
class Config:
    """Grid of inputs; no seed enters.

    Args:
        reach: Inputs run from -reach to reach; beyond 20 every derivative is at its limit.
        points: Number of inputs; the default has a spacing of 0.001 and includes 0.
        seeds: Not used.
        device: Not used: derivatives are evaluated on the CPU.
        threads: Not used.
    """

    reach: float = 20.0
    points: int = 40_001
    seeds: object = None
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        require_positive_int("points", self.points)

    def protocol(self) -> dict[str, Any]:
        """List every setting that a number depends on.

        Returns:
            Names and values.
        """
        return {"reach": self.reach, "points": self.points, "dtype": "float64"}

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports."""
        return len(ACTIVATIONS)


def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Evaluate the derivative of all eight activations by autograd, in float64.

    Args:
        config: The grid.
        progress: Called once per activation.

    Returns:
        Dataset with ``derivative (activation, z)``.
    """
    z = np.linspace(-config.reach, config.reach, config.points)
    derivatives = []
    for activation in ACTIVATIONS.values():
        inputs = torch.tensor(z, requires_grad=True)
        activation.module()(inputs).sum().backward()
        derivatives.append(inputs.grad.numpy() if inputs.grad is not None else np.zeros_like(z))
        progress(1)
    dataset = xr.Dataset(
        {"derivative": (("activation", "z"), np.stack(derivatives))},
        coords={"activation": list(ACTIVATIONS), "z": z},
    )
    facts = environment.describe("cpu", 1)
    return datasets.finish(dataset, "activation-derivatives", config.protocol(), facts)


def study_files(dataset: xr.Dataset) -> dict[str, Any]:  # noqa: ARG001 - one signature for all
    """Return the study's files of this experiment: it has none."""
    return {}


def calibration(config: Config) -> Config:
    """Return a run from which to estimate how long a run takes: itself, as it takes no time."""
    return config
