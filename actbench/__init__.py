"""actbench: every claim of an activation-function study, measured and judged.

The package is light until used: ``import actbench`` loads no numerical library.
Submodules are imported on first access, so ``actbench.experiments.sine_regression.run``
works after a plain ``import actbench``.
"""

from importlib import import_module
from typing import Any

from actbench.store.errors import ActbenchError, needing_extras

__version__ = "0.1.0"
__all__ = [
    "ActbenchError",
    "Experiment",
    "Fingerprint",
    "Study",
    "__version__",
    "activations",
    "datasets",
    "devices",
    "experiments",
    "figures",
    "fingerprint",
    "initializers",
    "judge",
    "networks",
    "stacks",
    "targets",
    "training",
    "verify",
]

_THINGS = {
    "Experiment": "store.studies",
    "Fingerprint": "tracking.fingerprinting",
    "Study": "store.studies",
    "fingerprint": "tracking.fingerprinting",
    "judge": "runs.judging",
    "verify": "ledger.verification",
}
"""What is no module, to the module that has it."""

_MODULES = {
    "activations": "study.catalog.activations",
    "datasets": "store.datasets",
    "devices": "study.nets.devices",
    "experiments": "study.experiments",
    "figures": "study.figures",
    "initializers": "study.catalog.initializers",
    "networks": "study.nets.networks",
    "stacks": "study.nets.stacks",
    "targets": "study.catalog.targets",
    "training": "study.nets.training",
}
"""Modules by the names that users know; where they lie is nobody's business but ours."""


def __getattr__(name: str) -> Any:
    if name in _THINGS:
        return getattr(import_module(f"actbench.{_THINGS[name]}"), name)
    if name in _MODULES:
        with needing_extras(f"actbench.{name}"):
            return import_module(f"actbench.{_MODULES[name]}")
    raise AttributeError(f"module 'actbench' has no attribute {name!r}")
