"""How long an experiment would take on this machine, from a short run of one of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from actbench.study.experiments import EXPERIMENTS, Experiment

_UNIT = "sine-regression"
_UNIT_SEEDS = 16

COSTS: Mapping[str, float] = MappingProxyType(
    {
        "gradient-flow": 1.9,
        "activation-statistics": 1.1,
        "stability": 0.05,
        "capacity": 0.96,
        "training-dynamics": 1.05,
        "plateau-escape": 1.0,
    }
)
"""What a step of an experiment at its defaults costs on a CPU, in steps of sine-regression.

Whole runs were measured, with some steps of sine-regression right before and after each: a few
steps of their own tell less, as they are not as many beside one another, and take longer.
"""


class Estimator:
    """Estimates how long runs take; what it has timed it does not time again."""

    def __init__(self) -> None:
        self._timed: dict[str, float] = {}

    def seconds(self, experiment: Experiment, config: Any) -> float:
        """Estimate one run. Loads torch."""
        from actbench.study.nets import devices

        if _is_usual(experiment, config):
            unit = EXPERIMENTS[_UNIT]
            usual = unit.module().Config(seeds=_UNIT_SEEDS, device="cpu")
            per_step = COSTS[experiment.key] * self._per_step(unit, usual)
        else:
            per_step = self._per_step(experiment, config)
        with devices.using_threads(config.threads) as threads:
            return float(per_step * config.steps / threads)

    def _per_step(self, experiment: Experiment, config: Any) -> float:
        """Time a short run on one thread; the whole is shared by all that there are."""
        module = experiment.module()
        short = getattr(module, "calibration", lambda config: config)
        small = dataclasses.replace(short(config), threads=1)
        name = f"{experiment.key} {dataclasses.replace(small, device='auto')!r}"
        if name not in self._timed:
            if not self._timed:
                module.run(small)  # the first use of torch loads modules
            start = time.perf_counter()
            module.run(small)
            self._timed[name] = (time.perf_counter() - start) / max(1, small.steps)
        return self._timed[name]


def _is_usual(experiment: Experiment, config: Any) -> bool:
    from actbench.study.nets import devices

    usual = dataclasses.replace(
        type(config)(), seeds=config.seeds, device=config.device, threads=config.threads
    )
    on_cpu = devices.choose(config.device).type == "cpu"
    return experiment.key in COSTS and on_cpu and bool(config == usual)
