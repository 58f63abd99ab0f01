"""Who is better: one measure of one activation beside the same measure of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.statistics import median_interval, never_below, same_distribution

Outcome: TypeAlias = Literal["wins", "ties", "loses"]
Values: TypeAlias = NDArray[np.float64]

LEVEL = 0.01
"""Probability that one card shows any difference where there is none, at most."""
INTERVAL_LEVEL = 0.01
"""Probability that one interval of a median misses it, at most."""
OTHER_WAY = 0.05
"""A difference that shows in the other direction too, at this level, is one of spread."""
COST_MARGIN = 1.1
"""Costs that are nearer than this factor are a tie: timings swing by as much."""

METHOD = (
    f"two-sample Kolmogorov-Smirnov test at {LEVEL:g} over the number of comparisons (Bonferroni), "
    f"medians in that order, and no difference the other way, one-sided at {OTHER_WAY:g}; of costs "
    f"the interval, at that level, of the ratio in the same round lies beyond {COST_MARGIN:g}"
)


@dataclass(frozen=True)
class Estimate:
    """A median over seeds with its interval.

    Args:
        median: The median.
        low: Low end of the interval; ``None`` where there are too few values.
        high: High end.
        count: Number of values.
    """

    median: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """One measure of everyone.

    Args:
        label: What it is.
        better: Which values are better.
        estimates: By activation, the one that is tried first.
        outcomes: Of the one that is tried, by the other's key.
        place: Its place by median, 1 for the best; equal medians share one.
    """

    label: str
    better: str
    estimates: Mapping[str, Estimate]
    outcomes: Mapping[str, Outcome]
    place: int

    def count(self, outcome: Outcome) -> int:
        """Return how many comparisons ended in one way."""
        return sum(found == outcome for found in self.outcomes.values())

    def json(self) -> dict[str, Any]:
        """Return the row as JSON-ready names and values."""
        return {
            "label": self.label,
            "better": self.better,
            "place": self.place,
            "of": len(self.estimates),
            "estimates": {key: vars(estimate) for key, estimate in self.estimates.items()},
            "outcomes": dict(self.outcomes),
        }


def row(
    label: str,
    better: Literal["low", "high"],
    values: Mapping[str, Values],
    own: str,
    alpha: float,
    *,
    paired: bool = False,
) -> Row:
    """Compare one activation with all others."""
    found = {key: np.where(np.isnan(v), np.inf, v) for key, v in values.items()}
    estimates = {key: _estimate(v) for key, v in found.items()}
    sign = 1 if better == "low" else -1
    medians = {key: sign * estimate.median for key, estimate in estimates.items()}
    how = _by_ratio if paired else _by_test
    return Row(
        label=label,
        better=better,
        estimates={own: estimates[own], **estimates},
        outcomes={key: how(found[own], v, sign, alpha) for key, v in found.items() if key != own},
        place=1 + sum(m < medians[own] for key, m in medians.items() if key != own),
    )


def _estimate(values: Values) -> Estimate:
    interval = median_interval(values, INTERVAL_LEVEL)
    low, high = interval or (None, None)
    return Estimate(_median(values), low, high, len(values))


def _median(values: Values) -> float:
    # Between a number and infinity there is nothing to interpolate.
    finite = bool(np.isfinite(values).all())
    return float(np.median(values) if finite else np.sort(values)[(len(values) - 1) // 2])


def _by_test(own: Values, other: Values, sign: int, alpha: float) -> Outcome:
    if same_distribution(own, other) >= alpha:
        return "ties"
    ours, theirs = sign * own, sign * other
    if _median(ours) < _median(theirs):
        return "wins" if never_below(theirs, ours) >= OTHER_WAY else "ties"
    if _median(ours) > _median(theirs):
        return "loses" if never_below(ours, theirs) >= OTHER_WAY else "ties"
    return "ties"


def _by_ratio(own: Values, other: Values, sign: int, alpha: float) -> Outcome:
    interval = median_interval((own / other) ** sign, alpha)
    if interval is None:
        return "ties"
    if interval[1] < 1 / COST_MARGIN:
        return "wins"
    return "loses" if interval[0] > COST_MARGIN else "ties"
