"""A clock that waits for the accelerator before it is read, and durations in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def duration(seconds: float) -> str:
    """Say a duration as a person would."""
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours >= 1 else f"{seconds:,.0f} s"


def _nothing_to_wait_for() -> None:
    pass


def synchronizer(device: torch.device) -> Callable[[], None]:
    """Return what waits until a device has finished everything that it was given."""
    import torch

    if device.type == "cpu":
        return _nothing_to_wait_for
    return partial(torch.accelerator.synchronize, device)


class Stopwatch:
    """Seconds per unit of work, for use as the timer of pytest-benchmark.

    An accelerator returns before it has computed: without waiting, the time to *ask* for a
    computation is measured.

    Args:
        synchronize: Waits for the device.
        clock: Seconds since some moment.

    Attributes:
        units: Units of work, such as epochs, between two readings; seconds are divided by it.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = _nothing_to_wait_for,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._synchronize = synchronize
        self._clock = clock
        self.units = 1

    def __repr__(self) -> str:
        return "Stopwatch"

    def __call__(self) -> float:
        """Wait for the device, then return the clock's seconds divided by ``units``."""
        self._synchronize()
        return self._clock() / self.units

    def time(self, work: Callable[[], object]) -> float:
        """Return the seconds per unit that ``work`` takes, all that it started included."""
        start = self()
        work()
        return self() - start
