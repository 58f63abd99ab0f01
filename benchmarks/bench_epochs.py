"""Time per epoch: activation, engine and device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from actbench.engines import (
    Engine,
    PlainLoop,
    StackOf,
    flop_per_epoch,
    study_architecture,
    train_for,
)
from actbench.experiments.sine_regression import STUDY_ACTIVATIONS
from benchmarks.measuring import Job, Meter

_WARM_UP_EPOCHS = 2
_ENGINES = {"loop": 20, "stack-1": 20, "stack-20": 5, "stack-100": 2}
"""Engine to the epochs that one round times."""


def _build(engine: str, activation: str, device: torch.device, dtype: str) -> Engine:
    if engine == "loop":
        return PlainLoop(activation, device, dtype)
    return StackOf(int(engine.removeprefix("stack-")), activation, device, dtype)


def _job(engine: str, activation: str, device: torch.device, dtype: str) -> Job:
    epochs = _ENGINES[engine]
    members = 1 if engine == "loop" else int(engine.removeprefix("stack-"))

    def prepare() -> Callable[[], Any]:
        built = _build(engine, activation, device, dtype)
        train_for(built, _WARM_UP_EPOCHS)
        return lambda: train_for(built, epochs)

    return Job(
        prepare=prepare,
        units=epochs,
        flop=members * flop_per_epoch(study_architecture(activation)),
        quality=lambda losses: {"final_loss": losses.median().item()},
        facts={"members": members, "device": str(device), "dtype": dtype, "threads": 1},
    )


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu"], indirect=True)
@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize("activation", STUDY_ACTIVATIONS)
def test_epoch(meter: Meter, activation: str, engine: str, device: torch.device) -> None:
    """One epoch of all members in float32."""
    meter(_job(engine, activation, device, "float32"))


def test_epoch_float64(meter: Meter, device: torch.device) -> None:
    """One epoch of 20 ReLU members in float64; its share is of the float32 product's rate."""
    meter(_job("stack-20", "relu", device, "float64"))
