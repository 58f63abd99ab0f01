"""The study's experiments, one module each, found here by key without loading torch."""

from __future__ import annotations

from types import ModuleType

from actbench.store.errors import needing_extras
from actbench.store.studies import Experiment
from actbench.store.studies import experiment as get
from actbench.study import EXPERIMENTS, FURTHER

__all__ = ["EXPERIMENTS", "FURTHER", "Experiment", "get"]


def __getattr__(name: str) -> ModuleType:
    key = name.replace("_", "-")
    if key in EXPERIMENTS or key in FURTHER:
        with needing_extras(f"actbench.experiments.{name}"):
            return {**EXPERIMENTS, **FURTHER}[key].module()
    raise AttributeError(f"module 'actbench.study.experiments' has no attribute {name!r}")
