"""Second part of a drift: metrics over seeds, from identical bits to a shift past rounding."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import numpy as np

from actbench.claims import metrics, twosample
from actbench.claims.measured import FALSE_ALARM, metric_title
from actbench.claims.twosample import Margin
from actbench.tracking.drift.scope import join
from actbench.tracking.records import Distribution, Dtype, Record

Number = float | None

LAST_DIGIT_UNITS: Final = 512
"""Up to here two values differ in the last digit only, in units in the last place of the dtype.

Adding n numbers in another order moves a sum of one sign by at most n roundings of half a unit
each, to first order (Higham 2002, section 4.2). One loss of the study's network takes 641 terms
in its products, 11 biases and a mean over 200 points: 852 roundings, 426 units; this is the next
power of two. It is 6e-5 relative in float32 and 1.1e-13 in float64; a derivative that is wrong
by 0.1 % lies at 8000 units or more.
"""

_BITS: Final = {"float32": 24, "float64": 53}
_SMALLEST: Final = {"float32": 2.0**-149, "float64": 2.0**-1074}


class Level(StrEnum):
    """How much numbers drifted, the least first.

    ``unseen``: bits differ, but none of the few values that a record keeps of a long step.
    ``within_spread``: more than the last digit, but no more than other seeds or another rounding
    may make. ``larger``: the same, where there is no spread over seeds to compare with.
    ``outside_spread``: a shift, or another spread, that neither seeds nor rounding make.
    """

    IDENTICAL = "identical"
    LAST_DIGIT = "last_digit"
    UNSEEN = "unseen"
    WITHIN_SPREAD = "within_spread"
    LARGER = "larger"
    OUTSIDE_SPREAD = "outside_spread"

    @property
    def rank(self) -> int:
        """0 for identical bits, more for more drift."""
        return list(Level).index(self)

    @property
    def words(self) -> str:
        """Such as ``"within seeds and rounding"``."""
        return _WORDS[self]


_WORDS: Final = {
    Level.IDENTICAL: "identical bits",
    Level.LAST_DIGIT: "last digit",
    Level.UNSEEN: "differs in values not kept",
    Level.WITHIN_SPREAD: "within seeds and rounding",
    Level.LARGER: "larger, no spread known",
    Level.OUTSIDE_SPREAD: "beyond seeds and rounding",
}


def distance(old: Number, new: Number, dtype: Dtype | None = None) -> float:
    """In units in the last place of a dtype; without one, as a share of the larger number."""
    old, new = (math.nan if value is None else value for value in (old, new))
    if not (math.isfinite(old) and math.isfinite(new)):
        return 0.0 if same_bits([old], [new]) else math.inf
    if old == new:
        return 0.0
    unit = max(abs(old), abs(new))
    if dtype is not None:
        _, exponent = math.frexp(unit)
        unit = max(math.ldexp(1.0, exponent - _BITS[dtype]), _SMALLEST[dtype])
    return abs(new - old) / unit


def largest_distance(
    old: Sequence[Number], new: Sequence[Number], dtype: Dtype | None = None
) -> float:
    """Of two lists, value by value; infinite where one is longer."""
    if len(old) != len(new):
        return math.inf
    return max((distance(a, b, dtype) for a, b in zip(old, new, strict=True)), default=0.0)


def same_bits(old: Sequence[Number], new: Sequence[Number]) -> bool:
    """Tell whether two lists are equal to the last bit; 0 and -0 are not."""

    def bits(values: Sequence[Number]) -> list[str | None]:
        return [None if value is None else value.hex() for value in values]

    return bits(old) == bits(new)


Settings = Mapping[str, Any] | None
"""Of a protocol; ``None`` where they are not known."""


def dtype_of(settings: Settings) -> Dtype:
    """Return the dtype whose last digit counts for a protocol."""
    if settings is None:
        return "float32"
    dtype = settings.get("dtype")
    if dtype in ("float32", "float64"):
        return "float32" if dtype == "float32" else "float64"
    return "float32" if "float32" in str(list(settings.values())) else "float64"


def margin_of(metric: Mapping[str, Any], settings: Settings) -> Margin:
    """Return how far rounding alone may move each value of a metric in one direction.

    Rounding scatters a chaotic training widely, but to either side, which a test allows for. Only
    what it does to all seeds alike must be allowed for here: at most a few units in the last place
    in an ensemble of roundings (``tests/rounding_ensemble.py``). The margin is the same bound as of
    the last digit, in single precision wherever a protocol does not say that all of it is double.
    A metric that is rounding and nothing else has its ceiling instead.
    """
    double = settings is not None and settings.get("dtype") == "float64"
    relative = LAST_DIGIT_UNITS * float(np.finfo(np.float64 if double else np.float32).eps)
    ceiling = None if settings is None else metrics.rounding_ceiling(metric, settings)
    return Margin(relative, ceiling or 0.0)


Change = Literal["shift", "spread"]


@dataclass(frozen=True)
class MetricDrift:
    """One metric in two records."""

    protocol: str
    metric: Mapping[str, str | int | float]
    definition: str
    level: Level
    seeds: tuple[int, int]  # how many values each record has
    # Largest distance of two values of one seed, in units in the last place of the dtype that was
    # trained, and as a share of the larger; infinite where the seeds are not the same.
    units: float
    relative: float
    # Of the tests of location and of spread, the smaller one twice; None where no test was needed
    # or there are too few seeds for one.
    p: float | None
    old_median: float  # over seeds; not finite where half of them are not
    new_median: float
    # How many seeds have other bits, and the median of how much each changed; None where the seeds
    # are not known or not the same, or the median is not finite.
    differing: int | None = None
    median_change: float | None = None
    changed: Change | None = None  # what p is of; None without a test
    by_seed: bool = False  # whether the values were tested as pairs, seed by seed

    @property
    def name(self) -> str:
        """Such as ``"stated: final_mse(activation=relu)"``."""
        return _title(self)


@dataclass(frozen=True)
class MetricsDrift:
    """What became of the metrics that both records have at the same settings."""

    metrics: tuple[MetricDrift, ...] = ()
    # Level of each metric that can be tested, so that one clean comparison of all raises a false
    # alarm with probability 0.001 at most.
    alpha: float = FALSE_ALARM
    tested: int = 0
    new: tuple[str, ...] = ()  # names of those that only the new record has
    missing: tuple[str, ...] = ()  # names of those that only the old record has
    left_out: int = 0  # because their protocol has other settings


def compare_distributions(
    old: Record, new: Record, other: Collection[str], changed: Collection[str] = ()
) -> MetricsDrift:
    """Compare metrics, seed by seed where the seeds are the same, and else as distributions."""
    found = join(_by_name(old.distributions), _by_name(new.distributions))
    pairs = [
        _Pair(before, now, old.protocols.get(before.protocol))
        for before, now in found.pairs
        if before.protocol not in other and before.metric.get("claim") not in changed
    ]
    reaches = [pair.reach for pair in pairs if pair.level is None]
    alpha = _level(reaches)
    return MetricsDrift(
        tuple(_compare(pair, alpha) for pair in pairs),
        alpha,
        sum(reach <= alpha for reach in reaches),
        new=tuple(map(_title, found.new)),
        missing=tuple(map(_title, found.missing)),
        left_out=len(found.pairs) - len(pairs),
    )


def _by_name(distributions: Sequence[Distribution]) -> dict[tuple[str, str], Distribution]:
    return {(d.protocol, json.dumps(d.metric, sort_keys=True)): d for d in distributions}


def _title(metric: Distribution | MetricDrift) -> str:
    return f"{metric.protocol}: {metric_title(metric.metric)}"


@dataclass(frozen=True)
class _Pair:
    """One metric of both records, and the settings of its protocol."""

    old: Distribution
    new: Distribution
    settings: Settings

    @property
    def same_seeds(self) -> bool:
        return self.old.seeds == self.new.seeds and len(self.old.values) == len(self.new.values)

    def distance(self, dtype: Dtype | None = None) -> float:
        if not self.same_seeds:
            return math.inf
        return largest_distance(self.old.values, self.new.values, dtype)

    @property
    def units(self) -> float:
        return self.distance(dtype_of(self.settings))

    @property
    def level(self) -> Level | None:
        """``None`` where only a test can tell."""
        if same_bits(self.old.values, self.new.values):
            return Level.IDENTICAL
        return Level.LAST_DIGIT if self.units <= LAST_DIGIT_UNITS else None

    @property
    def reach(self) -> float:
        """The smallest p that two tests of its values can give."""
        return 2 * twosample.smallest_p(len(self.old.values), len(self.new.values), paired=False)


def _level(reaches: Sequence[float]) -> float:
    """Share the level among the metrics whose tests can reach their part of it.

    What can't raise an alarm spends nothing, as its smallest p shows before any is looked at
    (Tarone 1990).
    """
    able = ((n, sum(p <= FALSE_ALARM / n for p in reaches)) for n in itertools.count(1))
    return FALSE_ALARM / next(parts for parts, count in able if count <= parts)


def _compare(pair: _Pair, alpha: float) -> MetricDrift:
    old, new = pair.old, pair.new
    level, p, changed, by_seed = pair.level, None, None, False
    if level is None and pair.reach > alpha:
        level = Level.LARGER
    elif level is None:
        p, changed, by_seed = _test(pair, alpha)
        level = Level.OUTSIDE_SPREAD if p <= alpha else Level.WITHIN_SPREAD
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
        pair.units,
        pair.distance(),
        p,
        _median(old.values),
        _median(new.values),
        differing,
        median_change,
        changed,
        by_seed,
    )


def _test(pair: _Pair, alpha: float) -> tuple[float, Change, bool]:
    """Both tests of one metric, as pairs where their p can become small enough."""
    old, new = pair.old.values, pair.new.values
    by_seed = pair.same_seeds and twosample.by_pairs(len(new), alpha)
    margin = margin_of(pair.new.metric, pair.settings)
    found: list[tuple[float, Change]] = [
        (twosample.location(old, new, margin, paired=by_seed), "shift"),
        (twosample.spread(old, new, margin, paired=by_seed), "spread"),
    ]
    p, changed = min(found)
    return min(1.0, 2 * p), changed, by_seed


def _median(values: Sequence[float]) -> float:
    # Neighbors, not interpolation: between a number and infinity there is nothing.
    return float(np.sort(values)[(len(values) - 1) // 2])
