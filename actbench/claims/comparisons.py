"""One number of all runs: how much one set exceeds another, and what several tasks give together.

How often the intervals err, ``actbench.claims.simulations`` shows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.statistics import median_interval, proportion_interval

_STEPS = 50
_RESAMPLES = 2000
_MOST_NUMBERS = 4_000_000
"""So many are resampled at once."""
_SEED = 0
_Interval = tuple[float, float]
_Array = NDArray[np.float64]

FEWEST_RUNS, FEWEST_OF_A_TASK = 100, 3
"""Of all tasks and of each; below either, ``iqm_interval`` errs too often."""


def wins(first: _Array, second: _Array) -> _Array:
    """Say for each pair which is larger; the two are of any shapes that fit.

    1 where the first is, 0.5 where both are the same, 0 where it is smaller, NaN where one is not a
    number.
    """
    above = np.greater(first, second) + 0.5 * np.equal(first, second)
    return np.where(np.isnan(first) | np.isnan(second), math.nan, above)


def paired_superiority(won: _Array, alpha: float) -> _Interval:
    """Return the interval of the probability that the first of a pair is larger, ties half.

    Clopper and Pearson's interval of a proportion. With ties it is that of as many successes as
    wins and half the ties: the error stays within alpha, by calculation for up to 100 pairs and
    any share of ties, as a tie is a coin that can't fall far.
    """
    return proportion_interval(float(won.sum()), len(won), alpha)


def unpaired_superiority(won: _Array, alpha: float) -> _Interval:
    """Return the interval of the probability that a run of one set exceeds one of another.

    ``won`` has shape ``(run of the first, run of the second)``. The share of all pairs is a mean
    over ways to pair the runs off, and so for every convex function spreads no wider than as many
    coins as the smaller set has runs (Hoeffding 1963, sections 4 and 5); ``bounded_mean`` holds for
    all of these, whatever the two distributions.
    """
    return bounded_mean(float(won.mean()), min(won.shape), alpha)


def bounded_mean(mean: float, count: int, alpha: float) -> _Interval:
    """Return an interval of the mean of independent numbers within [0, 1], whatever they are.

    Their sum S is below that of coins of the same mean, B, in convex order, so that for any t < s
    P(S >= s) <= E(B - t)+ / (s - t); the least over whole t is taken (Hoeffding 1963, theorem 1
    with the functions of Bentkus 2004, section 2).
    """
    return _least(mean, count, alpha / 2), 1 - _least(1 - mean, count, alpha / 2)


def _least(mean: float, count: int, level: float) -> float:
    """The smallest true mean under which one as large is more likely than a level."""
    total = mean * count
    below = np.arange(math.ceil(total - 1e-9))
    if not len(below):
        return 0.0
    low, high = 0.0, mean
    for _ in range(_STEPS):
        middle = (low + high) / 2
        # E(B - t)+ of a binomial B; betainc(0, .) is not defined, and P(B >= 0) is 1.
        fewer = special.bdtrc(below - 1, count - 1, middle)
        excess = count * middle * fewer - below * special.bdtrc(below, count, middle)
        rare = float(np.min(excess / (total - below))) <= level
        low, high = (middle, high) if rare else (low, middle)
    return low


def effect(first: _Array, second: _Array, alpha: float, *, smaller: bool = False) -> dict[str, str]:
    """Say how paired runs differ: how often, by how much and by which factor; decides nothing.

    Such as ``"the first is larger in 93 of 100 runs (probability 0.93, between 0.84 and 0.98)"`` as
    ``"often"``, and ``"difference"`` and ``"ratio"``, each in the median with its interval. Left
    out are pairs with what is not a number, and the ratio to numbers of both signs, or 0.
    """
    there = ~(np.isnan(first) | np.isnan(second))
    first, second = first[there], second[there]
    if not len(first):
        return {"often": "no pair of numbers"}
    won = wins(second, first) if smaller else wins(first, second)
    low, high = paired_superiority(won, alpha)
    tied = f", {ties} tied" if (ties := int((won == 0.5).sum())) else ""
    told = {
        "often": f"the first is {'smaller' if smaller else 'larger'} in {int((won == 1).sum())} of "
        f"{len(won)} runs{tied} (probability {won.mean():.3g}, between {low:.3g} and {high:.3g})"
    }
    with np.errstate(invalid="ignore", over="ignore"):
        differing = {"difference": first - second}
        if (second > 0).all() or (second < 0).all():
            differing["ratio"] = first / second
    for name, values in differing.items():
        if not np.isnan(values).any():
            interval = median_interval(values, alpha)
            ends = "" if interval is None else ", between {:.4g} and {:.4g}".format(*interval)
            told[name] = f"{name} {np.median(values):.4g}{ends}"
    return told


def iqm(values: _Array) -> _Array:
    """Return the interquartile mean along the last axis, all runs of all tasks.

    Of what is left without the lowest and the highest quarter, rounded down to whole runs (Agarwal
    et al. 2021, section 4.3).
    """
    ordered = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    middle: _Array = ordered[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return middle


def iqm_interval(values: _Array, tasks: NDArray[np.intp], alpha: float) -> _Interval:
    """Return Student's interval around the interquartile mean, by the stratified bootstrap's error.

    ``tasks`` numbers that of each run from 0, with at least 2 runs of each. The bootstrap draws
    runs of each task anew (Agarwal et al. 2021, section 4.2), one less than there are, as all of
    them make it too narrow by n - 1 of n (McCarthy and Snowden 1985); its spread and Student's
    quantile reach any level, which percentiles of resamples do not. It assumes that the mean is
    near to normal. What is simulated to err beyond its level, from ``FEWEST_RUNS`` on up to 1.6
    times, is taken off beforehand: the quantile is that of alpha / 2. The ends are infinite where
    diverged runs may reach the middle half.
    """
    drawn = resampled(values, tasks, less=1)
    if not np.isfinite(drawn).all():
        return -math.inf, math.inf
    runs = len(values) - (int(tasks.max()) + 1)
    half = iqm_half_width(drawn, runs, alpha)
    center = float(iqm(values))
    return center - half, center + half


def iqm_half_width(drawn: _Array, freedom: int, alpha: float) -> float:
    """Return half of what ``iqm_interval`` spans, from the resampled means."""
    return float(special.stdtrit(freedom, 1 - alpha / 4) * drawn.std())


def resampled(
    values: _Array, tasks: NDArray[np.intp], less: int, resamples: int = _RESAMPLES
) -> _Array:
    """Draw so many fewer runs of each task anew, and return the interquartile mean of each sample.

    Seeded, so that the same runs give the same interval.
    """
    random, at_once = np.random.default_rng(_SEED), max(1, _MOST_NUMBERS // len(values))
    places = [np.flatnonzero(tasks == task) for task in range(int(tasks.max()) + 1)]
    found = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = [own[random.integers(0, len(own), (rows, len(own) - less))] for own in places]
        with np.errstate(invalid="ignore"):  # a mean of both infinities is none
            found.append(iqm(values[np.concatenate(drawn, axis=1)]))
    return np.concatenate(found)
