"""Could the run that was published be one of these? Ranks, which assume nothing of a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim
from actbench.claims.statistics import prediction_interval, values_for_prediction

COVERAGE = 0.95
_FLOAT32 = 1e-6
"""By how much of a number rounding in single precision moves it over a training, at least."""


@dataclass(frozen=True)
class PublishedRun:
    """Where a published value lies among runs.

    Args:
        below: How many runs have less.
        above: How many have more.
        runs: How many there are.
        p: Probability that one more run lies as far out, or farther, whatever the distribution.
        interval: Where 95 % of further runs lie, whatever the distribution; ``None`` of too few.
    """

    below: int
    above: int
    runs: int
    p: float
    interval: tuple[float, float] | None = None

    @property
    def could_be_one(self) -> bool | None:
        """Whether it could; ``None`` where there are too few runs to say."""
        if self.runs < values_for_prediction(COVERAGE):
            return None
        return self.p > 1 - COVERAGE

    def __str__(self) -> str:
        """In words, such as ``"it lies above 100 of 100 runs, so it is hardly one of them"``."""
        side, count = ("above", self.below) if self.below >= self.above else ("below", self.above)
        where = f"it lies {side} {count} of {self.runs} runs"
        if self.interval is None:
            least = values_for_prediction(COVERAGE)
            return (
                f"{where}; {least} are needed to say whether it could be one of them, and where 95 "
                "% of further ones lie"
            )
        could = "could be" if self.could_be_one else "is hardly"
        low, high = self.interval
        return (
            f"{where}, so it {could} one of them (p = {self.p:.2g}): 95 % of further ones lie "
            f"between {low:.6g} and {high:.6g}"
        )


def published_run(values: NDArray[np.float64], published: float) -> PublishedRun:
    """Place a published value among runs.

    If the published run was made as these were, all n + 1 are exchangeable, and the rank of any of
    them is uniform (David and Nagaraja 2003, section 7.3); ties count for either side. So does what
    its printed digits, or rounding in float32, can't tell from it.

    Args:
        values: One per run, shape ``(run,)``; NaN lies above all.
        published: Of one further run.

    Returns:
        Its place; the two-sided p is twice the share of ranks as far out, its own among them.
    """
    ordered = np.where(np.isnan(values), math.inf, values)
    blur = max(half_last_digit(published), _FLOAT32 * abs(published))
    below = int((ordered < published - blur).sum())
    above = int((ordered > published + blur).sum())
    outside = min(len(values) - below, len(values) - above) + 1
    p = min(1.0, 2 * outside / (len(values) + 1))
    return PublishedRun(below, above, len(values), p, prediction_interval(values, COVERAGE))


def place(claim: Claim, values: NDArray[np.float64]) -> PublishedRun | None:
    """Place the value that a claim says one run gave; ``None`` where it says no such thing.

    A claim that a median is what one run of a publication gave; above or below a bound, the number
    that is published may be of something else.
    """
    equals = claim.relation is not None and claim.relation.kind == "equals"
    one_run = equals and claim.quantifier == "median" and not claim.ours
    if not one_run or not isinstance(claim.published, float):
        return None
    return published_run(values, claim.published)


def half_last_digit(value: float) -> float:
    """Return half a unit of the last digit with which a number is written."""
    _, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    return 0.5 * 10.0 ** int(exponent) if any(digits) else 0.0


def joint_p(values: NDArray[np.float64], published: NDArray[np.float64]) -> float:
    """Return how surprising several numbers of one published run are together.

    The distance is Mahalanobis', with mean and covariance of all n + 1 runs, the published among
    them, so that under the hypothesis the n + 1 distances are exchangeable and the rank of the
    published one is uniform: exact whatever the distribution, as in conformal prediction (Vovk,
    Gammerman and Shafer 2005, section 2.2). Ours are rounded as the published numbers are.

    Args:
        values: Shape ``(run, number)``; runs with a number that is not finite count as farthest.
        published: Shape ``(number,)``, finite.

    Returns:
        The share of the n + 1 runs that lie at least as far out as the published one.
    """
    finite = values[np.isfinite(values).all(axis=1)]
    every = _as_printed(np.vstack([finite, published]), published)
    centered = every - every.mean(axis=0)
    # What single precision moves is no difference: such a number is left out, for all runs alike,
    # and adds to the variance of the others.
    blur = _FLOAT32 * np.abs(every).mean(axis=0)
    differs = np.abs(centered).max(axis=0) > blur
    centered, blur = centered[:, differs], blur[differs]
    scale = np.hypot(centered.std(axis=0), blur)
    scaled = centered / scale
    covariance = scaled.T @ scaled / len(every) + np.diag(np.square(blur / scale))
    inverse = np.linalg.pinv(covariance, hermitian=True)
    distance = np.einsum("ri,ij,rj->r", scaled, inverse, scaled)
    # Rounding must not part what is equal.
    as_far = int((distance >= distance[-1] * (1 - 1e-9)).sum()) + len(values) - len(finite)
    return as_far / (len(values) + 1)


def _as_printed(every: NDArray[np.float64], published: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round each number of all runs as that of the published one was.

    What happened to one must happen to all. A 0 has no digits; it takes the finest of its table.
    """
    unit = np.array([2 * half_last_digit(number) for number in published])
    if not unit.any():
        return every
    unit[unit == 0] = unit[unit > 0].min()
    return np.asarray(np.round(every / unit) * unit, np.float64)
