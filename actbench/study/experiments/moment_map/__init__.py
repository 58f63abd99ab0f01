"""How one layer maps the mean and variance of what enters it, with no network at all."""

from typing import TYPE_CHECKING

from actbench.store.studies import from_module

if TYPE_CHECKING:
    from actbench.study.experiments.moment_map.experiment import *  # noqa: F403
else:
    __getattr__ = from_module(f"{__name__}.experiment")  # which loads torch
