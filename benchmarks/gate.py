"""Whether a benchmark became slower, judged relative to controls that were timed beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actbench.statistics import noise_of_median

CONTROLS = ("product", "loop")
"""A 2048 x 2048 x 2048 float32 product, and the plain ReLU loop."""

_MOST_LOSS_CHANGE = 0.1


def relative(seconds: Sequence[float], control: Sequence[float]) -> tuple[float, float]:
    """Compare times with those of a control that was timed in the same rounds.

    Args:
        seconds: One per round.
        control: One per round.

    Returns:
        The median of the ratios, and its noise as a share of it.
    """
    ratios = [s / c for s, c in zip(seconds, control, strict=True)]
    return statistics.median(ratios), noise_of_median(ratios)


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON cannot hold.

    Args:
        numbers: Names and numbers.

    Returns:
        Those that are finite.
    """
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Slowdown:
    """How much slower a benchmark is than a stored run, relative to one control.

    Args:
        control: One of ``CONTROLS``.
        factor: Relative time now over relative time then.
        limit: The largest factor that passes.
    """

    control: str
    factor: float
    limit: float

    @property
    def fails(self) -> bool:
        """Whether it is slower than allowed."""
        return self.factor > self.limit


def slowdown(
    now: Mapping[str, Any], then: Mapping[str, Any], max_slowdown: float
) -> Slowdown | None:
    """Compare a benchmark with its stored self.

    Controls disagree where something else held up one of them; only what is slower than *every*
    control allows is the benchmark's own fault, so the control that excuses most decides.

    Args:
        now: Its ``extra_info``.
        then: The stored ``extra_info``.
        max_slowdown: The largest factor that passes if nothing were noisy; each comparison is
            widened by the noise of both medians.

    Returns:
        The comparison that decides; none where no control is in both.
    """
    found = []
    for control in CONTROLS:
        name, noise = f"relative_to_{control}", f"noise_to_{control}"
        if now.get(name) and then.get(name):
            widened = 1 + math.hypot(now.get(noise, 0.0), then.get(noise, 0.0))
            found.append(Slowdown(control, now[name] / then[name], max_slowdown * widened))
    return min(found, key=lambda s: s.factor / s.limit, default=None)


def wrong_answer(now: Mapping[str, Any], then: Mapping[str, Any]) -> str | None:
    """Say how the final loss differs from the stored one, where it does.

    Args:
        now: A benchmark's ``extra_info``.
        then: The stored ``extra_info``.

    Returns:
        A sentence, or none: the losses agree within 10 %, or neither run trained.
    """
    if "final_loss" not in then:
        return None
    before, after = then["final_loss"], now.get("final_loss", math.nan)
    # Negated, so that a loss which is not a number counts as wrong.
    if not abs(after - before) <= _MOST_LOSS_CHANGE * abs(before):
        return f"final loss {after:.4g} instead of {before:.4g}: what it computes has changed"
    return None


@dataclass(frozen=True)
class Counts:
    """Which benchmarks two runs share.

    Args:
        judged: In both, with a control that is in both.
        unjudged: In both, but nothing can be said of their speed.
        missing: Stored, but not run now.
        new: Run now, but not stored.
    """

    judged: tuple[str, ...]
    unjudged: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        known = f"{len(self.judged)} judged, {len(self.missing)} missing, {len(self.new)} new"
        if not self.unjudged:
            return known
        return f"{known}; not judged, as no control is in both runs: {', '.join(self.unjudged)}"


def count(now: Mapping[str, Mapping[str, Any]], then: Mapping[str, Mapping[str, Any]]) -> Counts:
    """Count what a comparison compares.

    Args:
        now: Full names of the benchmarks that ran, with their ``extra_info``.
        then: The same of those stored.

    Returns:
        The names, sorted.
    """
    both = sorted(now.keys() & then.keys())
    judged = [name for name in both if slowdown(now[name], then[name], 1.0) is not None]
    return Counts(
        tuple(judged),
        tuple(name for name in both if name not in judged),
        tuple(sorted(then.keys() - now.keys())),
        tuple(sorted(now.keys() - then.keys())),
    )
