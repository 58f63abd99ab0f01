"""Time per epoch: activation, engine and device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from actbench.study.experiments.sine_regression import STUDY_ACTIVATIONS
from actbench.study.nets.engines import (
    CompiledLoop,
    Engine,
    PlainLoop,
    StackOf,
    flop_per_epoch,
    study_architecture,
)
from benchmarks.measuring import Job, Meter

_WARM_UP_EPOCHS = 2
_ENGINES = {"loop": 20, "stack-1": 20, "stack-20": 10, "stack-100": 4}
"""Engine to the epochs that one round times."""
_COMPILED_EPOCHS = 20
_COMPILED_ACTIVATIONS = ("relu", "gelu")  # each takes up to a minute to compile


def _build(engine: str, activation: str, device: torch.device, dtype: str) -> Engine:
    if engine == "loop":
        return PlainLoop(activation, device, dtype)
    return StackOf(int(engine.removeprefix("stack-")), activation, device, dtype)


def _job(
    build: Callable[[], Engine], activation: str, epochs: int, members: int = 1, **facts: str
) -> Job:
    def prepare() -> Callable[[], Any]:
        built = build()
        built.train(_WARM_UP_EPOCHS)
        return lambda: built.train(epochs)

    return Job(
        prepare=prepare,
        units=epochs,
        flop=members * flop_per_epoch(study_architecture(activation)),
        quality=lambda losses: {"final_loss": losses.median().item()},
        facts={"members": members, **facts, "threads": 1},
    )


def _engine_job(engine: str, activation: str, device: torch.device, dtype: str) -> Job:
    return _job(
        lambda: _build(engine, activation, device, dtype),
        activation,
        _ENGINES[engine],
        1 if engine == "loop" else int(engine.removeprefix("stack-")),
        device=str(device),
        dtype=dtype,
    )


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu"], indirect=True)
@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize("activation", STUDY_ACTIVATIONS)
def test_epoch(meter: Meter, activation: str, engine: str, device: torch.device) -> None:
    """One epoch of all members in float32."""
    meter(_engine_job(engine, activation, device, "float32"))


def test_epoch_float64(meter: Meter, device: torch.device) -> None:
    """One epoch of 20 ReLU members in float64; its share is of the float32 product's rate."""
    meter(_engine_job("stack-20", "relu", device, "float64"))


@pytest.mark.filterwarnings("ignore")  # what torch's compiler warns of is not ours to mend
@pytest.mark.parametrize("device", ["cpu", "cuda"], indirect=True)
@pytest.mark.parametrize("activation", _COMPILED_ACTIVATIONS)
def test_epoch_compiled(meter: Meter, activation: str, device: torch.device) -> None:
    """One epoch of the plain loop under ``torch.compile``, in float32."""
    try:
        CompiledLoop(activation, device).train(_WARM_UP_EPOCHS)
    except Exception as error:  # a missing C++ compiler, or whatever else a compiler throws
        first_line = str(error).partition("\n")[0]
        pytest.skip(f"torch.compile does not work here: {type(error).__name__}: {first_line}")
    meter(
        _job(
            lambda: CompiledLoop(activation, device),
            activation,
            _COMPILED_EPOCHS,
            device=str(device),
            dtype="float32",
        )
    )
