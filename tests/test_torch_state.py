"""Whatever a session has set of torch and NumPy, our numbers are the same, and it stays set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from actbench.study.experiments import (
    activation_derivatives,
    capacity,
    gradient_flow,
    sine_regression,
)

Set = Callable[[ExitStack], Any]


def _product_precision(stack: ExitStack, name: str) -> None:
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision(name)


def _of_the_library(stack: ExitStack) -> None:
    product: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined,unused-ignore]
    stack.callback(setattr, product, "fp32_precision", product.fp32_precision)
    product.fp32_precision = "bf16"


def _deterministic(stack: ExitStack) -> None:
    stack.callback(torch.use_deterministic_algorithms, False)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _default_dtype(stack: ExitStack) -> None:
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)


def _default_device(stack: ExitStack) -> None:
    stack.callback(torch.set_default_device, None)
    torch.set_default_device("meta")


def _flush_denormal(stack: ExitStack) -> None:
    stack.callback(torch.set_flush_denormal, False)
    torch.set_flush_denormal(True)


def _threads(stack: ExitStack) -> None:
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(3)


def _entering(make: Callable[[], Any]) -> Set:
    return lambda stack: stack.enter_context(make())


STATES: dict[str, Set] = {
    "default dtype": _default_dtype,
    "default device": _default_device,
    "products in low precision": lambda stack: _product_precision(stack, "medium"),
    "low precision of one library": _of_the_library,
    "denormal numbers are zero": _flush_denormal,
    "deterministic algorithms": _deterministic,
    "threads": _threads,
    "no gradients": _entering(torch.no_grad),
    "inference mode": _entering(torch.inference_mode),
    "autocast": _entering(lambda: torch.autocast("cpu", torch.bfloat16)),
    "anomaly detection": _entering(lambda: torch.autograd.set_detect_anomaly(True)),
    "errors of NumPy": _entering(lambda: np.errstate(all="raise")),
}


ALWAYS = ("default dtype", "no gradients", "errors of NumPy")
"""Tried in every run; the others by ``--actbench-slow``, as CI does."""


def _seen() -> tuple[object, ...]:
    """Everything of the state that can be read."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.full((), 1e-310, dtype=torch.float64, device="cpu").mul(0.5).item(),
        tuple(np.geterr().items()),
        getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", None),
    )


@contextmanager
def state(name: str) -> Iterator[None]:
    """Set something, and check afterwards that it was left as it was set."""
    with ExitStack() as stack:
        if name == "low precision of one library" and not hasattr(torch.backends.mkldnn, "matmul"):
            pytest.skip("this torch has one setting for all libraries")
        STATES[name](stack)
        before = _seen()
        yield
        assert _seen() == before


def measured() -> tuple[xr.Dataset, ...]:
    """Trainings, gradients, derivatives and classical fits, each of some activations."""
    return (
        sine_regression.run(
            sine_regression.Config(activations=("relu", "gelu"), seeds=2, epochs=3, depth=2)
        ),
        gradient_flow.run(
            gradient_flow.Config(
                activations=("sigmoid",),
                depths=(60,),  # where float32 gradients become denormal
                robust_depths=(2,),
                initializers=("xavier_uniform",),
                seeds=1,
                deep_depth=0,
                spread_widths=(16,),
            )
        ),
        activation_derivatives.run(activation_derivatives.Config(activations=("elu",))),
        capacity.run(
            capacity.Config(
                activations=("tanh",),
                targets=("sine",),
                depths=(1,),
                widths=(4,),
                seeds=1,
                epochs=2,
            )
        ),
    )


@pytest.fixture(scope="module")
def plain() -> tuple[xr.Dataset, ...]:
    """What is measured where nothing was set."""
    return measured()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in STATES],
)
def test_a_state_changes_no_number_and_stays(name: str, plain: tuple[xr.Dataset, ...]) -> None:
    """Not a bit of a loss, a gradient or a derivative."""
    with state(name):
        found = measured()
    for one, other in zip(found, plain, strict=True):
        xr.testing.assert_equal(one, other)
