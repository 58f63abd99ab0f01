"""The study's experiment on gradient flow at initialization, and a robust form of it.

The *recovered* protocol gives the study's published gradient ratios to their printed digits. It is
one draw per network of a random stream that runs on from model to model, with a loss that is not
the training loss. The *robust* protocol asks the same question over many seeds and initializers,
and keeps the error signal beside the weight gradients. The *deep* part measures what mean-field
theory predicts, and the *spread* part how networks of one width differ; neither is the study's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from actbench import activations, datasets, devices, environment, initializers
from actbench.experiments import _passes
from actbench.experiments._gradient_flow_protocol import (
    SPREAD_ACTIVATIONS,
    SPREAD_DEPTH,
    SPREAD_INITIALIZER,
    Config,
    deep_seeds_of,
    seeds_of,
)
from actbench.experiments._spread_over_width import spread_over_width
from actbench.networks import Architecture, linear_layers, reference_network

__all__ = [
    "SPREAD_ACTIVATIONS",
    "SPREAD_DEPTH",
    "SPREAD_INITIALIZER",
    "Config",
    "calibration",
    "run",
    "spread_over_width",
    "study_files",
]

_RECOVERED_BATCH = 32


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
    with devices.using_threads(1) as threads:
        recovered = _recovered(config, layers, progress)
        magnitude, signal = _robust(config, layers, progress)
        deep = _deep(config, layers, progress)
        spread = spread_over_width(config, progress)
    depths = tuple(dict.fromkeys((*config.depths, *config.robust_depths)))
    coords = {
        "activation": list(config.activations),
        "initializer": list(config.initializers),
        "seed": np.array(seeds_of(config), dtype=np.int32),
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
    facts = environment.describe("cpu", threads)
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
        len(seeds_of(config)),
        len(config.robust_depths),
        layers,
    )
    magnitude, signal = np.full(shape, np.nan), np.full(shape, np.nan)
    x = _passes.inputs(config.points)
    for column, depth in enumerate(config.robust_depths):
        for place, stack in _passes.stacks(
            config.activations, config.initializers, (depth, config.width), seeds_of(config), x
        ):
            here = (*place, column, slice(depth + 1))
            magnitude[here], signal[here] = _passes.flow(stack, x)
            progress(stack.count)
    return magnitude, signal


def _deep(config: Config, layers: int, progress: Callable[[int], None]) -> xr.Dataset:
    if not config.deep_depth:
        return xr.Dataset()
    chosen = deep_seeds_of(config)
    shape = (len(config.activations), len(config.initializers), len(chosen), layers)
    magnitude, signal, square = (np.full(shape, np.nan) for _ in range(3))
    x = _passes.inputs(config.deep_points)
    depth_and_width = (config.deep_depth, config.width)
    for place, stack in _passes.stacks(
        config.activations, config.initializers, depth_and_width, chosen, x
    ):
        here = (*place, slice(config.deep_depth + 1))
        magnitude[here], signal[here] = _passes.flow(stack, x)
        square[here] = _passes.preactivation_squares(stack, x)
        progress(stack.count)
    dims = ("activation", "initializer", "deep_seed", "layer")
    return xr.Dataset(
        {
            "deep_gradient_magnitude": (dims, magnitude),
            "deep_error_signal": (dims, signal),
            "deep_preactivation_square": (dims, square),
        },
        coords={"deep_seed": np.array(chosen, dtype=np.int32)},
    )


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
    return dataclasses.replace(config, seeds=seeds_of(config)[:4], spread_widths=())
