"""The state of torch and NumPy that our numbers are computed in, whatever the caller has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

_TINY = 1e-310  # below float64's smallest normal number


@contextmanager
def pinned_state() -> Iterator[None]:
    """Compute in torch's and NumPy's state as they start, and put the caller's back afterwards.

    Pinned are the default dtype and device, the precision of float32 products, denormal numbers,
    gradients, autocast, deterministic algorithms, anomaly detection and NumPy's handling of errors.
    Usable as a decorator. What a variable of the environment sets
    before the process begins can't be pinned: ``environment.arithmetic`` notes it.
    """
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        stack.callback(torch.set_flush_denormal, _flushes_denormal())
        # Not `use_deterministic_algorithms`, which imports torch's compiler: a second per process.
        stack.callback(torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode())
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(False)
        torch.set_deterministic_debug_mode("default")
        for state in (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autograd.set_detect_anomaly(False),
            np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
        ):
            stack.enter_context(state)
        _pin_products(stack)
        if torch.get_default_device().type != "cpu":
            # Only where it must be: each call of torch takes longer inside.
            stack.enter_context(torch.device("cpu"))
        yield


def _pin_products(stack: ExitStack) -> None:
    """Multiply float32 numbers in float32; torch 2.9 has a setting for each library of products."""
    libraries = [torch.backends.mkldnn, torch.backends.cuda]
    products: list[Any] = [getattr(library, "matmul", None) for library in libraries]
    if all(hasattr(product, "fp32_precision") for product in products):
        for product in products:
            stack.callback(setattr, product, "fp32_precision", product.fp32_precision)
            product.fp32_precision = "ieee"
    else:
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")


def _flushes_denormal() -> bool:
    return not torch.full((), _TINY, dtype=torch.float64, device="cpu").mul(0.5).item()
