"""Third part of a drift: durations relative to a control, with their uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from actbench.claims.statistics import noise_of_median
from actbench.tracking.records import Timings

SMALLEST_CHANGE: Final = 0.05
"""A change of speed below this share is not told, however precisely it was measured."""

Change = Literal["slower", "faster", "as before", "unknown"]


@dataclass(frozen=True)
class Ratio:
    """How much longer something takes than before.

    Args:
        name: Of the workload.
        old: Median of the old durations, relative to the control (seconds for the control).
        new: Median of the new ones.
        ratio: New over old; above 1 is slower.
        uncertainty: Of the ratio, as a share of it: the notches of both medians (McGill, Tukey
            and Larsen 1978, section 7), added as independent errors; infinite where a record
            has one round only, which tells nothing about noise.
        least: The smallest factor, to either side, that counts as a change: beyond the
            uncertainty, 5 %, and for a workload what the control itself changed by. A ratio to the
            control makes up for a machine in another mood, but not wholly.
    """

    name: str
    old: float
    new: float
    ratio: float
    uncertainty: float
    least: float

    @property
    def change(self) -> Change:
        """Whether it is slower or faster by more than ``least``."""
        if math.isinf(self.least):
            return "unknown"
        if self.ratio > self.least:
            return "slower"
        return "faster" if self.ratio * self.least < 1 else "as before"

    def beyond(self, max_slowdown: float) -> bool:
        """Tell whether it is slower, and by more than a factor beyond its uncertainty."""
        return self.change == "slower" and self.ratio > max_slowdown * (1 + self.uncertainty)


@dataclass(frozen=True)
class Speed:
    """What became of the speed.

    Args:
        workloads: Those in both records.
        mean: Geometric mean of their ratios; ``None`` where there is none.
        mean_uncertainty: Its uncertainty as a share, as if all errors were one, since every
            ratio rests on the same control.
        control: The control's own durations in seconds, not relative to anything.
        control_is: What the control computes.
        new: Names of the workloads that only the new record has.
        missing: Names of those that only the old record has.
    """

    workloads: tuple[Ratio, ...] = ()
    mean: float | None = None
    mean_uncertainty: float = 0.0
    control: Ratio | None = None
    control_is: str = ""
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def compare_timings(old: Timings, new: Timings) -> Speed:
    """Compare durations of one machine with the same control."""
    before, now = ({w.name: w.relative for w in timings.workloads} for timings in (old, new))
    control = _ratio("control", old.control_durations_s, new.control_durations_s)
    moved = max(control.ratio, 1 / control.ratio) if control.change != "as before" else 1.0
    ratios = tuple(_ratio(name, before[name], now[name], moved) for name in before if name in now)
    logs = [math.log(r.ratio) for r in ratios]
    return Speed(
        ratios,
        math.exp(statistics.fmean(logs)) if logs else None,
        statistics.fmean(r.uncertainty for r in ratios) if ratios else 0.0,
        control,
        new.control,
        new=tuple(name for name in now if name not in before),
        missing=tuple(name for name in before if name not in now),
    )


def _ratio(name: str, old: Sequence[float], new: Sequence[float], moved: float = 1.0) -> Ratio:
    then, now = statistics.median(old), statistics.median(new)
    uncertainty = math.inf
    if min(len(old), len(new)) > 1:
        uncertainty = math.hypot(noise_of_median(old), noise_of_median(new))
    least = max(1 + max(uncertainty, SMALLEST_CHANGE), moved)
    return Ratio(name, then, now, now / then, uncertainty, least)
