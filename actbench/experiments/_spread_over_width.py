"""How much the error signal's slope differs between networks of one width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr

from actbench.experiments import _passes
from actbench.experiments._gradient_flow_protocol import (
    SPREAD_DEPTH,
    SPREAD_INITIALIZER,
    Config,
    seeds_of,
    spread_activations,
    spread_networks,
)


def spread_over_width(
    config: Config, progress: Callable[[int], None] = lambda done: None
) -> xr.Dataset:
    """Measure how much the error signal's slope differs between networks of one width.

    Args:
        config: The protocol; its seeds, activations and ``spread_widths`` are used.
        progress: Called with the number of networks done since the last call.

    Returns:
        Dataset with ``error_slope (spread_activation, width, network)``, decades per layer from
        layer 1 to ``SPREAD_DEPTH`` of one input, NaN for a network in which a layer of ReLU is
        dead; empty where there is nothing to measure.
    """
    keys = spread_activations(config)
    if not (keys and config.spread_widths):
        return xr.Dataset()
    counts = [spread_networks(config, width) for width in config.spread_widths]
    slopes = np.full((len(keys), len(counts), max(counts)), np.nan)
    x = torch.ones(1, 1)
    for column, (width, count) in enumerate(zip(config.spread_widths, counts, strict=True)):
        for (row, _, members), stack in _passes.stacks(
            keys, (SPREAD_INITIALIZER,), (SPREAD_DEPTH, width), seeds_of(config)[:count], x
        ):
            _, signal = _passes.flow(stack, x)
            with np.errstate(all="ignore"):
                growth = signal[:, SPREAD_DEPTH - 1] / signal[:, 0]
                found = np.log10(growth) / (SPREAD_DEPTH - 1)
            slopes[row, column, members] = np.where(np.isfinite(found), found, np.nan)
            progress(stack.count)
    return xr.Dataset(
        {"error_slope": (("spread_activation", "width", "network"), slopes)},
        coords={
            "spread_activation": list(keys),
            "width": np.array(config.spread_widths, dtype=np.int32),
        },
    )
