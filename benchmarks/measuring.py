"""Controls and jobs, what is stored of them, and whether a job still computes the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from actbench.store.environment import Stopwatch

_MOST_LOSS_CHANGE = 0.1


@dataclass(frozen=True)
class Control:
    """Work of known size that tells how fast the machine is just now; called, it times itself.

    Args:
        work: What to time.
        units: Units of work in one call.
        flop: Floating-point operations per unit; 0 where it is not a measure of the peak.
        warm_up: Whether to do the work once untimed before: what went before it has filled the
            caches with other numbers.
    """

    work: Callable[[], object]
    units: int = 1
    flop: float = 0.0
    warm_up: bool = False

    def __call__(self, stopwatch: Any) -> float:
        """Return the seconds per unit, by the benchmark's timer, which is a stopwatch."""
        if self.warm_up:
            self.work()
        stopwatch.units = self.units
        seconds: float = stopwatch.time(self.work)
        return seconds


@dataclass(frozen=True)
class Job:
    """What one benchmark times.

    Args:
        prepare: Called before each round, untimed: builds afresh and warms up what it returns.
        units: Units of work, such as epochs, in one round; times are per unit.
        flop: Floating-point operations per unit, 0 where they are not counted.
        rounds: How often it is timed.
        quality: Turns what the work returned into numbers to be stored with the times.
        facts: Further numbers and words to be stored.
    """

    prepare: Callable[[], Callable[[], Any]]
    units: int = 1
    flop: float = 0.0
    rounds: int = 7
    quality: Callable[[Any], Mapping[str, float]] = lambda result: {}
    facts: Mapping[str, Any] = field(default_factory=dict)


class Meter:
    """Runs jobs for one benchmark."""

    def __init__(
        self,
        benchmark: Any,
        stopwatch: Stopwatch,
        controls: Mapping[str, Control],
        expected: Mapping[str, Any],
    ) -> None:
        self._benchmark = benchmark
        self._stopwatch = stopwatch
        self._controls = controls
        self._expected = expected

    def __call__(self, job: Job) -> None:
        """Time a job, and fail if it does not compute what it did."""
        if not self._benchmark.enabled:
            self._benchmark.pedantic(job.prepare())
            return

        def setup() -> tuple[tuple[Callable[[], Any]], dict[str, Any]]:
            work = job.prepare()
            self._stopwatch.units = job.units
            return (work,), {}

        result = self._benchmark.pedantic(lambda work: work(), setup=setup, rounds=job.rounds)
        info = self._benchmark.extra_info
        info.update(job.facts, **finite(job.quality(result)), **self._rates(job))
        complaint = wrong_answer(info, self._expected)
        if complaint:
            self._benchmark.has_error = True  # so that it is not stored as the next standard
            pytest.fail(complaint, pytrace=False)

    def _rates(self, job: Job) -> dict[str, float]:
        info = self._benchmark.extra_info
        if not job.flop:
            return {}
        rates = {"gflop_per_s": job.flop / self._benchmark.stats.stats.median / 1e9}
        for name, control in self._controls.items():
            if control.flop:
                rates["peak_gflop_per_s"] = control.flop / info[f"{name}_seconds"] / 1e9
                share = job.flop / control.flop / info[f"relative_to_{name}"]
                rates["share_of_peak"] = share
        return rates


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON cannot hold."""
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def wrong_answer(now: Mapping[str, Any], then: Mapping[str, Any]) -> str | None:
    """Say how the final loss differs from the stored one, where it does."""
    if "final_loss" not in then:
        return None
    before, after = then["final_loss"], now.get("final_loss", math.nan)
    # Negated, so that a loss which is not a number counts as wrong.
    if not abs(after - before) <= _MOST_LOSS_CHANGE * abs(before):
        return f"final loss {after:.4g} instead of {before:.4g}: what it computes has changed"
    return None
