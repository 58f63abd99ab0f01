"""How much the error signal's slope differs between networks of one width."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench.experiments import _passes
from actbench.experiments._gradient_flow_protocol import (
    SPREAD_DEPTH,
    SPREAD_INITIALIZER,
    Config,
    seeds_of,
    spread_activations,
    spread_networks,
)
from actbench.parallel import Progress
from actbench.stacks import Stack

Part: TypeAlias = tuple[list[Callable[[Progress], Any]], Callable[[list[Any]], Any]]
"""Jobs, and what makes of their results what the part is about."""


def spread_over_width(config: Config) -> Part:
    """Measure how much the error signal's slope differs between networks of one width.

    Args:
        config: The protocol; its seeds, activations and ``spread_widths`` are used.

    Returns:
        Jobs, and what makes of their results a dataset with ``error_slope (spread_activation,
        width, network)``, decades per layer from layer 1 to ``SPREAD_DEPTH`` of one input, NaN for
        a network in which a layer of ReLU is dead; empty where there is nothing to measure.
    """
    keys = spread_activations(config)
    if not (keys and config.spread_widths):
        return [], lambda found: xr.Dataset()
    counts = [spread_networks(config, width) for width in config.spread_widths]
    by_width = [
        _passes.jobs(
            keys,
            (SPREAD_INITIALIZER,),
            (SPREAD_DEPTH, width),
            seeds_of(config)[:count],
            torch.ones(1, 1),
            _slope,
        )
        for width, count in zip(config.spread_widths, counts, strict=True)
    ]

    def gather(results: list[Any]) -> xr.Dataset:
        slopes = np.full((len(keys), len(counts), max(counts)), np.nan)
        left = iter(results)
        for column, jobs in enumerate(by_width):
            for (row, _, members), slope in chain.from_iterable(next(left) for _ in jobs):
                slopes[row, column, members] = slope
        return xr.Dataset(
            {"error_slope": (("spread_activation", "width", "network"), slopes)},
            coords={
                "spread_activation": list(keys),
                "width": np.array(config.spread_widths, dtype=np.int32),
            },
        )

    return [job for jobs in by_width for job in jobs], gather


def _slope(stack: Stack, x: Tensor) -> NDArray[np.float64]:
    _, signal = _passes.flow(stack, x)
    with np.errstate(all="ignore"):
        growth = signal[:, SPREAD_DEPTH - 1] / signal[:, 0]
        found = np.log10(growth) / (SPREAD_DEPTH - 1)
    return np.where(np.isfinite(found), found, np.nan)
