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
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench.store import datasets, environment
from actbench.store.parallel import Progress, side_by_side
from actbench.study.catalog import activations, initializers
from actbench.study.experiments.gradient_flow import _passes
from actbench.study.experiments.gradient_flow._passes import Part, spread_over_width
from actbench.study.experiments.gradient_flow._protocol import (
    SPREAD_ACTIVATIONS,
    SPREAD_DEPTH,
    SPREAD_INITIALIZER,
    Config,
    deep_seeds_of,
)
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture, linear_layers, reference_network
from actbench.study.nets.stacks import Stack

__all__ = [
    "SPREAD_ACTIVATIONS",
    "SPREAD_DEPTH",
    "SPREAD_INITIALIZER",
    "Config",
    "calibration",
    "coordinates",
    "problems",
    "run",
    "study_files",
]

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
    with devices.using_threads(config.threads) as threads:
        recovered, (magnitude, signal), deep, spread = _measure(config, layers, progress, threads)
    depths = tuple(dict.fromkeys((*config.depths, *config.robust_depths)))
    coords = {
        "activation": list(config.activations),
        "initializer": list(config.initializers),
        "seed": np.array(config.seed_list, dtype=np.int32),
        "layer": np.arange(1, layers + 1, dtype=np.int32),
    }
    first = xr.Dataset(
        _recovered_variables(config, recovered),
        coords={**coords, "depth": np.array(config.depths, dtype=np.int32)},
    )
    second = xr.Dataset(
        _robust_variables(magnitude, signal),
        coords={**coords, "depth": np.array(config.robust_depths, dtype=np.int32)},
    )
    dataset = xr.merge(
        [part.reindex(depth=np.array(depths, dtype=np.int32)) for part in (first, second)],
        compat="no_conflicts",
        join="outer",
    )
    dataset = dataset.merge(deep).merge(spread)
    facts = environment.describe("cpu", threads=1)  # that each pass runs on
    return datasets.finish(dataset, "gradient-flow", config.protocol(), facts)


def _recovered_variables(config: Config, magnitude: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "gradient_magnitude": (("activation", "depth", "layer"), magnitude),
        "gradient_ratio": (("activation", "depth"), _ratio(magnitude, config.depths)),
    }


def _robust_variables(
    magnitude: NDArray[np.float64], signal: NDArray[np.float64]
) -> dict[str, Any]:
    dims = ("activation", "initializer", "seed", "depth", "layer")
    return {
        "robust_gradient_magnitude": (dims, magnitude),
        "error_signal": (dims, signal),
        "error_signal_rms": (
            ("activation", "initializer", "depth", "layer"),
            np.sqrt(np.mean(np.square(signal), axis=2)),
        ),
    }


def _ratio(magnitude: NDArray[np.float64], depths: Sequence[int]) -> NDArray[np.float64]:
    ratios = np.empty(magnitude.shape[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        for column, depth in enumerate(depths):
            ratios[:, column] = magnitude[:, column, depth] / magnitude[:, column, 0]
    return ratios


def _recovered(config: Config, layers: int, progress: Progress) -> NDArray[np.float64]:
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


def _measure(config: Config, layers: int, progress: Progress, threads: int) -> list[Any]:
    """Do all parts, cut into jobs that run side by side."""
    parts: list[Part] = [
        ([partial(_recovered, config, layers)], lambda found: found[0]),
        _robust(config, layers),
        _deep(config, layers),
        spread_over_width(config),
    ]
    results = iter(side_by_side([job for jobs, _ in parts for job in jobs], progress, threads))
    return [gather([next(results) for _ in jobs]) for jobs, gather in parts]


def _robust(config: Config, layers: int) -> Part:
    shape = (
        len(config.activations),
        len(config.initializers),
        len(config.seed_list),
        len(config.robust_depths),
        layers,
    )
    x = _passes.inputs(config.points)
    by_depth = [
        _passes.jobs(
            config.activations,
            config.initializers,
            (depth, config.width),
            config.seed_list,
            x,
            _passes.flow,
        )
        for depth in config.robust_depths
    ]

    def gather(results: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        magnitude, signal = np.full(shape, np.nan), np.full(shape, np.nan)
        left = iter(results)
        for column, (depth, jobs) in enumerate(zip(config.robust_depths, by_depth, strict=True)):
            for place, found in chain.from_iterable(next(left) for _ in jobs):
                here = (*place, column, slice(depth + 1))
                magnitude[here], signal[here] = found
        return magnitude, signal

    return [job for jobs in by_depth for job in jobs], gather


def _deep(config: Config, layers: int) -> Part:
    if not config.deep_depth:
        return [], lambda found: xr.Dataset()
    chosen = deep_seeds_of(config)

    def look(stack: Stack, x: Tensor) -> tuple[NDArray[np.float64], ...]:
        return (*_passes.flow(stack, x), _passes.preactivation_squares(stack, x))

    def gather(results: list[Any]) -> xr.Dataset:
        shape = (len(config.activations), len(config.initializers), len(chosen), layers)
        variables = [np.full(shape, np.nan) for _ in range(3)]
        for place, found in chain.from_iterable(results):
            for variable, values in zip(variables, found, strict=True):
                variable[(*place, slice(config.deep_depth + 1))] = values
        names = ("deep_gradient_magnitude", "deep_error_signal", "deep_preactivation_square")
        dims = ("activation", "initializer", "deep_seed", "layer")
        return xr.Dataset(
            {name: (dims, values) for name, values in zip(names, variables, strict=True)},
            coords={"deep_seed": np.array(chosen, dtype=np.int32)},
        )

    shape = (config.deep_depth, config.width)
    x = _passes.inputs(config.deep_points)
    return _passes.jobs(config.activations, config.initializers, shape, chosen, x, look), gather


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
        The same networks for a few seeds, without the widest: a few of those would stand for all.
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
