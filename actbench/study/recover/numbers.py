"""Numbers as they were printed, and how many protocols would give them by chance alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from actbench.store.errors import ActbenchError

# A value that lies half a digit away rounds to the printed one, whatever binary makes of the half.
_TIES = 1 + 1e-9

_STEPS = 60
_MARGIN = 1.2
_FEWEST = 4  # values of one setting from which a density can be told at all
_PER_NUMBER = 5  # networks from which on the spread of several numbers can be told
_COUNTED = 3  # values at the number from which on they are counted, as a narrow cluster must be


class Stored(BaseModel):
    """What is written into the file of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Printed:
    """A published number."""

    text: str  # as printed, such as `"0.84"` or `"2.59e7"`
    wanted: int | None = None  # how many of its digits must be given; None wants all, 0 none

    def __post_init__(self) -> None:
        try:
            number = Decimal(self.text)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or number <= 0:
            raise ActbenchError(
                f"published is {self.text!r}, but must be a number above 0 as it is printed, such "
                "as '0.84' or '2.59e7': ratios and losses are"
            )
        if self.wanted is not None and not 0 <= self.wanted <= self.digits:
            raise ActbenchError(
                f"digits is {self.wanted!r}, but {self.text!r} has {self.digits}: ask for 1 to "
                f"{self.digits}, or for 0 to show what a protocol gives and ask for nothing"
            )

    @property
    def value(self) -> float:
        """The number."""
        return float(Decimal(self.text))

    @property
    def digits(self) -> int:
        """How many significant digits are printed."""
        return len(Decimal(self.text).as_tuple().digits)

    @property
    def required(self) -> int:
        """How many digits a value must give to match."""
        return self.digits if self.wanted is None else self.wanted

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest value that match."""
        half = self._half_unit(self.required)
        return self.value - half, self.value + half

    def _half_unit(self, digit: int) -> float:
        """Return half of what one step of a digit is worth; digit 1 is the first printed."""
        last = Decimal(self.text).as_tuple().exponent
        if not isinstance(last, int):
            raise TypeError(f"{self.text!r} is not finite")
        return float(Decimal(5).scaleb(last - 1 + self.digits - digit)) * _TIES

    def agreed(self, values: NDArray[np.float64]) -> NDArray[np.int8]:
        """Count the digits that values give: the most to which they round as the number does.

        A value gives k digits if it lies within half a step of digit k. So 0.838 gives both digits
        of 0.84, and 2.602e7 two of the three of 2.59e7.
        """
        with np.errstate(invalid="ignore"):
            distance = np.abs(np.asarray(values, dtype=np.float64) - self.value)
        given = np.zeros(distance.shape, dtype=np.int8)
        for digit in range(1, self.digits + 1):
            given += distance <= self._half_unit(digit)
        return given

    def matches(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values give as many digits as are wanted."""
        matching: NDArray[np.bool_] = self.agreed(values) >= self.required
        return matching


def share_matching(values: NDArray[np.float64], printed: Printed) -> float:
    """Estimate which share of protocols gives a number.

    Three values or more at the number are counted. Elsewhere the nearest neighbors tell: the
    density of the logarithm of the values at the number is (k - 1) / (2 n r), with r the distance
    of the k-th nearest of n values (Loftsgaarden and Quesenberry 1965, with k - 1 for an estimate
    without bias); k is the root of n, and a cluster of fewer values is not seen. The estimate
    stays above zero where no value matches.
    """
    flat = values.ravel()
    hits = printed.matches(flat)
    if np.count_nonzero(hits) >= _COUNTED:
        return float(hits.mean())
    same_sign = flat[np.isfinite(flat) & (flat * printed.value > 0)]
    low, high = sorted(abs(bound) for bound in printed.interval)
    center, half = math.log(abs(printed.value)), math.log(high / max(low, 1e-300)) / 2
    neighbors = max(2, round(math.sqrt(len(same_sign))))
    if len(same_sign) < neighbors:
        return 0.0
    distance = np.partition(np.abs(np.log(np.abs(same_sign)) - center), neighbors - 1)
    radius = float(distance[neighbors - 1])
    if radius <= half:
        return float(hits.mean())
    return min(1.0, (neighbors - 1) / len(flat) * half / radius)


def joint_share(values: NDArray[np.float64], printed: Sequence[Printed]) -> float:
    """Estimate which share of networks gives several numbers at once.

    One number as ``share_matching`` has it. Several are not independent: the logarithms of a
    network's gradients move together. So the density at the numbers is that of a normal
    distribution fitted to them, times the printed intervals.
    """
    if len(printed) == 1:
        return share_matching(values, printed[0])
    logs = np.log(values[np.isfinite(values).all(1) & (values > 0).all(1)])
    if len(logs) < _PER_NUMBER * len(printed):
        return 1.0
    intervals = np.log([number.interval for number in printed])
    from scipy.stats import multivariate_normal

    fitted = multivariate_normal(logs.mean(0), np.cov(logs.T), allow_singular=True)
    density = fitted.logpdf(np.log([number.value for number in printed]))
    return float(min(1.0, math.exp(density + np.log(np.diff(intervals)).sum())))


def at_most(misses: int, shares: Sequence[float]) -> float:
    """Return the probability that independent numbers match, all but a few."""
    missing = [1.0] + [0.0] * misses
    for share in shares:
        missing = [
            share * count + (1 - share) * (missing[k - 1] if k else 0.0)
            for k, count in enumerate(missing)
        ]
    return sum(missing)


@dataclass(frozen=True)
class Group:
    """The sampled protocols of one setting, of which chance alone draws the networks."""

    drawings: int  # how many different drawings the space has of it
    values: NDArray[np.float64]  # shape (number, drawing, reading), NaN where not sampled


class Spread(Stored):
    """A histogram of the sample's values of one number, in equal steps of the logarithm."""

    low: float
    high: float
    counts: list[int]  # in each step; those of the published number's sign, by their size


def _spread(values: NDArray[np.float64], printed: Printed) -> Spread:
    """Count a sample's values around a published number."""
    flat = values.ravel()
    sizes = np.abs(flat[np.isfinite(flat) & (flat * printed.value > 0)])
    ends = np.quantile(sizes, (0.001, 0.999)) if len(sizes) else np.array([])
    reach = [*ends.tolist(), abs(printed.value)]
    low, high = min(reach) / _MARGIN, max(reach) * _MARGIN
    counts, _ = np.histogram(sizes, np.geomspace(low, high, _STEPS + 1))
    return Spread(low=low, high=high, counts=counts.tolist())


class Chance(Stored):
    """How many protocols chance alone would let match."""

    sampled: int  # protocols of which every number was evaluated
    shares: list[float]  # of all protocols, which share gives each number
    pooled: float  # expected matches if the numbers were independent over the whole space
    # If they are so among the networks of one setting; nothing where too few were sampled.
    given_settings: float | None
    spreads: list[Spread]

    @property
    def largest(self) -> float:
        """The more cautious of the two."""
        return max(self.pooled, self.given_settings or 0.0)


def estimate(
    groups: Sequence[Group], printed: Sequence[Printed], readings: int, misses: int
) -> Chance:
    """Estimate how many protocols would match by chance.

    Numbers of one protocol share its settings, so that they are far from independent over the
    space: where one is nearly right, so are the others. Within a setting they are different random
    networks, and independent but for streams that are reset before each.
    """
    everything = [
        np.concatenate([g.values[i].ravel() for g in groups]) for i in range(len(printed))
    ]
    asked = [values[~np.isnan(values)] for values in everything]
    shares = [share_matching(v, p) for v, p in zip(asked, printed, strict=True)]
    drawings = sum(group.drawings for group in groups)
    whole = all(group.values.shape[1] >= min(_FEWEST, group.drawings) for group in groups)
    full = whole and not any(np.isnan(group.values).all(axis=(0, 1)).any() for group in groups)
    return Chance(
        sampled=max((len(values) for values in asked), default=0),
        shares=shares,
        pooled=drawings * readings * at_most(misses, shares),
        given_settings=_given_settings(groups, printed, shares, misses) if full else None,
        spreads=[_spread(v, p) for v, p in zip(asked, printed, strict=True)],
    )


def _given_settings(
    groups: Sequence[Group],
    printed: Sequence[Printed],
    pooled: Sequence[float],
    misses: int,
) -> float:
    expected = 0.0
    for group in groups:
        for reading in range(group.values.shape[2]):
            values = group.values[:, :, reading]
            shares = [
                share_matching(values[i], p) if values.shape[1] >= _FEWEST else pooled[i]
                for i, p in enumerate(printed)
            ]
            expected += group.drawings * at_most(misses, shares)
    return expected
