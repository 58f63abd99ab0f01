"""The study's experiments, one module each, found here by key without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType, ModuleType

from actbench.errors import needing_extras, unknown_name


@dataclass(frozen=True)
class Experiment:
    """An experiment as data.

    Args:
        key: Name on the command line, such as ``"sine-regression"``.
        summary: What it does, in one line.
        resumable: Whether its ``run`` takes a checkpoint, because it lasts long.
    """

    key: str
    summary: str
    resumable: bool = False

    def module(self) -> ModuleType:
        """Import the module that runs it; this loads torch."""
        return import_module(f"actbench.experiments.{self.key.replace('-', '_')}")


EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        "sine-regression": Experiment(
            "sine-regression",
            "10x64 networks fitted to a noisy sine: losses, gradients, learned functions",
            resumable=True,
        ),
        "gradient-flow": Experiment(
            "gradient-flow", "gradients of every layer at initialization, depths 5 to 50"
        ),
        "activation-statistics": Experiment(
            "activation-statistics",
            "distributions, zeros, dead and saturated units of every layer, before and after",
            resumable=True,
        ),
        "stability": Experiment(
            "stability",
            "which learning rates train which depths, with and without skip connections",
            resumable=True,
        ),
        "capacity": Experiment(
            "capacity",
            "six functions learned by a shallow and a deep network of one parameter count",
            resumable=True,
        ),
        "training-dynamics": Experiment(
            "training-dynamics",
            "activations, error signals, gradients and learned functions while training",
            resumable=True,
        ),
        "plateau-escape": Experiment(
            "plateau-escape",
            "which depths leave the plateau of the best constant in time, and Adam's eps in it",
            resumable=True,
        ),
        "activation-derivatives": Experiment(
            "activation-derivatives", "the derivative of every activation, on a grid"
        ),
        "closed-forms": Experiment(
            "closed-forms", "what follows from the targets alone: floors of constant and line"
        ),
    }
)
"""The registry: experiment key to experiment."""

FURTHER: Mapping[str, Experiment] = MappingProxyType(
    {
        "signal-propagation": Experiment(
            "signal-propagation",
            "very many small random networks: which are born dead, mean and variance per layer",
        ),
        "moment-map": Experiment(
            "moment-map", "how one layer maps mean and variance of what enters it, without networks"
        ),
    }
)
"""Experiments that other studies need; ``actbench reproduce`` runs none of them."""


def get(key: str) -> Experiment:
    """Look up an experiment by its key."""
    known = {**EXPERIMENTS, **FURTHER}
    if key not in known:
        raise unknown_name("experiment", key, known)
    return known[key]


def __getattr__(name: str) -> ModuleType:
    key = name.replace("_", "-")
    if key in EXPERIMENTS or key in FURTHER:
        with needing_extras(f"actbench.experiments.{name}"):
            return get(key).module()
    raise AttributeError(f"module 'actbench.experiments' has no attribute {name!r}")
