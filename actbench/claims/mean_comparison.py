"""A published mean beside runs: equal means, equivalent means, equal spreads; all parametric.

None of these decides a verdict: they take runs to be normal, and where they are not, err more often
than their level says. How often, ``actbench.claims.mean_errors`` simulates; the worst stands here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.claim import Claim, PublishedMean
from actbench.claims.published_run import half_last_digit

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

As ``mean_errors.rates`` finds them, over the shapes and numbers of runs there.
"""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Mean and spread of runs; each an array where many are compared at once.

    Args:
        mean: Of the runs.
        std: Their standard deviation, with n - 1; ``None`` for that of the other sample.
        n: How many there are, at least 2.
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

    Where theirs has no spread, it is taken to be ours, and the test is Student's.

    Args:
        ours: Mean, spread and number.
        theirs: Of the published runs.
        blur: By how much the published mean may be off for its digits.

    Returns:
        Two-sided p; NaN where nothing spreads.
    """
    error, freedom = _error(ours, theirs)
    gap = np.maximum(np.abs(np.subtract(ours.mean, theirs.mean)) - blur, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * special.stdtr(freedom, -gap / error), np.float64)


def equivalence_p(ours: Sample, theirs: Sample, low: float, high: float) -> _Array:
    """Test that two means differ by less than a tolerance, with two one-sided tests.

    Schuirmann 1987 (Journal of Pharmacokinetics and Biopharmaceutics 15, 657), with Welch's error.

    Args:
        ours: Mean, spread and number.
        theirs: Of the published runs.
        low: Least difference, ours minus theirs, that still counts as equal.
        high: Largest one.

    Returns:
        p of means that differ by more; NaN where nothing spreads.
    """
    error, freedom = _error(ours, theirs)
    gap = np.subtract(ours.mean, theirs.mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        nearest = np.minimum(gap - low, high - gap) / error
        return np.asarray(special.stdtr(freedom, -nearest), np.float64)


def equal_spreads_p(ours: Sample, theirs: Sample) -> _Array:
    """Test that two spreads are equal, with the F test (Snedecor and Cochran 1989, section 6.12).

    Args:
        ours: Mean, spread and number.
        theirs: Of the published runs, with a spread.

    Returns:
        Two-sided p; NaN where nothing spreads.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.square(theirs.spread / ours.spread)
    freedom = theirs.n - 1, ours.n - 1
    sides = special.fdtr(*freedom, ratio), special.fdtrc(*freedom, ratio)
    return np.asarray(np.minimum(1, 2 * np.minimum(*sides)), np.float64)


@dataclass(frozen=True)
class MeanComparison:
    """A published mean beside runs.

    Args:
        published: What was published.
        mean: Of our runs.
        std: Their standard deviation.
        runs: How many they are.
        equal_p: p of equal means.
        equivalence_p: p of means that differ by more than the tolerance; ``None`` without one.
        spread_ratio: Theirs over ours; ``None`` where one of them is not known, or 0.
        spread_interval: Its 95 % interval.
        spread_p: p of equal spreads.
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
    values: NDArray[np.float64],
    published: PublishedMean,
    tolerances: tuple[float, float] | None = None,
) -> MeanComparison | None:
    """Compare a published mean with runs.

    What its digits leave open, and by what its standard deviation divides where nobody says, may
    only weaken an answer: the largest p of all that may be meant is told.

    Args:
        values: One per run, shape ``(run,)``.
        published: Of other runs.
        tolerances: Least and largest difference, ours minus theirs, that still counts as equal.

    Returns:
        The answers; ``None`` where there are fewer than 2 values, one is not finite, so that there
        is no mean, or nothing spreads.
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


def compared(claim: Claim, values: NDArray[np.float64]) -> MeanComparison | None:
    """Compare the mean that a claim's publication states with the runs that judge it.

    Args:
        claim: The claim.
        values: One per run, shape ``(run,)``.

    Returns:
        The answers; ``None`` where it states no mean, or the values are no runs to be averaged:
            shares of seeds, or what is pooled over networks or tasks.
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
