"""The study's experiment on gradient flow at initialization, and a robust form of it.

The *recovered* protocol gives the study's published gradient ratios to their printed digits. It is
one draw per network of a random stream that runs on from model to model, with a loss that is not
the training loss. The *robust* protocol asks the same question over many seeds and initializers,
and keeps the error signal beside the weight gradients.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench import activations, datasets, devices, environment, initializers
from actbench.errors import ActbenchError, require_positive_int
from actbench.networks import (
    Architecture,
    Stack,
    linear_layers,
    reference_network,
    seeded_network,
)

_RECOVERED_BATCH = 32
_STACK_MEMBERS = 50


@dataclass(frozen=True)
class Config:
    """The protocol of both parts.

    Args:
        activations: Keys, in the order in which the recovered protocol draws its networks.
        depths: Hidden layers of the recovered protocol, in its order; each at least 1.
        recovered_seed: Seed to which torch is reset once, before the first network.
        seeds: A count (then 42, 43, ...) or the seeds of the robust protocol.
        initializers: Keys of the initializers of the robust protocol.
        robust_depths: Hidden layers of the robust protocol.
        width: Units per hidden layer, at least 1.
        points: Inputs of the robust protocol, evenly spaced on [-pi, pi], at least 2.
        device: Not used: both parts are one pass per network, on the CPU.
        threads: Not used: the products are too small to be split between threads.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    depths: Sequence[int] = (5, 10, 20, 50)
    recovered_seed: int = 42
    seeds: int | Sequence[int] = 200
    initializers: Sequence[str] = (
        "torch_default",
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
    )
    robust_depths: Sequence[int] = (10,)
    width: int = 64
    points: int = 50
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("activations", "depths", "initializers", "robust_depths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ActbenchError(f"{name} is empty, but must name at least one")
        for key in self.activations:
            activations.get(key)
        for key in self.initializers:
            initializers.get(key)
        for depth in (*self.depths, *self.robust_depths):
            require_positive_int("depth", depth)
        require_positive_int("width", self.width)
        if require_positive_int("points", self.points) < 2:
            raise ActbenchError(f"points is {self.points!r}, but must be at least 2")
        seeds = self.seeds
        if isinstance(seeds, int):
            seeds = tuple(range(42, 42 + require_positive_int("seeds", seeds)))
        object.__setattr__(self, "seeds", tuple(seeds))

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: networks."""
        robust = len(self.robust_depths) * len(self.initializers) * len(_seeds(self))
        return len(self.activations) * (len(self.depths) + robust)

    def protocol(self) -> dict[str, Any]:
        """List every setting that a number depends on, with those that no argument changes.

        Returns:
            Names and values that JSON can hold.
        """
        names = [name for name in self.__dataclass_fields__ if name != "device"]
        settings = {name: getattr(self, name) for name in names}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
        return {
            **listed,
            "objective": "mean of the outputs, one backward pass, no update",
            "recovered": "one reset of the random state; per depth and activation: all linear "
            "layers, then Xavier-uniform weights and zero biases layer by layer, then 32 inputs "
            "from a standard normal; float32",
            "robust": "random state reset to the seed before each network; float64",
        }


def _seeds(config: Config) -> tuple[int, ...]:
    return tuple(config.seeds) if not isinstance(config.seeds, int) else (config.seeds,)


def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Back-propagate once through every network and keep what arrives at each layer.

    Args:
        config: The protocol.
        progress: Called with the number of networks done since the last call.

    Returns:
        Dataset with, of the recovered protocol, ``gradient_magnitude (activation, depth, layer)``
        and ``gradient_ratio (activation, depth)``; of the robust one,
        ``robust_gradient_magnitude`` and ``error_signal (activation, initializer, seed, depth,
        layer)``, and ``error_signal_rms (activation, initializer, depth, layer)``. Layers that a
        depth does not have are NaN.
    """
    layers = max((*config.depths, *config.robust_depths)) + 1
    with devices.using_threads(1) as threads:
        recovered = _recovered(config, layers, progress)
        magnitude, signal = _robust(config, layers, progress)
    robust_dims = ("activation", "initializer", "seed", "depth", "layer")
    depths = tuple(dict.fromkeys((*config.depths, *config.robust_depths)))
    coords = {
        "activation": list(config.activations),
        "initializer": list(config.initializers),
        "seed": np.array(_seeds(config), dtype=np.int32),
        "layer": np.arange(1, layers + 1, dtype=np.int32),
    }
    first = xr.Dataset(
        {
            "gradient_magnitude": (("activation", "depth", "layer"), recovered),
            "gradient_ratio": (("activation", "depth"), _ratio(recovered, config.depths)),
        },
        coords={**coords, "depth": np.array(config.depths, dtype=np.int32)},
    )
    second = xr.Dataset(
        {
            "robust_gradient_magnitude": (robust_dims, magnitude),
            "error_signal": (robust_dims, signal),
            "error_signal_rms": (
                ("activation", "initializer", "depth", "layer"),
                np.sqrt(np.mean(np.square(signal), axis=2)),
            ),
        },
        coords={**coords, "depth": np.array(config.robust_depths, dtype=np.int32)},
    )
    dataset = xr.merge(
        [part.reindex(depth=np.array(depths, dtype=np.int32)) for part in (first, second)],
        compat="no_conflicts",
        join="outer",
    )
    facts = environment.describe("cpu", threads)
    return datasets.finish(dataset, "gradient-flow", config.protocol(), facts)


def _ratio(magnitude: NDArray[np.float64], depths: Sequence[int]) -> NDArray[np.float64]:
    ratios = np.empty(magnitude.shape[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        for column, depth in enumerate(depths):
            ratios[:, column] = magnitude[:, column, depth] / magnitude[:, column, 0]
    return ratios


def _recovered(config: Config, layers: int, progress: Callable[[int], None]) -> NDArray[np.float64]:
    result = np.full((len(config.activations), len(config.depths), layers), np.nan)
    xavier = initializers.get("xavier_uniform")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.recovered_seed)
        for column, depth in enumerate(config.depths):
            for row, key in enumerate(config.activations):
                architecture = Architecture(activations.get(key), depth, config.width)
                network = reference_network(architecture, xavier)
                network(torch.randn(_RECOVERED_BATCH, 1)).mean().backward()
                result[row, column, : depth + 1] = [
                    layer.weight.grad.abs().mean().item()
                    for layer in linear_layers(network)
                    if layer.weight.grad is not None
                ]
                progress(1)
    return result


def _robust(
    config: Config, layers: int, progress: Callable[[int], None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shape = (
        len(config.activations),
        len(config.initializers),
        len(_seeds(config)),
        len(config.robust_depths),
        layers,
    )
    magnitude, signal = np.full(shape, np.nan), np.full(shape, np.nan)
    x = torch.linspace(-math.pi, math.pi, config.points, dtype=torch.float64)[:, None]
    for which, initializer in enumerate(config.initializers):
        for column, depth in enumerate(config.robust_depths):
            for members, seeds in _parts(_seeds(config)):
                for row, stack in enumerate(_stacks(config, initializer, depth, seeds)):
                    found = _flow(stack, x)
                    place = (row, which, members, column, slice(depth + 1))
                    magnitude[place], signal[place] = found
                    progress(len(seeds))
    return magnitude, signal


def _parts(seeds: Sequence[int]) -> Iterator[tuple[slice, Sequence[int]]]:
    for start in range(0, len(seeds), _STACK_MEMBERS):
        part = slice(start, min(start + _STACK_MEMBERS, len(seeds)))
        yield part, seeds[part]


def _stacks(config: Config, initializer: str, depth: int, seeds: Sequence[int]) -> Iterator[Stack]:
    """One stack per activation, all from the same initial weights, which are drawn once."""
    drawn: Tensor | None = None
    for key in config.activations:
        architecture = Architecture(activations.get(key), depth, config.width)
        networks = (
            seeded_network(architecture, initializers.get(initializer), seed)
            for seed in (seeds if drawn is None else ())
        )
        stack = Stack(
            architecture,
            networks,
            len(seeds),
            config.points,
            torch.device("cpu"),
            torch.float64,
        )
        if drawn is None:
            drawn = stack.parameters.detach().clone()
        with torch.no_grad():
            stack.parameters.copy_(drawn)
        yield stack


def _flow(stack: Stack, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    signal = np.empty((stack.count, stack.architecture.depth + 1))

    def observe(layer: int, error: Tensor) -> None:
        signal[:, layer - 1] = error.square().mean((1, 2)).sqrt().numpy()

    stack.forward(x)
    output_gradient = x.new_full((stack.count, len(x), 1), 1 / len(x))
    stack.backward(x, output_gradient, observe)
    magnitude = [gradient.abs().mean((1, 2)) for gradient in stack.weight_gradients]
    return torch.stack(magnitude, 1).numpy(), signal


def study_files(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the study's data file in its own shape, of the recovered protocol.

    Args:
        dataset: As ``run`` returns it.

    Returns:
        ``exp1_gradient_flow.json``: activation to depth to the layers' magnitudes (input side
        first), their ratio, smallest and largest. What is not finite becomes null when written.
    """
    content: dict[str, dict[str, Any]] = {}
    for key in dataset["activation"].to_numpy():
        content[str(key)] = {}
        for depth in datasets.protocol_of(dataset)["depths"]:
            chosen = dataset.sel(activation=key, depth=depth)
            found = chosen["gradient_magnitude"].to_numpy()[: depth + 1].tolist()
            content[str(key)][str(depth)] = {
                "grad_magnitudes": found,
                "grad_ratio": chosen["gradient_ratio"].item(),
                "min_grad": min(found),
                "max_grad": max(found),
            }
    return {"exp1_gradient_flow.json": content}


def calibration(config: Config) -> Config:
    """Return a short run of the same shape, from which to estimate how long a run takes.

    Args:
        config: The run to be estimated.

    Returns:
        The same networks for a few seeds.
    """
    return dataclasses.replace(config, seeds=_seeds(config)[:4])
