"""Stored measurements compared with a fresh run: what is exact by value, all else by its spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims import metrics
from actbench.claims.measured import FALSE_ALARM, Entry, Measured, metric_title
from actbench.claims.statistics import never_below

# Two processors round differently; over the first epochs that stays below 1e-5, while one per
# cent in a derivative moves a gradient by at least 1e-3.
_EXACT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """One metric that is not what was stored: both medians, and what the comparison found."""

    metric: Mapping[str, Any]
    stored: float
    fresh: float
    how: str

    def __str__(self) -> str:
        return (
            f"{metric_title(self.metric)}: stored {self.stored:.6g}, now {self.fresh:.6g} "
            f"({self.how})"
        )


def compare(stored: Measured, fresh: Measured) -> list[Difference]:
    """Compare a fresh run with what is stored."""
    both = [entry for entry in stored.entries if fresh.has(entry.metric)]
    tested = max(1, sum(not entry.exact for entry in both))
    differences = [
        *(_of_one(e, "no claim asks for it any more") for e in stored.entries if e not in both),
        *(_of_one(e, "not stored yet") for e in fresh.entries if not stored.has(e.metric)),
    ]
    for entry in both:
        old, new = stored.values(entry.metric), fresh.values(entry.metric)
        ceiling = metrics.rounding_ceiling(entry.metric, fresh.settings)
        if ceiling is not None:
            how = _below(new, ceiling)
        elif entry.exact:  # seed by seed, so of the seeds that both have
            old, new = old[: len(new)], new[: len(old)]
            how = _exact(old, new)
        else:
            how = _by_test(old, new, FALSE_ALARM / tested)
        if how:
            medians = float(np.median(old)), float(np.median(new))
            differences.append(Difference(entry.metric, *medians, how))
    return differences


def _of_one(entry: Entry, how: str) -> Difference:
    median = float(np.median(entry.values))
    return Difference(entry.metric, median, median, how)


def _exact(old: NDArray[np.float64], new: NDArray[np.float64]) -> str | None:
    # Infinite, or not a number, only if both are.
    same = np.isclose(new, old, rtol=_EXACT_TOLERANCE, atol=0, equal_nan=True)
    if same.all():
        return None
    with np.errstate(all="ignore"):
        worst = float(np.fmax.reduce(np.abs(new / old - 1)))
    return f"{(~same).sum()} of {len(old)} values differ, by up to {worst:.2g} relative"


def _below(new: NDArray[np.float64], ceiling: float) -> str | None:
    above = ~(new <= ceiling)
    if not above.any():
        return None
    return (
        f"{above.sum()} of {len(new)} values are above {ceiling:.2g}, the most that rounding makes"
    )


def _by_test(old: NDArray[np.float64], new: NDArray[np.float64], alpha: float) -> str | None:
    """Test in both directions, after each value has taken a step of rounding back."""
    step = np.where(np.isfinite(new), _EXACT_TOLERANCE * np.abs(new), 0)  # an infinite one stays
    p = 2 * min(never_below(new + step, old), never_below(old, new - step))
    return None if p >= alpha else f"two-sample test, p = {p:.2g}"
