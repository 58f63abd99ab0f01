"""Forward passes of very many small random networks: who is born dead, what each layer carries."""

from typing import TYPE_CHECKING

from actbench.store.studies import from_module

if TYPE_CHECKING:
    from actbench.study.experiments.signal_propagation.experiment import *  # noqa: F403
else:
    __getattr__ = from_module(f"{__name__}.experiment")  # which loads torch
