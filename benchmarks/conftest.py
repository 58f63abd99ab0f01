"""Devices, controls and the meter that every benchmark uses."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from actbench.store.environment import Stopwatch, synchronizer
from actbench.study.nets import devices
from actbench.study.nets.engines import PRODUCT_FLOP, PlainLoop, product
from benchmarks.measuring import Control, Meter

_LOOP_EPOCHS = 10


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The benchmark's device; skips where it is absent."""
    name = getattr(request, "param", "cpu")
    if name not in devices.available():
        pytest.skip(f"no {name} device is present")
    return torch.device(name)


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """CPU threads while the benchmark runs: one, unless it asks for more."""
    with devices.using_threads(getattr(request, "param", 1)) as count:
        yield count


@pytest.fixture
def stopwatch(request: pytest.FixtureRequest, device: torch.device) -> Stopwatch:
    """The benchmark's timer, given to pytest-benchmark before it makes its own fixture."""
    timer = Stopwatch(synchronizer(device))
    request.node.add_marker(pytest.mark.benchmark(timer=timer))
    return timer


@cache
def _controls(device: torch.device) -> Mapping[str, Control]:
    """Built once per device; the loop goes on training from one benchmark to the next."""
    loop, multiply = PlainLoop("relu", device), product(device)

    def train_loop() -> None:
        # One thread is its best: two fight over products this small, up to 40 times slower.
        with devices.using_threads(1):
            loop.train(_LOOP_EPOCHS)

    train_loop()  # warm-up: Adam's first step alone takes a second
    multiply()
    return {
        "product": Control(multiply, flop=PRODUCT_FLOP),
        "loop": Control(train_loop, units=_LOOP_EPOCHS, warm_up=True),
    }


@pytest.fixture
def benchmark_controls(device: torch.device) -> Mapping[str, Control]:
    """What the gate times beside a benchmark: products as large as the peak needs, and the loop."""
    return _controls(device)


@pytest.fixture
def meter(
    stopwatch: Stopwatch,  # before `benchmark`, which reads the timer when it is made
    threads: int,  # noqa: ARG001 - in force while the benchmark runs
    device: torch.device,
    benchmark: BenchmarkFixture,
    benchmark_controls: Mapping[str, Control],
    expected: Mapping[str, Any],
) -> Iterator[Meter]:
    """Time a job beside the controls on the benchmark's device, and free its memory."""
    yield Meter(benchmark, stopwatch, benchmark_controls, expected)
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()
