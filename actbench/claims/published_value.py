"""A published value beside runs: could one run be one of these, does a mean differ from theirs?

Of a run by ranks, which assume nothing of a shape. Of a mean by parametric rules, none of which
decides a verdict: they take runs to be normal, and where they are not, err more often than their
level says. How often, ``actbench.claims.simulations`` shows; the worst stands here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.claim import Claim, PublishedMean
from actbench.claims.statistics import prediction_interval, values_for_prediction

COVERAGE = 0.95
_FLOAT32 = 1e-6
"""By how much of a number rounding in single precision moves it over a training, at least."""
_STEPS = 65
"""Standard deviations that are tried between the least and the most that is meant."""

RULES = (
    "equal means",
    "equal means, our spread",
    "equivalence",
    "equivalence, our spread",
    "equal spreads",
)
WORST: Mapping[int, tuple[tuple[float, float], ...]] = {
    3: ((0.27, 0.23), (0.14, 0.10), (0.30, 0.23), (0.10, 0.05), (0.57, 0.35)),
    5: ((0.21, 0.14), (0.17, 0.12), (0.25, 0.17), (0.13, 0.07), (0.73, 0.59)),
    10: ((0.14, 0.08), (0.21, 0.15), (0.19, 0.10), (0.18, 0.11), (0.80, 0.72)),
}
"""By number of published runs, the largest share of wrong answers of each rule at 5 % and 1 %.

As ``simulations.wrong_answers`` finds them, over the shapes and numbers of runs there.
"""

_Array = NDArray[np.float64]


def half_last_digit(value: float) -> float:
    """Return half a unit of the last digit with which a number is written."""
    _, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    return 0.5 * 10.0 ** int(exponent) if any(digits) else 0.0


@dataclass(frozen=True)
class PublishedRun:
    """How many runs have less and more than a published value.

    With probability ``p`` one more lies as far out, or farther, and 95 % of further ones lie within
    the interval, whatever the distribution; ``None`` of too few.
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


def published_run(values: _Array, published: float) -> PublishedRun:
    """Place a published value among runs, of which one that is NaN lies above all.

    If the published run was made as these were, all n + 1 are exchangeable, and the rank of any of
    them is uniform (David and Nagaraja 2003, section 7.3); ties count for either side. So does what
    its printed digits, or rounding in float32, can't tell from it. The two-sided p is twice the
    share of ranks as far out, its own among them.
    """
    ordered = np.where(np.isnan(values), math.inf, values)
    blur = max(half_last_digit(published), _FLOAT32 * abs(published))
    below = int((ordered < published - blur).sum())
    above = int((ordered > published + blur).sum())
    outside = min(len(values) - below, len(values) - above) + 1
    p = min(1.0, 2 * outside / (len(values) + 1))
    return PublishedRun(below, above, len(values), p, prediction_interval(values, COVERAGE))


def run_beside(claim: Claim, values: _Array) -> PublishedRun | None:
    """Place the value that a claim says one run gave; ``None`` where it says no such thing.

    A claim that a median is what one run of a publication gave; above or below a bound, the number
    that is published may be of something else.
    """
    equals = claim.relation is not None and claim.relation.kind == "equals"
    one_run = equals and claim.quantifier == "median" and not claim.ours
    if not one_run or not isinstance(claim.published, float):
        return None
    return published_run(values, claim.published)


def joint_p(values: _Array, published: _Array) -> float:
    """Return how surprising several numbers of one published run are together.

    The distance is Mahalanobis', with mean and covariance of all n + 1 runs, the published among
    them, so that under the hypothesis the n + 1 distances are exchangeable and the rank of the
    published one is uniform: exact whatever the distribution, as in conformal prediction (Vovk,
    Gammerman and Shafer 2005, section 2.2). Ours, of shape ``(run, number)``, are rounded as the
    published numbers are; a run with a number that is not finite counts as farthest.
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


def _as_printed(every: _Array, published: _Array) -> _Array:
    """Round each number of all runs as that of the published one was.

    What happened to one must happen to all. A 0 has no digits; it takes the finest of its table.
    """
    unit = np.array([2 * half_last_digit(number) for number in published])
    if not unit.any():
        return every
    unit[unit == 0] = unit[unit > 0].min()
    return np.asarray(np.round(every / unit) * unit, np.float64)


@dataclass(frozen=True)
class Sample:
    """Mean and standard deviation, with n - 1, of n runs; arrays where many are compared at once.

    Where there is none, it is that of the other sample.
    """

    mean: float | _Array
    std: float | _Array | None
    n: int

    @property
    def spread(self) -> _Array:
        """The standard deviation; NaN where there is none."""
        return np.asarray(self.std, np.float64)


def _error(ours: Sample, theirs: Sample) -> tuple[_Array, _Array]:
    """Standard error of the difference of two means, and its degrees of freedom."""
    own = np.square(ours.spread) / ours.n
    if theirs.std is None:
        return np.sqrt(own * (1 + ours.n / theirs.n)), np.full(own.shape, ours.n - 1.0)
    other = np.square(theirs.spread) / theirs.n
    both = own + other
    # Shares of the whole, as a square of what is small may vanish.
    with np.errstate(invalid="ignore", divide="ignore"):
        share = own / both
        freedom = 1 / (share**2 / (ours.n - 1) + (1 - share) ** 2 / (theirs.n - 1))
    return np.sqrt(both), freedom


def equal_means_p(ours: Sample, theirs: Sample, blur: float = 0.0) -> _Array:
    """Test that two means are equal, whatever the spreads (Welch 1947, Biometrika 34, 28).

    Where theirs has no spread, it is taken to be ours, and the test is Student's. ``blur`` is by
    how much the published mean may be off for its digits; p is NaN where nothing spreads.
    """
    error, freedom = _error(ours, theirs)
    gap = np.maximum(np.abs(np.subtract(ours.mean, theirs.mean)) - blur, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * special.stdtr(freedom, -gap / error), np.float64)


def equivalence_p(ours: Sample, theirs: Sample, low: float, high: float) -> _Array:
    """Test that the difference of two means, ours minus theirs, lies within low and high.

    Two one-sided tests (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657),
    with Welch's error; p is NaN where nothing spreads.
    """
    error, freedom = _error(ours, theirs)
    gap = np.subtract(ours.mean, theirs.mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        nearest = np.minimum(gap - low, high - gap) / error
        return np.asarray(special.stdtr(freedom, -nearest), np.float64)


def equal_spreads_p(ours: Sample, theirs: Sample) -> _Array:
    """Test that two spreads are equal: the F test (Snedecor and Cochran 1989, section 6.12)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.square(theirs.spread / ours.spread)
    freedom = theirs.n - 1, ours.n - 1
    sides = special.fdtr(*freedom, ratio), special.fdtrc(*freedom, ratio)
    return np.asarray(np.minimum(1, 2 * np.minimum(*sides)), np.float64)


@dataclass(frozen=True)
class MeanComparison:
    """A published mean beside the mean and standard deviation of our runs.

    With p of equal means, and of means that differ by more than the tolerance, if there is one. The
    ratio of spreads is theirs over ours, with its 95 % interval and p of equal spreads; ``None``
    where one of them is not known, or 0.
    """

    published: PublishedMean
    mean: float
    std: float
    runs: int
    equal_p: float
    equivalence_p: float | None = None
    spread_ratio: float | None = None
    spread_interval: tuple[float, float] | None = None
    spread_p: float | None = None

    @property
    def _errors(self) -> str:
        """How wrong each answer that is given has been, of the nearest number of runs below."""
        own = "" if self.published.std is not None else ", our spread"
        given = [f"equal means{own}"]
        given += [f"equivalence{own}"] if self.equivalence_p is not None else []
        given += ["equal spreads"] if self.spread_p is not None else []
        n = max((n for n in WORST if n <= self.published.n), default=min(WORST))
        rates = dict(zip(RULES, WORST[n], strict=True))
        told = (
            f"{rule.removesuffix(own)} {rates[rule][0]:.0%} ({rates[rule][1]:.0%})"
            for rule in given
        )
        return f"simulated with n = {n}, other shapes are wrong in up to {', '.join(told)}"

    def __str__(self) -> str:
        """In words, each answer with its p, what it assumes, and how wrong that has been."""
        how = "Welch's test" if self.published.std is not None else "Student's test"
        told = [
            f"the mean of {self.published.n} runs is {self.published.mean:.6g}, of our "
            f"{self.runs} it is {self.mean:.6g}: if equal, p = {self.equal_p:.2g} ({how})"
        ]
        if self.equivalence_p is not None:
            told.append(
                f"if they differ by more than the tolerance, p = {self.equivalence_p:.2g} (two "
                "one-sided tests)"
            )
        if self.spread_ratio is not None and self.spread_interval is not None:
            low, high = self.spread_interval
            told.append(
                f"the spread is {self.spread_ratio:.2g} times ours, between {low:.2g} and "
                f"{high:.2g} (95 %); if equal, p = {self.spread_p:.2g} (F test)"
            )
        borrowed = "" if self.published.std is not None else ", and spread as ours do"
        told.append(
            f"all this takes runs to be independent and normal{borrowed}, and decides nothing: at "
            f"a level of 5 % (1 %), {self._errors}"
        )
        return "; ".join(told)

    def row(self) -> dict[str, object]:
        """Return it as JSON-ready names and values."""
        return {**asdict(self), "published": self.published.model_dump()}


def compare(
    values: _Array, published: PublishedMean, tolerances: tuple[float, float] | None = None
) -> MeanComparison | None:
    """Compare a published mean with runs, and with the tolerances of ours minus theirs, if any.

    What its digits leave open, and by what its standard deviation divides where nobody says, may
    only weaken an answer: the largest p of all that may be meant is told. ``None`` where there are
    fewer than 2 values, one is not finite, so that there is no mean, or nothing spreads.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        ours = Sample(float(values.mean()), float(values.std(ddof=1)), len(values))
    printed = (published.mean, published.std or 0.0)
    blur = min(filter(None, map(half_last_digit, printed)), default=0.0)
    theirs = Sample(published.mean, _meant(published, blur), published.n)
    equal = float(np.max(equal_means_p(ours, theirs, blur)))
    if math.isnan(equal):
        return None
    within = None
    if tolerances is not None:
        low, high = tolerances
        within = float(np.max(equivalence_p(ours, theirs, low + blur, high - blur)))
    compared = MeanComparison(
        published, float(values.mean()), float(values.std(ddof=1)), len(values), equal, within
    )
    return _with_spread(compared, ours, theirs) if published.std and ours.std else compared


def _meant(published: PublishedMean, blur: float) -> _Array | None:
    """Standard deviations, with n - 1, that the printed one may stand for."""
    if published.std is None:
        return None
    by_n = math.sqrt(published.n / (published.n - 1))
    least = (published.std - blur) * (by_n if published.ddof == 0 else 1)
    most = (published.std + blur) * (1 if published.ddof == 1 else by_n)
    return np.linspace(max(0.0, least), most, _STEPS)


def _with_spread(compared: MeanComparison, ours: Sample, theirs: Sample) -> MeanComparison:
    """Compare the spreads too; the interval is of all ratios that the F test does not refute."""
    ratios = theirs.spread / ours.spread
    freedom = theirs.n - 1, ours.n - 1
    ends = np.sqrt(special.fdtri(*freedom, [0.975, 0.025]))
    return replace(
        compared,
        spread_ratio=float(np.median(ratios)),
        spread_interval=(float(ratios.min() / ends[0]), float(ratios.max() / ends[1])),
        spread_p=float(np.max(equal_spreads_p(ours, theirs))),
    )


def mean_beside(claim: Claim, values: _Array) -> MeanComparison | None:
    """Compare the mean that a claim's publication states with the runs that judge it.

    ``None`` where it states no mean, or the values are no runs to be averaged: shares of seeds, or
    what is pooled over networks or tasks.
    """
    of_each_run = not (claim.of_networks or claim.pooled)
    told = claim.quantifier == "median" or (claim.quantifier == "mean" and of_each_run)
    if not isinstance(claim.published, PublishedMean) or not told or claim.ours:
        return None
    relation = claim.relation
    if relation is None or relation.kind != "equals" or relation.value is None:
        return compare(values, claim.published)
    low, high = relation.bounds
    return compare(values, claim.published, (low - relation.value, high - relation.value))
