"""The study's experiment on gradient flow at initialization, and a robust form of it.

The *recovered* protocol gives the study's published gradient ratios to their printed digits. It is
one draw per network of a random stream that runs on from model to model, with a loss that is not
the training loss. The *robust* protocol asks the same question over many seeds and initializers,
and keeps the error signal beside the weight gradients. The *deep* part measures what mean-field
theory predicts, and the *spread* part how networks of one width differ; neither is the study's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from actbench.store import datasets, environment
from actbench.store.errors import require_positive_int
from actbench.store.parallel import Progress, side_by_side
from actbench.study.catalog import activations, initializers
from actbench.study.experiments import settings
from actbench.study.experiments.gradient_flow._passes import (
    Array,
    Part,
    flow,
    flow_and_squares,
    inputs,
    looked_at,
    slope,
)
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture, linear_layers, reference_network

# The spread part: one input and normal weights, so that theory needs no approximation but width.
SPREAD_ACTIVATIONS = ("linear", "tanh", "relu", "gelu")
"""Activations of the spread part."""
SPREAD_INITIALIZER = "he_normal"
"""Initializer of the spread part."""
SPREAD_DEPTH = 6
"""Hidden layers of the spread part; a network's slope is measured from layer 1 to this one."""

_RECOVERED_BATCH = 32
_FITTED_DEPTH = 40
_DEEP = {
    "theory_gap": _FITTED_DEPTH,
    "pooled_slope": _FITTED_DEPTH,
    "deep_slope_size": _FITTED_DEPTH,
    "deep_error_share": 1,
    "deep_gradient_ratio": 1,
    "deep_largest_gradient": 2,
}
"""Metric of the deep part to the hidden layers that it needs there."""

_widths = settings.each("width", require_positive_int)


@dataclass(frozen=True)
class Config(settings.Settings):
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
        deep_depth: Hidden layers of the deep part; 0 leaves it out.
        deep_seeds: At most so many of the seeds are used in the deep part.
        deep_points: Inputs of the deep part, evenly spaced on [-pi, pi], at least 2. Slopes
            pooled over 10 inputs are those over 50 within 0.003 decades per layer.
        spread_widths: Widths of the spread part; none leaves it out.
        device: Not used: both parts are one pass per network, on the CPU.
        threads: Parts that run side by side, each on one thread; ``None`` takes the physical cores,
            at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    depths: Sequence[int] = (5, 10, 20, 50)
    recovered_seed: int = 42
    seeds: int | Sequence[int] = 400
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
    deep_depth: int = 50
    deep_seeds: int = 64
    deep_points: int = 10
    spread_widths: Sequence[int] = (64, 128, 256, 512, 1024)
    device: str = "cpu"
    threads: int | None = None

    not_in_protocol = ("device", "threads")
    checked = settings.checks(
        depths=settings.each("depth", require_positive_int),
        robust_depths=settings.each("depth", require_positive_int),
        deep_depth=settings.zero_or_positive_int,
        deep_seeds=require_positive_int,
        deep_points=settings.at_least(2),
        spread_widths=lambda name, given: _widths(name, given) if given else (),
    )

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: networks."""
        robust = len(self.robust_depths) * len(self.initializers) * len(self.seed_list)
        deep = len(self.initializers) * len(self._deep_seeds) if self.deep_depth else 0
        spread = sum(map(self._spread_networks, self.spread_widths))
        return (
            len(self.activations) * (len(self.depths) + robust + deep)
            + len(self._spread_keys) * spread
        )

    @property
    def _deep_seeds(self) -> tuple[int, ...]:
        return self.seed_list[: self.deep_seeds]

    @property
    def _spread_keys(self) -> tuple[str, ...]:
        return tuple(key for key in SPREAD_ACTIVATIONS if key in self.activations)

    def _spread_networks(self, width: int) -> int:
        # Drawing a network takes time that grows with the square of its width.
        return min(len(self.seed_list), max(12, min(64, 64 * 192 // width)))

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "objective": "mean of the outputs, one backward pass, no update",
            "recovered": "one reset of the random state; per depth and activation: all linear "
            "layers, then Xavier-uniform weights and zero biases layer by layer, then 32 inputs "
            "from a standard normal; float32",
            "robust": "random state reset to the seed before each network; float64",
            "deep": "as robust",
            "spread": "as robust, but float32, one input at 1, and fewer networks beyond width 192",
            "spread_depth": SPREAD_DEPTH,
            "spread_initializer": SPREAD_INITIALIZER,
        }


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Back-propagate once through every network and keep what arrives at each layer.

    Args:
        config: The protocol.
        progress: Called with the number of networks done since the last call.

    Returns:
        Dataset with, of the recovered protocol, ``gradient_magnitude (activation, depth, layer)``
        and ``gradient_ratio (activation, depth)``; of the robust one,
        ``robust_gradient_magnitude`` and ``error_signal (activation, initializer, seed, depth,
        layer)``, and ``error_signal_rms (activation, initializer, depth, layer)``; of the deep
        part, ``deep_gradient_magnitude``, ``deep_error_signal`` and ``deep_preactivation_square
        (activation, initializer, deep_seed, layer)``; of the spread part, ``error_slope
        (spread_activation, width, network)``. Layers that a depth does not have, and networks
        that a width does not have, are NaN.
    """
    layers = max((*config.depths, *config.robust_depths, config.deep_depth)) + 1
    parts = [make(config, layers) for make in (_recovered, _robust, _deep, _spread)]
    with devices.using_threads(config.threads) as threads:
        jobs = [job for jobs, _ in parts for job in jobs]
        results = iter(side_by_side(jobs, progress, threads))
    first, second, deep, spread = (gather([next(results) for _ in jobs]) for jobs, gather in parts)
    depths = list(dict.fromkeys((*config.depths, *config.robust_depths)))
    dataset = xr.merge(
        [part.reindex(depth=np.array(depths, dtype=np.int32)) for part in (first, second)],
        compat="no_conflicts",
        join="outer",
    )
    dataset = dataset.merge(deep).merge(spread)
    facts = environment.describe("cpu", threads=1)  # that each pass runs on
    return datasets.finish(dataset, "gradient-flow", config.protocol(), facts)


def _labelled(
    config: Config, variables: Mapping[str, Any], depths: Sequence[int], layers: int
) -> xr.Dataset:
    return xr.Dataset(
        variables,
        coords={
            "activation": list(config.activations),
            "initializer": list(config.initializers),
            "seed": np.array(config.seed_list, dtype=np.int32),
            "layer": np.arange(1, layers + 1, dtype=np.int32),
            "depth": np.array(depths, dtype=np.int32),
        },
    )


def _recovered(config: Config, layers: int) -> Part:
    def gather(results: list[Any]) -> xr.Dataset:
        (magnitude,) = results
        at = np.array(config.depths)[None, :, None]
        last = np.take_along_axis(magnitude, at, axis=2)[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = last / magnitude[:, :, 0]
        variables = {
            "gradient_magnitude": (("activation", "depth", "layer"), magnitude),
            "gradient_ratio": (("activation", "depth"), ratio),
        }
        return _labelled(config, variables, config.depths, layers)

    return [partial(_recovered_magnitudes, config, layers)], gather


def _recovered_magnitudes(config: Config, layers: int, progress: Progress) -> Array:
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


def _robust(config: Config, layers: int) -> Part:
    networks = [(depth, config.width, config.seed_list) for depth in config.robust_depths]
    jobs, stacked = looked_at(
        config.activations, config.initializers, networks, inputs(config.points), flow, layers
    )

    def gather(results: list[Any]) -> xr.Dataset:
        magnitude, signal = stacked(results)
        pooled = np.sqrt(np.mean(np.square(signal), axis=2))
        dims = ("activation", "initializer", "seed", "depth", "layer")
        variables = {
            "robust_gradient_magnitude": (dims, magnitude),
            "error_signal": (dims, signal),
            "error_signal_rms": (("activation", "initializer", "depth", "layer"), pooled),
        }
        return _labelled(config, variables, config.robust_depths, layers)

    return jobs, gather


def _deep(config: Config, layers: int) -> Part:
    if not config.deep_depth:
        return [], lambda found: xr.Dataset()
    seeds = config._deep_seeds
    networks = [(config.deep_depth, config.width, seeds)]
    x = inputs(config.deep_points)
    jobs, stacked = looked_at(
        config.activations, config.initializers, networks, x, flow_and_squares, layers
    )
    names = ("deep_gradient_magnitude", "deep_error_signal", "deep_preactivation_square")
    dims = ("activation", "initializer", "deep_seed", "layer")

    def gather(results: list[Any]) -> xr.Dataset:
        found = stacked(results)[..., 0, :]
        return xr.Dataset(
            {name: (dims, values) for name, values in zip(names, found, strict=True)},
            coords={"deep_seed": np.array(seeds, dtype=np.int32)},
        )

    return jobs, gather


def _spread(config: Config, layers: int) -> Part:  # noqa: ARG001 - as every part
    keys, widths = config._spread_keys, config.spread_widths
    if not (keys and widths):
        return [], lambda found: xr.Dataset()
    networks = [
        (SPREAD_DEPTH, width, config.seed_list[: config._spread_networks(width)])
        for width in widths
    ]
    jobs, stacked = looked_at(keys, (SPREAD_INITIALIZER,), networks, torch.ones(1, 1), slope, 1)

    def gather(results: list[Any]) -> xr.Dataset:
        slopes = stacked(results)[0, :, 0, :, :, 0].swapaxes(1, 2).copy()
        return xr.Dataset(
            {"error_slope": (("spread_activation", "width", "network"), slopes)},
            coords={
                "spread_activation": list(keys),
                "width": np.array(widths, dtype=np.int32),
            },
        )

    return jobs, gather


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
    """Return the same networks for few seeds, to estimate how long a run takes.

    Without those of the spread part, where a few of the widest would stand for all.
    """
    return dataclasses.replace(config, seeds=config.seed_list[:4], spread_widths=())


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    if metric["name"] == "spread_over_theory":
        keys = tuple(key for key in config.activations if key in SPREAD_ACTIVATIONS)
        return {"activation": (keys, "activations")}
    if not str(metric["name"]).startswith("recovered_"):
        return {"depth": (tuple(config.robust_depths), "robust_depths")}
    # Layers beyond those of its depth are there, but hold nothing.
    return {"layer": (range(1, metric["depth"] + 2),)}


def problems(metric: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Say which parts a metric needs that a protocol leaves out."""
    name = str(metric["name"])
    if _DEEP.get(name, 0) > config.deep_depth:
        yield (
            f"{name} needs a deep_depth of at least {_DEEP[name]}, but the claim's protocol has "
            f"{config.deep_depth}; change that setting"
        )
    if name == "spread_over_theory" and not config.spread_widths:
        yield (
            f"{name} needs spread_widths, but the claim's protocol has none; change that setting"
        )
