"""Small datasets, made by hand: trained networks, a gradient's way, and what is known exactly."""

from __future__ import annotations

import json
import math

import numpy as np
import xarray as xr

NAN = math.nan


def trained(
    final: dict[str, list[float]], clean: float = 4e-4, escapes: dict[str, int] | None = None
) -> xr.Dataset:
    """A dataset of `sine-regression` with 100 epochs and 2 layers."""
    keys, seeds, epochs = list(final), len(next(iter(final.values()))), 100
    x = np.linspace(-math.pi, math.pi, 50)
    noise = 0.1 * (-1.0) ** np.arange(50)
    loss = np.full((len(keys), seeds, epochs), 0.518)
    for row, key in enumerate(keys):
        loss[row, :, (escapes or {}).get(key, 10) :] = 0.1
    per_seed = ("activation", "seed")
    magnitude = np.ones((len(keys), seeds, 1, 2))
    magnitude[:, :, 0, 0] = (10.0 ** -np.arange(1, len(keys) + 1))[:, None]
    return xr.Dataset(
        {
            "final_mse": (per_seed, np.array(list(final.values()))),
            "final_mse_clean": (per_seed, np.full((len(keys), seeds), clean)),
            "diverged": (per_seed, np.full((len(keys), seeds), -1)),
            "loss": ((*per_seed, "epoch"), loss),
            "gradient_magnitude": ((*per_seed, "recorded_epoch", "layer"), magnitude),
            "weight_displacement": ((*per_seed, "layer"), np.full((len(keys), seeds, 2), 0.125)),
            "target_noisy": ("x", np.sin(x) + noise),
            "target_clean": ("x", np.sin(x)),
        },
        coords={
            "activation": keys,
            "seed": np.arange(42, 42 + seeds),
            "epoch": np.arange(epochs),
            "recorded_epoch": [0],
            "layer": [1, 2],
            "x": x,
        },
        attrs={"protocol": json.dumps({"epochs": 500, "depth": 10})},
    )


def flow(scale: float = 1e-12) -> xr.Dataset:
    """A dataset of `gradient-flow`: recovered at depths 2 and 3, robust at depth 2."""
    keys, shape = ["relu", "sigmoid"], (2, 2, 4)
    magnitude = np.full(shape, NAN)
    magnitude[0, 0, :3], magnitude[1, 0, :3] = (2.0, 1.0, 4.0), (1e-6, 1e-3, 1.0)
    magnitude[0, 1], magnitude[1, 1] = (scale, scale, scale, 3 * scale), (1e-9, 1e-6, 1e-3, 1.0)
    signal = np.full((2, 2, 2, 4), NAN)
    signal[0, :, 0, :3], signal[1, :, 0, :3] = (0.5, 1.0, 9.0), (0.01, 1.0, 9.0)
    return xr.Dataset(
        {
            "gradient_magnitude": (("activation", "depth", "layer"), magnitude),
            "gradient_ratio": (("activation", "depth"), np.array([[2.0, 3.0], [1e6, 1e9]])),
            "error_signal_rms": (("activation", "initializer", "depth", "layer"), signal),
        },
        coords={
            "activation": keys,
            "depth": [2, 3],
            "layer": [1, 2, 3, 4],
            "initializer": ["he_uniform", "he_normal"],
            "seed": [42, 43],
        },
    )


def targets() -> xr.Dataset:
    """A dataset of `closed-forms` of one target and one activation."""
    return xr.Dataset(
        {
            "best_constant_mse": ("target", [0.5]),
            "best_line_mse": ("target", [0.2]),
            "best_unit_interval_mse": ("target", [0.25]),
            "report_over_card": ("activation", [2.0]),
        },
        coords={"target": ["noisy_sine"], "activation": ["linear"]},
    )
