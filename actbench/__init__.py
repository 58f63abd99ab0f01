"""actbench: every claim of an activation-function study, measured and judged.

The package is light until used: ``import actbench`` loads no numerical library.
Submodules are imported on first access, so ``actbench.study.experiments.sine_regression.run``
works after a plain ``import actbench``.
"""

from importlib import import_module
from typing import Any

from actbench.store.errors import ActbenchError, needing_extras

__version__ = "0.1.0"
__all__ = [
    "ActbenchError",
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

_FUNCTIONS = {"fingerprint": "fingerprinting", "judge": "judging", "verify": "verification"}
"""What is no submodule, to the one that has it."""


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(f"actbench.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        with needing_extras(f"actbench.{name}"):
            return import_module(f"actbench.{name}")
    raise AttributeError(f"module 'actbench' has no attribute {name!r}")
