"""Where tensors live, and the state of torch that our numbers are computed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import psutil
import torch

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name

_MAX_DEFAULT_THREADS = 8  # a stack of 64-unit layers gains nothing beyond


def available() -> tuple[str, ...]:
    """List ``"cpu"`` and, where torch sees one, the accelerator's type, such as ``"cuda"``."""
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None:
            return ("cpu", accelerator.type)
    return ("cpu",)


def choose(name: str) -> torch.device:
    """Turn ``"auto"``, or a name such as ``"cuda:1"``, into a device that is present."""
    present = available()
    if name == "auto":
        return torch.device(present[-1])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise unknown_name("device", name, ("auto", "cpu", "cuda", "mps", "xpu")) from None
    count = torch.accelerator.device_count() if device.type != "cpu" else 1
    if device.type not in present or (device.index or 0) >= count:
        raise ActbenchError(
            f"device {name!r} is not present; present here: {', '.join(present)}. "
            "Choose one of them, or 'auto'"
        )
    return device


def default_threads() -> int:
    """Return the physical cores that this process may run on, at most 8."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    physical = psutil.cpu_count(logical=False) or 1
    return max(1, min(allowed or 1, physical, _MAX_DEFAULT_THREADS))


@contextmanager
def using_threads(threads: int | None) -> Iterator[int]:
    """Set torch's CPU threads for a while, by default ``default_threads()``.

    Two processes that each use every core are 10 to 100 times slower than one, so the number is
    set deliberately and recorded with every result.
    """
    count = default_threads() if threads is None else require_positive_int("threads", threads)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


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
