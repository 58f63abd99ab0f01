"""What follows from the study's targets and tables alone, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench.store import datasets
from actbench.store.environment import describe
from actbench.study import theory
from actbench.study.catalog import targets
from actbench.study.experiments import settings

# The two loss tables of the study: its model card (digits from its file of final losses), and
# its report, for the same set-up.
_CARD = {
    "linear": 0.213001385,
    "sigmoid": 0.518152952,
    "relu": 0.008041415,
    "leaky_relu": 0.008040654,
    "gelu": 0.008317092,
}
_REPORT = {"linear": 0.4231, "sigmoid": 0.4975, "relu": 0.0, "leaky_relu": 0.0001, "gelu": 0.0002}


@dataclass(frozen=True)
class Config(settings.Settings):
    """Nothing here depends on a seed or a device; the settings exist for uniformity.

    Args:
        points: Points of each target, evenly spaced, at least 2.
        seeds: Not used.
        device: Not used.
        threads: Not used.
    """

    points: int = 200
    seeds: object = None
    device: str = "cpu"
    threads: int | None = None

    not_in_protocol = ("seeds", "device", "threads")
    checked = settings.checks(**settings.NOT_USED)

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports."""
        return 0


def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,  # noqa: ARG001 - one signature for all
) -> xr.Dataset:
    """Compute floors of several targets and compare the study's two loss tables.

    Args:
        config: The protocol.
        progress: Not called: this takes no time.

    Returns:
        Dataset with ``best_constant_mse``, ``best_line_mse`` and ``best_unit_interval_mse
        (target)``, ``noise_mse (target)``, the mean square of the noise, and ``report_over_card
        (activation)``.
    """
    noisy = targets.noisy_sine(config.points)
    x = np.linspace(0, 2 * np.pi, config.points)
    values = {
        "noisy_sine": (noisy.x, noisy.noisy),
        "sine_one_period": (noisy.x, noisy.clean),
        "sine_two_periods": (x, np.sin(2 * x)),
    }
    floors = np.array([_floors(a, b) for a, b in values.values()])
    dataset = xr.Dataset(
        {
            "best_constant_mse": ("target", floors[:, 0]),
            "best_line_mse": ("target", floors[:, 1]),
            "best_unit_interval_mse": ("target", floors[:, 2]),
            "noise_mse": ("target", [float(np.mean(np.square(noisy.noisy - noisy.clean))), 0, 0]),
            "report_over_card": ("activation", [_REPORT[a] / _CARD[a] for a in _CARD]),
        },
        coords={"target": list(values), "activation": list(_CARD)},
    )
    return datasets.finish(dataset, "closed-forms", config.protocol(), describe("cpu", 1))


def _floors(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    return theory.best_constant_mse(y), theory.best_line_mse(x, y), theory.best_unit_interval_mse(y)


def calibration(config: Config) -> Config:
    """Return a run from which to estimate how long a run takes: itself, as it takes no time."""
    return config
