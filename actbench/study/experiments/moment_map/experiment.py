"""How one layer maps the mean and variance of what enters it, with no network at all.

A unit whose many inputs are independent, with one mean and one variance, has a nearly normal
pre-activation; its own mean and variance follow from the sum of its weights and the sum of their
squares (Klambauer et al. 2017, eq. 3). Here that integral is taken over activations as torch
computes them, so that theorems about the map can be held against it.
"""

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
from actbench.study import theory
from actbench.study.catalog import activations
from actbench.study.experiments import settings
from actbench.study.nets.devices import pinned_state

_RANGES = ("means", "variances", "weight_sums", "weight_squares")
_DIMS = ("mean", "variance", "weight_sum", "weight_square")


@dataclass(frozen=True)
class Config(settings.Settings):
    """A box of means, variances and weights, and how often the map is applied.

    Args:
        activations: Keys.
        means: Smallest and largest mean of a layer's inputs.
        variances: Smallest and largest variance of them, above 0.
        weight_sums: Smallest and largest sum of a unit's weights.
        weight_squares: Smallest and largest sum of their squares, above 0.
        points: Points of each range, evenly spaced with both ends; one where the ends are equal.
        layers: How often the map is applied, at least 1.
        seeds: Not used.
        device: Not used: integrals are evaluated on the CPU.
        threads: Not used.

    Raises:
        ActbenchError: A setting is out of range or a name is not known.
    """

    activations: Sequence[str] = ("selu",)
    means: Sequence[float] = (-0.1, 0.1)
    variances: Sequence[float] = (0.8, 1.5)
    weight_sums: Sequence[float] = (-0.1, 0.1)
    weight_squares: Sequence[float] = (0.95, 1.1)
    points: int = 5
    layers: int = 1
    seeds: object = None
    device: str = "cpu"
    threads: int | None = None

    not_in_protocol = ("seeds", "device", "threads")
    checked = settings.checks(
        **settings.NOT_USED,
        **dict.fromkeys(_RANGES, settings.ordered_pair),
        layers=require_positive_int,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("variances", "weight_squares"):
            settings.positive(name, getattr(self, name)[0])

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {"dtype": "float64"}

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: activations times layers."""
        return len(self.activations) * self.layers


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Apply the map to every point of the box.

    Args:
        config: The protocol.
        progress: Called once per activation and layer.

    Returns:
        Dataset with ``next_mean`` and ``next_variance`` after all layers, and ``jacobian_norm`` of
        the first, ``(activation, mean, variance, weight_sum, weight_square)``.
    """
    axes = {
        dim: _axis(getattr(config, name), config.points)
        for dim, name in zip(_DIMS, _RANGES, strict=True)
    }
    grid = tuple(np.meshgrid(*axes.values(), indexing="ij"))
    found = [_of_activation(key, grid, config.layers, progress) for key in config.activations]
    names = ("next_mean", "next_variance", "jacobian_norm")
    dataset = xr.Dataset(
        {
            name: (("activation", *_DIMS), np.stack([parts[number] for parts in found]))
            for number, name in enumerate(names)
        },
        coords={"activation": list(config.activations), **axes},
    )
    return datasets.finish(dataset, "moment-map", config.protocol(), environment.describe("cpu", 1))


def _axis(ends: Sequence[float], points: int) -> NDArray[np.float64]:
    return np.unique(np.linspace(ends[0], ends[1], points))


def _of_activation(
    key: str, grid: tuple[NDArray[np.float64], ...], layers: int, progress: Callable[[int], None]
) -> tuple[NDArray[np.float64], ...]:
    module = activations.get(key).module()
    mean, variance, weight_sum, weight_square = grid
    norm = _jacobian_norm(module, *grid)
    for _ in range(layers):
        mean, second = _moments(module, mean * weight_sum, variance * weight_square)
        variance = second - np.square(mean)
        progress(1)
    return mean, variance, norm


def _moments(
    module: nn.Module, center: NDArray[np.float64], width: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the activation and of its square."""

    def value(z: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            numbers: NDArray[np.float64] = module(torch.from_numpy(z).clone()).numpy()
        return numbers

    first = theory.shifted_gaussian_mean(value, center, width)
    return first, theory.shifted_gaussian_mean(lambda z: np.square(value(z)), center, width)


def _jacobian_norm(
    module: nn.Module,
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    weight_sum: NDArray[np.float64],
    weight_square: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Largest singular value of the map's derivative.

    By partial integration: d E[f] / d mean of z is E[f'], d E[f] / d variance of z is
    E[f' (z - mean)] / (2 variance), which needs no second derivative.
    """
    center, width = mean * weight_sum, variance * weight_square

    def slopes(z: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        inputs = torch.tensor(z, requires_grad=True)
        (module(inputs * 1) ** power).sum().backward()
        assert inputs.grad is not None  # noqa: S101 - for the type checker
        return inputs.grad.numpy()

    def row(power: int) -> NDArray[np.float64]:
        by_center = theory.shifted_gaussian_mean(lambda z: slopes(z, power), center, width)
        by_width = theory.shifted_gaussian_mean(
            lambda z: slopes(z, power) * (z - center[..., None]), center, width
        )
        return np.stack([by_center * weight_sum, by_width / (2 * width) * weight_square], -1)

    of_mean, of_square = row(1), row(2)
    first, _ = _moments(module, center, width)
    # The variance is the mean square less the squared mean.
    jacobian = np.stack([of_mean, of_square - 2 * first[..., None] * of_mean], -2)
    largest: NDArray[np.float64] = np.linalg.norm(jacobian, ord=2, axis=(-2, -1))
    return largest
