"""A small protocol of every experiment, run once per process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import xarray as xr

from actbench.study.experiments import get

FEW = {"seeds": (43, 42), "threads": 1, "device": "cpu"}
TRAINED = {"points": 6, "epochs": 3}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "sine-regression": {**TRAINED, "activations": ("relu", "tanh"), "depth": 2, "width": 3},
    "gradient-flow": {
        "activations": ("relu", "gelu"),
        "initializers": ("he_normal",),
        "depths": (1, 3),
        "robust_depths": (2,),
        "width": 4,
        "deep_depth": 41,
        "spread_widths": (4,),
    },
    "activation-statistics": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "initializers": ("he_normal", "torch_default"),
        "trained_initializers": ("torch_default",),
        "depth": 4,
        "width": 3,
    },
    "stability": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "depths": (2, 1),
        "learning_rates": (1e-3, 0.1),
        "width": 4,
    },
    "capacity": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "targets": ("sine", "step"),
        "depths": (2, 1),
        "widths": (3, 4),
    },
    "training-dynamics": {**TRAINED, "activations": ("relu", "tanh"), "depth": 2, "width": 3},
    "plateau-escape": {
        **TRAINED,
        "activations": ("tanh",),
        "depths": (1, 2),
        "adam_epsilons": (1e-8, 1e-3),
        "width": 3,
    },
    "activation-derivatives": {"activations": ("relu", "tanh"), "reach": 2.0, "points": 5},
    "closed-forms": {},
    "signal-propagation": {"widths": (2, 3), "depth": 3, "networks": 2, "input_variances": (1, 2)},
    "moment-map": {"activations": ("relu",), "points": 2},
}
"""Settings of few and small networks, by the experiment's key."""


def config_of(key: str, **changes: Any) -> Any:
    """A protocol of few and small networks, with some settings changed."""
    return get(key).module().Config(**{**SMALL[key], **FEW, **changes})


@cache
def dataset_of(key: str) -> xr.Dataset:
    """What the small protocol gives, for tests that leave it as it is."""
    dataset: xr.Dataset = get(key).module().run(config_of(key))
    return dataset
