"""Relative speed over releases."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from actbench.drift import Drift, Ratio
from actbench.history.pairs import Pairs


@dataclass(frozen=True)
class SpeedRow:
    """How long one workload takes.

    Args:
        workload: Its name.
        first: Number of the first release that timed it.
        since_previous: Per release, against the last one before that timed it; ``None`` where
            there is nothing to compare.
        since_first: Per release, against the first that timed it.
    """

    workload: str
    first: int
    since_previous: tuple[Ratio | None, ...]
    since_first: tuple[Ratio | None, ...]


def interval(ratio: Ratio) -> tuple[float, float] | None:
    """Return the interval of a ratio, so that one that begins above 1 is slower."""
    if math.isinf(ratio.uncertainty):
        return None
    return ratio.ratio / (1 + ratio.uncertainty), ratio.ratio * (1 + ratio.uncertainty)


def mean_since_first(rows: Sequence[SpeedRow], number: int) -> float | None:
    """Average over workloads how long they take at a release, relative to the first timed one."""
    first = min((row.first for row in rows), default=None)
    if number == first:
        return 1.0
    since = [row.since_first[number] for row in rows if row.first == first]
    ratios = [found.ratio for found in since if found is not None]
    return statistics.geometric_mean(ratios) if ratios else None


def speed_rows(pairs: Pairs) -> tuple[SpeedRow, ...]:
    """Lay out how long each workload takes, relative to the control."""
    timed = [record.timings.workloads if record.timings else [] for record in pairs.records]
    held = [[workload.name for workload in workloads] for workloads in timed]
    return tuple(
        SpeedRow(
            name,
            next(number for number, names in enumerate(held) if name in names),
            pairs.over(name, held, "previous", _ratio),
            pairs.over(name, held, "first", _ratio),
        )
        for name in dict.fromkeys(name for names in held for name in names)
    )


def _ratio(drift: Drift, workload: str) -> Ratio | None:
    return next((ratio for ratio in drift.speed.workloads if ratio.name == workload), None)
