"""How activations, error signals, gradients and the learned function change while training."""

from typing import TYPE_CHECKING

from actbench.store.studies import from_module

if TYPE_CHECKING:
    from actbench.study.experiments.training_dynamics.experiment import *  # noqa: F403
else:
    __getattr__ = from_module(f"{__name__}.experiment")  # which loads torch
