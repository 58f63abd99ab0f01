"""How much one set of runs exceeds another: by how much, by which factor, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.statistics import median_interval, proportion_interval

_STEPS = 50
_SEED = 0
_Interval = tuple[float, float]


def wins(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say for each pair which is larger.

    Args:
        first: One number per pair; of any shape that fits the other's.
        second: As ``first``.

    Returns:
        1 where the first is larger, 0.5 where both are the same, 0 where it is smaller, NaN where
        one is not a number.
    """
    above = np.greater(first, second) + 0.5 * np.equal(first, second)
    return np.where(np.isnan(first) | np.isnan(second), math.nan, above)


def paired_superiority(won: NDArray[np.float64], alpha: float) -> _Interval:
    """Return the interval of the probability that the first of a pair is larger, ties half.

    Clopper and Pearson's interval of a proportion. With ties it is that of as many successes as
    wins and half the ties: the error stays within alpha, by calculation for up to 100 pairs and
    any share of ties, as a tie is a coin that can't fall far.

    Args:
        won: Of each independent pair 0, 0.5 or 1, as ``wins`` gives them.
        alpha: Largest probability that the interval misses, between 0 and 1.

    Returns:
        Low and high end, within [0, 1].
    """
    return proportion_interval(float(won.sum()), len(won), alpha)


def unpaired_superiority(won: NDArray[np.float64], alpha: float) -> _Interval:
    """Return the interval of the probability that a run of one set exceeds one of another.

    The share of all pairs is a mean over ways to pair the runs off, and so for every convex
    function spreads no wider than as many coins as the smaller set has runs (Hoeffding 1963,
    sections 4 and 5); ``bounded_mean`` holds for all of these, whatever the two distributions.

    Args:
        won: Shape ``(run of the first, run of the second)``, as ``wins`` gives them.
        alpha: As of ``paired_superiority``.

    Returns:
        Low and high end, within [0, 1].
    """
    return bounded_mean(float(won.mean()), min(won.shape), alpha)


def bounded_mean(mean: float, count: int, alpha: float) -> _Interval:
    """Return an interval of the mean of independent numbers within [0, 1], whatever they are.

    Their sum S is below that of coins of the same mean, B, in convex order, so that for any t < s
    P(S >= s) <= E(B - t)+ / (s - t); the least over whole t is taken (Hoeffding 1963, theorem 1
    with the functions of Bentkus 2004, section 2).

    Args:
        mean: Of the numbers, within [0, 1].
        count: How many there are.
        alpha: Largest probability that the interval misses, between 0 and 1.

    Returns:
        Low and high end, within [0, 1].
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


def brunner_munzel(
    won: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the approximate interval of ``unpaired_superiority`` that is in use elsewhere.

    Placements, the share of one set that each run of the other exceeds, give the variance, and
    Satterthwaite's degrees of freedom Student's quantile (Brunner and Munzel 2000, section 3). It
    takes the share to be normal, and where the sets hardly overlap it misses far too often: no
    verdict rests on it, and ``table`` says why.

    Args:
        won: As there, with at least 2 runs of either kind; leading axes are repetitions.
        alpha: Intended probability that the interval misses.

    Returns:
        Low and high ends.
    """
    runs = np.array(won.shape[-2:])
    share = won.mean(axis=(-2, -1))
    # What is next to nothing keeps the quotient of two zeros from being none.
    parts = [
        np.maximum(won.mean(axis=k - 2).var(axis=-1, ddof=1) / runs[1 - k], 1e-30) for k in (1, 0)
    ]
    total = parts[0] + parts[1]
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, runs, strict=True))
    half = special.stdtrit(freedom, 1 - alpha / 2) * np.sqrt(total)
    return share - half, share + half


def effect(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    alpha: float,
    *,
    smaller: bool = False,
) -> dict[str, str]:
    """Say how paired runs differ: how often, by how much and by which factor.

    Args:
        first: One number per run.
        second: Of the same runs.
        alpha: Error level of each of the intervals: none of them decides anything.
        smaller: Whether to say how often the first is smaller, not larger.

    Returns:
        Such as ``"the first is larger in 93 of 100 runs (probability 0.93, between 0.84 and
        0.98)"`` as ``"often"``, and ``"difference"`` and ``"ratio"``, each in the median with its
        interval. Left out are pairs with what is not a number, and the ratio to numbers of both
        signs, or 0.
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


_Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def _binomial(share: float) -> _Draw:
    return lambda r, size: r.binomial(10, share, size).astype(np.float64)


def _answered_more() -> float:
    """Of ten questions each, more with 0.8 than with 0.6; ties half."""
    count = np.arange(11.0)
    chances = [special.binom(10, count) * p**count * (1 - p) ** (10 - count) for p in (0.8, 0.6)]
    return float(chances[0] @ wins(count[:, None], count) @ chances[1])


_CASES: dict[str, tuple[_Draw, _Draw, float]] = {
    "normal, the same": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(size=n), 0.5),
    "normal, 2 sd apart": (
        lambda r, n: r.normal(2, 1, n),
        lambda r, n: r.normal(size=n),
        float(special.ndtr(math.sqrt(2))),
    ),
    "lognormal, one 3 times wider": (
        lambda r, n: r.lognormal(0, 1, n),
        lambda r, n: r.lognormal(0, 3, n),
        0.5,
    ),
    "8 and 6 of 10 questions": (_binomial(0.8), _binomial(0.6), _answered_more()),
    "half of one diverged": (
        lambda r, n: np.where(r.random(n) < 0.5, -math.inf, r.normal(3, 1, n)),
        lambda r, n: r.normal(size=n),
        0.5 * float(special.ndtr(3 / math.sqrt(2))),
    ),
}
"""Distribution of either kind of runs and the probability that the first is larger."""
_SIZES = ((5, 5), (10, 10), (10, 40), (40, 40))


def errors(
    case: str, sizes: tuple[int, int], alpha: float, repetitions: int
) -> tuple[float, float, float, float]:
    """Simulate how often intervals of unpaired runs miss, and how wide they are.

    Args:
        case: One of those that ``table`` lists.
        sizes: Runs of the first and of the second.
        alpha: Intended error level.
        repetitions: How often to draw both.

    Returns:
        Share missed and mean width, of ``unpaired_superiority`` and of ``brunner_munzel``.
    """
    random = np.random.default_rng(_SEED)
    (first, second, truth), (m, n) = _CASES[case], sizes
    won = wins(
        first(random, (repetitions, m))[:, :, None], second(random, (repetitions, n))[:, None]
    )
    shares, which = np.unique(won.mean(axis=(1, 2)), return_inverse=True)
    exact = np.array([bounded_mean(share, min(sizes), alpha) for share in shares])[which]
    found: list[float] = []
    for low, high in (exact.T, brunner_munzel(won, alpha)):
        width = np.minimum(high, 1) - np.maximum(low, 0)
        found += [float(np.mean((low > truth) | (high < truth))), float(width.mean())]
    return found[0], found[1], found[2], found[3]


def table(repetitions: int = 10_000) -> str:
    """Return what ``errors`` finds, in Markdown."""
    heads = [f"{rule}, {level}" for level in ("5 %", "1 %") for rule in ("here", "Brunner-Munzel")]
    lines = [f"| runs | of each | {' | '.join(heads)} |", "|" + " --- |" * 6]
    for case, (m, n) in product(_CASES, _SIZES):
        found = [errors(case, (m, n), alpha, repetitions) for alpha in (0.05, 0.01)]
        cells = [
            f"{missed:.1%}, {width:.2f} wide"
            for each in found
            for missed, width in (each[:2], each[2:])
        ]
        lines.append(f"| {case} | {m}, {n} | {' | '.join(cells)} |")
    return "\n".join(lines)
