"""The study's main experiment: deep narrow networks fitted to one period of a noisy sine."""

from typing import TYPE_CHECKING

from actbench.store.studies import from_module

if TYPE_CHECKING:
    from actbench.study.experiments.sine_regression.experiment import *  # noqa: F403
else:
    __getattr__ = from_module(f"{__name__}.experiment")  # which loads torch
