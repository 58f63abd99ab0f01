"""Times something beside its controls, stores both, and holds it against a stored run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest

from actbench.stopwatch import Stopwatch
from benchmarks import gate


@dataclass(frozen=True)
class Control:
    """Work of known size that tells how fast the machine is just now.

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


@dataclass(frozen=True)
class Standard:
    """What a measurement is held against.

    Args:
        stored: ``extra_info`` of this benchmark in the stored run; none where it has none.
        max_slowdown: The largest slowdown that passes; none where nothing is to fail.
    """

    stored: Mapping[str, Any] | None = None
    max_slowdown: float | None = None

    def complaint(self, info: Mapping[str, Any]) -> str | None:
        """Say why a measurement fails, if it does."""
        if self.stored is None or self.max_slowdown is None:
            return None
        found = gate.slowdown(info, self.stored, self.max_slowdown)
        if found is not None and found.fails:
            return (
                f"{found.factor:.2f} times slower than the stored run, relative to the "
                f"{found.control}; at most {found.limit:.2f} is allowed "
                f"({self.max_slowdown:g}, widened by the noise of both runs)"
            )
        return gate.wrong_answer(info, self.stored)


class Meter:
    """Runs jobs for one benchmark.

    Args:
        benchmark: pytest-benchmark's fixture (which has no types), whose timer is ``stopwatch``.
        stopwatch: Waits for the device.
        controls: By name, timed once in each round.
        standard: What to hold the result against.
    """

    def __init__(
        self,
        benchmark: Any,
        stopwatch: Stopwatch,
        controls: Mapping[str, Control],
        standard: Standard,
    ) -> None:
        self._benchmark = benchmark
        self._stopwatch = stopwatch
        self._controls = controls
        self._standard = standard

    def __call__(self, job: Job) -> None:
        """Time a job; time it once more if it seems too slow, and fail if it still is.

        Args:
            job: What to time.
        """
        if not self._benchmark.enabled:
            self._benchmark.pedantic(job.prepare())
            return
        times: dict[str, list[float]] = {name: [] for name in self._controls}

        def setup() -> tuple[tuple[Callable[[], Any]], dict[str, Any]]:
            self._time_controls(times)
            work = job.prepare()
            self._stopwatch.units = job.units
            return (work,), {}

        result = self._benchmark.pedantic(
            lambda work: work(), setup=setup, rounds=job.rounds, warmup_rounds=0
        )
        seconds = self._benchmark.stats.stats.data
        info = _information(job, seconds, times, self._controls, job.quality(result))
        if self._standard.complaint(info):
            info = self._again(job)
        self._benchmark.extra_info.update(info)
        complaint = self._standard.complaint(info)
        if complaint:
            self._benchmark.has_error = True  # so that it is not stored as the next standard
            pytest.fail(f"{complaint}; so it was when it was timed once more", pytrace=False)

    def _time_controls(self, times: Mapping[str, list[float]]) -> None:
        for name, control in self._controls.items():
            if control.warm_up:
                control.work()
            self._stopwatch.units = control.units
            times[name].append(self._stopwatch.time(control.work))

    def _again(self, job: Job) -> dict[str, Any]:
        times: dict[str, list[float]] = {name: [] for name in self._controls}
        seconds = []
        result = None
        for _ in range(job.rounds):
            self._time_controls(times)
            work = job.prepare()
            self._stopwatch.units = job.units
            start = self._stopwatch()
            result = work()
            seconds.append(self._stopwatch() - start)
        info = _information(job, seconds, times, self._controls, job.quality(result))
        return {**info, "confirming_rerun": True}


def _information(
    job: Job,
    seconds: list[float],
    times: Mapping[str, list[float]],
    controls: Mapping[str, Control],
    quality: Mapping[str, float],
) -> dict[str, Any]:
    numbers = dict(quality)
    rate = job.flop / median(seconds) / 1e9 if job.flop else math.nan
    numbers["gflop_per_s"] = rate
    for name, control in controls.items():
        ratio, noise = gate.relative(seconds, times[name])
        numbers[f"relative_to_{name}"] = ratio
        numbers[f"noise_to_{name}"] = noise
        numbers[f"{name}_seconds"] = median(times[name])
        if control.flop and job.flop:
            numbers["peak_gflop_per_s"] = control.flop / median(times[name]) / 1e9
            numbers["share_of_peak"] = job.flop / control.flop / ratio
    return {**job.facts, **gate.finite(numbers)}
