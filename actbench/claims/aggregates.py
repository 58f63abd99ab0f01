"""One number for several tasks: the interquartile mean of all runs, and its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special

_RESAMPLES = 2000
_MOST_NUMBERS = 4_000_000
"""So many are resampled at once."""
_SEED = 0


def iqm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the interquartile mean, of what is left without the lowest and the highest quarter.

    Args:
        values: Along the last axis all runs of all tasks (Agarwal et al. 2021, section 4.3).

    Returns:
        One number for each row; a quarter is rounded down to whole runs.
    """
    ordered = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    middle: NDArray[np.float64] = ordered[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return middle


def iqm_interval(
    values: NDArray[np.float64], tasks: NDArray[np.intp], alpha: float
) -> tuple[float, float]:
    """Return Student's interval around the interquartile mean, by the stratified bootstrap's error.

    The bootstrap draws runs of each task anew (Agarwal et al. 2021, section 4.2), one less than
    there are, as all of them make it too narrow by n - 1 of n (McCarthy and Snowden 1985); its
    spread and Student's quantile reach any level, which percentiles of resamples do not. It assumes
    that the mean is near to normal. What ``table`` found it to err beyond its level, from
    ``FEWEST_RUNS`` on up to 1.6 times, is taken off beforehand: the quantile is that of alpha / 2.

    Args:
        values: One number per run, shape ``(run,)``.
        tasks: Of each run, from 0; at least 2 runs of each.
        alpha: Largest probability that the interval misses, between 0 and 1.

    Returns:
        Low and high end; infinite where diverged runs may reach the middle half.
    """
    drawn = resampled(values, tasks, less=1)
    if not np.isfinite(drawn).all():
        return -math.inf, math.inf
    runs = len(values) - (int(tasks.max()) + 1)
    half = _half(drawn, runs, alpha)
    center = float(iqm(values))
    return center - half, center + half


FEWEST_RUNS, FEWEST_OF_A_TASK = 100, 3
"""Of all tasks and of each; below either, ``iqm_interval`` errs too often."""


def _half(drawn: NDArray[np.float64], freedom: int, alpha: float) -> float:
    return float(special.stdtrit(freedom, 1 - alpha / 4) * drawn.std())


def resampled(
    values: NDArray[np.float64], tasks: NDArray[np.intp], less: int, resamples: int = _RESAMPLES
) -> NDArray[np.float64]:
    """Draw the runs of each task anew, and return the interquartile mean of each such sample.

    Args:
        values: As of ``iqm_interval``.
        tasks: As there.
        less: By how many fewer runs of each task are drawn than there are.
        resamples: How often; seeded, so that the same runs give the same interval.

    Returns:
        Shape ``(resample,)``.
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


_Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
_CASES: dict[str, _Draw] = {
    "normal": lambda r, n: r.normal(size=n),
    "lognormal": lambda r, n: r.lognormal(size=n),
    "Cauchy": lambda r, n: r.standard_cauchy(n),
}
_RUNS, _TASKS = (3, 5, 10, 20), (5, 20, 60)
_SPREAD = 2.0
"""Tasks differ by up to twice this, evenly; one run of a task varies by about 1."""


def errors(
    case: str, runs: int, tasks: int, repetitions: int, resamples: int = 300
) -> tuple[float, float, float, float]:
    """Simulate how often the interval of an interquartile mean misses that of endless runs.

    Args:
        case: Distribution within a task, one of those that ``table`` lists.
        runs: Of each task.
        tasks: How many; the same in each repetition.
        repetitions: How often to draw all runs.
        resamples: Of each.

    Returns:
        Shares missed at 5 % and 1 % by percentiles of a bootstrap of all runs, as rliable gives
        them, and at 5 % and 1 % by the rule of ``iqm_interval``.
    """
    random = np.random.default_rng(_SEED)
    offset = np.linspace(-_SPREAD, _SPREAD, tasks)[:, None]
    truth = float(iqm((_CASES[case](random, (tasks, 1_000_000 // tasks)) + offset).ravel()))
    rows = np.arange(tasks)[:, None]
    missed = np.zeros(4)
    for _ in range(repetitions):
        values = _CASES[case](random, (tasks, runs)) + offset
        whole, fewer = (
            iqm(
                values[rows, random.integers(0, runs, (resamples, tasks, count))].reshape(
                    resamples, -1
                )
            )
            for count in (runs, runs - 1)
        )
        center = float(iqm(values.ravel()))
        for place, alpha in enumerate((0.05, 0.01)):
            # Of few resamples the tails' share is right in the mean, as of rliable's 50,000.
            low, high = np.quantile(whole, (alpha / 2, 1 - alpha / 2), method="weibull")
            half = _half(fewer, tasks * (runs - 1), alpha)
            missed[place] += not low <= truth <= high
            missed[2 + place] += abs(center - truth) > half
    first, second, third, fourth = (missed / repetitions).tolist()
    return first, second, third, fourth


def table(repetitions: int = 1000) -> str:
    """Return what ``errors`` finds, in Markdown."""
    heads = [f"{case}: {rule}" for case in _CASES for rule in ("percentiles", "here")]
    lines = [f"| tasks | runs of each | {' | '.join(heads)} |", "|" + " --- |" * (2 + len(heads))]
    for tasks, runs in product(_TASKS, _RUNS):
        found = [errors(case, runs, tasks, repetitions) for case in _CASES]
        cells = [f"{a:.1%}, {b:.1%}" for each in found for a, b in (each[:2], each[2:])]
        lines.append(f"| {tasks} | {runs} | {' | '.join(cells)} |")
    return "\n".join(lines)
