"""What follows from the study's targets and tables alone, without training anything."""

from typing import TYPE_CHECKING

from actbench.store.studies import from_module

if TYPE_CHECKING:
    from actbench.study.experiments.closed_forms.experiment import *  # noqa: F403
else:
    __getattr__ = from_module(f"{__name__}.experiment")  # which loads torch
