"""Second part of a drift: metrics over seeds, in steps from identical bits to another spread."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actbench.claims.measured import FALSE_ALARM, metric_title
from actbench.drift.levels import LAST_DIGIT_UNITS, Level, same_bits, worst
from actbench.records import Distribution, Dtype, Record
from actbench.statistics import same_distribution


@dataclass(frozen=True)
class MetricDrift:
    """One metric in two records.

    Args:
        protocol: Name of the protocol.
        metric: Name and arguments.
        definition: What it is.
        level: How much it drifted.
        seeds: How many values each record has.
        units: Largest distance of two values of one seed, in units in the last place of the
            dtype that was trained; infinite where the numbers of seeds differ, or their names.
        relative: The same as a share of the larger value.
        p: Probability of distributions this far apart if both were one; ``None`` where no test
            was needed or there are too few seeds for one.
        old_median: Over seeds; not finite where half of them are not.
        new_median: As ``old_median``.
        differing: How many seeds have other bits; ``None`` where the seeds are not known, or not
            the same.
        median_change: Median over the seeds of how much each changed; ``None`` as above, or where
            it is not finite.
    """

    protocol: str
    metric: Mapping[str, str | int | float]
    definition: str
    level: Level
    seeds: tuple[int, int]
    units: float
    relative: float
    p: float | None
    old_median: float
    new_median: float
    differing: int | None = None
    median_change: float | None = None

    @property
    def name(self) -> str:
        """Such as ``"stated: final_mse(activation=relu)"``."""
        return f"{self.protocol}: {metric_title(self.metric)}"


@dataclass(frozen=True)
class MetricsDrift:
    """What became of the metrics.

    Args:
        metrics: Those in both records at the same settings.
        alpha: Level of each test, so that one clean comparison of all metrics raises a false
            alarm with probability 0.001 at most.
        new: Names of those that only the new record has.
        missing: Names of those that only the old record has.
        left_out: How many were left out because their protocol has other settings.
    """

    metrics: tuple[MetricDrift, ...] = ()
    alpha: float = FALSE_ALARM
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    left_out: int = 0


def compare_distributions(
    old: Record, new: Record, other: Collection[str], changed: Collection[str] = ()
) -> MetricsDrift:
    """Compare metrics, seed by seed and then as distributions.

    Args:
        old: One record.
        new: Another.
        other: Protocols whose settings differ; their metrics are left out.
        changed: Claims that ask something else now; their values are left out.

    Returns:
        One entry per metric in both, and what was not compared.
    """
    before, now = _by_name(old.distributions), _by_name(new.distributions)
    both = [name for name in before if name in now]
    names = [
        name
        for name in both
        if before[name].protocol not in other and before[name].metric.get("claim") not in changed
    ]
    alpha = FALSE_ALARM / max(1, len(names))
    metrics = tuple(
        _compare(before[name], now[name], dtype_of(old.protocols.get(before[name].protocol)), alpha)
        for name in names
    )
    return MetricsDrift(
        metrics,
        alpha,
        new=tuple(_title(now[name]) for name in now if name not in before),
        missing=tuple(_title(before[name]) for name in before if name not in now),
        left_out=len(both) - len(names),
    )


def _by_name(distributions: Sequence[Distribution]) -> dict[tuple[str, str], Distribution]:
    return {(d.protocol, json.dumps(d.metric, sort_keys=True)): d for d in distributions}


def _title(distribution: Distribution) -> str:
    return f"{distribution.protocol}: {metric_title(distribution.metric)}"


def dtype_of(settings: Mapping[str, Any] | None) -> Dtype:
    """Return the dtype whose last digit counts for a protocol.

    Args:
        settings: Every setting of the protocol; ``None`` where they are not known.

    Returns:
        Its ``dtype``; without one, float32 where a setting says that a part is computed so.
    """
    if settings is None:
        return "float32"
    dtype = settings.get("dtype")
    if dtype in ("float32", "float64"):
        return "float32" if dtype == "float32" else "float64"
    return "float32" if "float32" in str(list(settings.values())) else "float64"


def _compare(old: Distribution, new: Distribution, dtype: Dtype, alpha: float) -> MetricDrift:
    units = relative = math.inf
    if old.seeds == new.seeds and len(old.values) == len(new.values):
        units = worst(old.values, new.values, dtype)
        relative = worst(old.values, new.values)
    p = None
    if same_bits(old.values, new.values):
        level = Level.IDENTICAL
    elif units <= LAST_DIGIT_UNITS:
        level = Level.LAST_DIGIT
    elif not enough_seeds(len(old.values), len(new.values), alpha):
        level = Level.LARGER
    else:
        p = same_distribution(old.values, new.values)
        level = Level.OUTSIDE_SPREAD if p < alpha else Level.WITHIN_SPREAD
    differing = median_change = None
    if old.seeds is not None and old.seeds == new.seeds:
        pairs = list(zip(old.values, new.values, strict=True))
        differing = sum(not same_bits([a], [b]) for a, b in pairs)
        with np.errstate(invalid="ignore"):
            change = float(np.median([b - a for a, b in pairs]))
        median_change = change if math.isfinite(change) else None
    return MetricDrift(
        new.protocol,
        new.metric,
        new.definition,
        level,
        (len(old.values), len(new.values)),
        units,
        relative,
        p,
        _median(old.values),
        _median(new.values),
        differing,
        median_change,
    )


def enough_seeds(old: int, new: int, alpha: float) -> bool:
    """Tell whether a two-sample test can reach its level at all.

    Args:
        old: Values of one record.
        new: Values of the other.
        alpha: The level, between 0 and 1.

    Returns:
        Whether two samples without any overlap are found to differ: of the arrangements of all
        values two are that extreme, p = 2 / binomial(old + new, old).
    """
    return min(old, new) > 0 and 2 / math.comb(old + new, old) < alpha


def _median(values: Sequence[float]) -> float:
    # Neighbors, not interpolation: between a number and infinity there is nothing.
    return float(np.sort(values)[(len(values) - 1) // 2])
