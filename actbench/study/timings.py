"""Durations of a training's epochs, beside a control that no release of torch changes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from actbench.store.environment import Stopwatch, synchronizer
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.nets import devices
from actbench.study.nets.engines import (
    PRODUCT_FLOP,
    Engine,
    PlainLoop,
    StackOf,
    flop_per_epoch,
    product,
    study_architecture,
)
from actbench.tracking.records import Timings, Workload

_CONTROL = "NumPy's product of two float32 matrices of 1024 x 1024, on one thread"

_CONTROL_SIZE = 1024
_STACK_MEMBERS = 5
_EPOCHS = {"loop": 20, "stack": 10}
_WARM_UP_EPOCHS = 2


@dataclass(frozen=True)
class Work:
    """What is timed.

    Args:
        name: Such as ``"loop/relu/float32"``.
        unit: What its durations are of.
        units: How many of these one call does.
        flop: Operations of the matrix products per unit; 0 where there are none.
        prepare: Makes, outside of the timed region, what is called.
    """

    name: str
    unit: str
    units: int
    flop: float
    prepare: Callable[[], Callable[[], object]]


@dataclass
class _Series:
    durations_s: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)


def works(device: torch.device) -> list[Work]:
    """List what a record times."""
    found = [Work("torch product/float32", "product", 1, PRODUCT_FLOP, lambda: product(device))]
    for engine in _EPOCHS:
        found += [_epochs(engine, key, "float32", device) for key in ACTIVATIONS]
    if device.type != "mps":  # which has no float64
        found.append(_epochs("stack", "relu", "float64", device))
    return found


def _epochs(engine: str, key: str, dtype: str, device: torch.device) -> Work:
    epochs = _EPOCHS[engine]
    members = _STACK_MEMBERS if engine == "stack" else 1

    def prepare() -> Callable[[], object]:
        built: Engine = (
            StackOf(members, key, device, dtype)
            if engine == "stack"
            else PlainLoop(key, device, dtype)
        )
        built.train(_WARM_UP_EPOCHS)
        return lambda: built.train(epochs)

    flop = flop_per_epoch(study_architecture(key))
    return Work(f"{engine}/{key}/{dtype}", "epoch of one member", epochs * members, flop, prepare)


def _control() -> Callable[[], object]:
    a = np.linspace(-1, 1, _CONTROL_SIZE**2, dtype=np.float32).reshape(_CONTROL_SIZE, -1)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def measure(
    device: torch.device,
    rounds: int = 7,
    progress: Callable[[int], None] = lambda done: None,
    stopwatch: Stopwatch | None = None,
) -> Timings:
    """Time everything in turn, round after round, so that the machine's moods strike all alike.

    The control is timed right before each workload, which is compared with the mean of that and
    the next one: a processor that changes its clock changes both.
    """
    watch = stopwatch or Stopwatch(synchronizer(device))
    chosen = works(device)
    series = {work.name: _Series() for work in chosen}
    control, controls = _control(), []
    with devices.using_threads(1), threadpool_limits(1, user_api="blas"):
        control()
        for _ in range(rounds):
            before = watch.time(control)
            for work in chosen:
                run = work.prepare()
                duration = watch.time(run) / work.units
                after = watch.time(control)
                series[work.name].durations_s.append(duration)
                series[work.name].relative.append(2 * duration / (before + after))
                controls.append(after)
                before = after
                progress(1)
    return Timings(
        control=_CONTROL,
        control_durations_s=controls,
        threads=1,
        workloads=[_workload(work, series[work.name]) for work in chosen],
    )


def _workload(work: Work, series: _Series) -> Workload:
    middle = statistics.median(series.durations_s)
    return Workload(
        name=work.name,
        unit=work.unit,
        durations_s=series.durations_s,
        relative=series.relative,
        rate_gflop_per_s=work.flop / middle / 1e9 if work.flop else None,
    )
