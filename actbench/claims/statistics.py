"""Intervals and tests that need no assumption about a distribution's shape."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats takes half a second to load

_NOTCH = 1.57


def median_interval(values: ArrayLike, alpha: float) -> tuple[float, float] | None:
    """Return a confidence interval of the median from order statistics.

    The number of values below the median is binomial with p = 1/2, so the k-th smallest and the
    k-th largest enclose it with probability 1 - 2 P(B < k), whatever the distribution
    (David and Nagaraja 2003, eq. 7.1.2). NaN counts as plus infinity; ``None`` of too few values.
    """
    ordered = np.sort(_nan_as_infinity(values))
    k = _rank(len(ordered), alpha)
    return None if k == 0 else (float(ordered[k - 1]), float(ordered[-k]))


@functools.lru_cache
def _rank(count: int, alpha: float) -> int:
    """Largest k with 2 P(B <= k - 1) <= alpha; the interval is [k-th smallest, k-th largest]."""
    below = special.bdtr(np.arange((count + 1) // 2), count, 0.5)
    return int(np.searchsorted(2 * below, alpha, side="right"))


def seeds_for_median(alpha: float) -> int:
    """Return how many values ``median_interval`` needs: the smallest n with 2 x 0.5^n <= alpha."""
    return max(1, math.ceil(1 - math.log2(alpha)))


def prediction_interval(values: ArrayLike, coverage: float) -> tuple[float, float] | None:
    """Return where a further value lies, whatever the distribution.

    Of n + 1 exchangeable values the last is equally likely to have any rank, so it lies between
    the k-th smallest and the k-th largest of the others with probability 1 - 2 k / (n + 1), or
    more where values tie (David and Nagaraja 2003, section 7.3). NaN counts as plus infinity;
    ``None`` of too few values.
    """
    ordered = np.sort(_nan_as_infinity(values))
    # A hair's breadth more, so that 0.05 * 40 / 2 is 1.
    k = math.floor((1 - coverage) * (len(ordered) + 1) / 2 + 1e-9)
    return None if k == 0 else (float(ordered[k - 1]), float(ordered[-k]))


def values_for_prediction(coverage: float) -> int:
    """Return how many values that needs: the smallest n with 2 / (n + 1) <= 1 - coverage."""
    return math.ceil(2 / (1 - coverage) - 1e-9) - 1


FEWEST_FOR_MEAN = 16
"""Below, the mean of what is not normal is too far from normal for ``mean_interval``."""


def mean_interval(values: ArrayLike, alpha: float) -> tuple[float, float] | None:
    """Return Student's confidence interval of the mean of finite values; ``None`` of too few."""
    given = np.asarray(values, dtype=np.float64)
    if len(given) < FEWEST_FOR_MEAN:
        return None
    # A power of two, which changes no digit, keeps squares of large values from overflowing.
    unit = 2.0 ** (math.frexp(float(np.abs(given).max()))[1] - 1)
    scaled = given / unit
    half = (
        special.stdtrit(len(given) - 1, 1 - alpha / 2) * scaled.std(ddof=1) / math.sqrt(len(given))
    )
    return float(scaled.mean() - half) * unit, float(scaled.mean() + half) * unit


def jackknife(pooled: Callable[[NDArray[np.intp]], float], rows: int) -> NDArray[np.float64]:
    """Give a value that is pooled over networks its sampling error, as one number per network.

    Tukey's pseudo-values n t - (n - 1) t_i, with t_i without network i, from a function of the
    places of some networks. Their mean is t with its bias corrected, their scatter its error (Efron
    and Tibshirani 1993, section 11.5); of fewer than 2 nothing is known.
    """
    if rows < 2:
        return np.full(rows, math.nan)
    every = np.arange(rows)
    without = np.array([pooled(np.delete(every, place)) for place in every])
    return rows * pooled(every) - (rows - 1) * without


def proportion_interval(successes: float, trials: int, alpha: float) -> tuple[float, float]:
    """Return the exact binomial interval of a proportion (Clopper and Pearson 1934).

    A trial that is undecided counts as half a success.
    """
    low = special.betaincinv(successes, trials - successes + 1, alpha / 2) if successes else 0.0
    missed = trials - successes
    high = special.betainccinv(successes + 1, missed, alpha / 2) if missed else 1.0
    return float(low), float(high)


def seeds_for_proportion(share: float, alpha: float) -> int:
    """Return how many agreeing seeds show that at least a share of all seeds agrees.

    The smallest n whose exact interval, with n successes in n trials, begins at ``share`` or above:
    share^n <= alpha / 2.
    """
    return max(1, math.ceil(math.log(alpha / 2) / math.log(share)))


def seeds_against_proportion(share: float, alpha: float) -> int:
    """Return how many disagreeing seeds show that less than a share of all seeds agrees.

    The smallest n whose exact interval, with no success in n trials, ends below ``share``:
    (1 - share)^n < alpha / 2.
    """
    return math.floor(math.log(alpha / 2) / math.log(1 - share)) + 1


def same_distribution(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p value of a two-sample Kolmogorov-Smirnov test; NaN counts as plus infinity."""
    return _kolmogorov_smirnov(first, second, "two-sided")


def never_below(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p value of the one-sided two-sample Kolmogorov-Smirnov test.

    The probability that this many more of the first lie below some number if no number has a larger
    share of the first below it than of the second.
    """
    return _kolmogorov_smirnov(first, second, "greater")


def _kolmogorov_smirnov(
    first: ArrayLike, second: ArrayLike, alternative: Literal["two-sided", "greater"]
) -> float:
    from scipy import stats

    one, two = (np.nan_to_num(_nan_as_infinity(v)) for v in (first, second))
    with warnings.catch_warnings():
        # For hardly any distance the exact sum fails by rounding; scipy says so and takes the
        # asymptotic value, which is 1 there.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation", RuntimeWarning)
        return float(stats.ks_2samp(one, two, alternative, method="exact").pvalue)


def _nan_as_infinity(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.asarray(values, dtype=np.float64).ravel()
    return np.where(np.isnan(numbers), np.inf, numbers)


def quantiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the 2.5 %, 50 % and 97.5 % quantiles, seeds that diverged counted as infinite."""
    finite = np.where(np.isfinite(values), values, np.inf).astype(np.float64)
    # Neighbors, not interpolation: between a number and infinity there is nothing to interpolate.
    low, median, high = (
        float(np.quantile(finite, q, method=method))  # type: ignore[call-overload]
        for q, method in ((0.025, "lower"), (0.5, "lower"), (0.975, "higher"))
    )
    if np.isfinite(finite).all():
        low, median, high = (float(q) for q in np.quantile(finite, (0.025, 0.5, 0.975)))
    return low, median, high


def noise_of_median(values: Sequence[float]) -> float:
    """Estimate how far a median of positive numbers may be off, as a share of it.

    Half the width of a notch, 1.57 IQR / sqrt(n) (McGill, Tukey and Larsen 1978, section 7); 0 for
    fewer than two values, which tell nothing.
    """
    if len(values) < 2:
        return 0.0
    lower, median, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return _NOTCH * (upper - lower) / math.sqrt(len(values)) / median
