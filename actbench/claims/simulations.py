"""How often each rule errs, simulated where any answer is wrong: with the truth on the bound.

Of a median half of all runs reach the bound, of ``every`` a share of exactly 95 %, and the mean
lies on it. Whatever is decided there counts as false, so that the share of false verdicts of a rule
that assumes nothing stays within its level for every distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims import comparisons
from actbench.claims.looks import boundaries, crossing, schedule
from actbench.claims.published_value import (
    RULES,
    Sample,
    equal_means_p,
    equal_spreads_p,
    equivalence_p,
)
from actbench.claims.statistics import mean_interval, median_interval, proportion_interval
from actbench.pages import blocks

_Values: TypeAlias = NDArray[np.float64]
_Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], _Values]
_CHUNK = 10_000

LEVELS = (0.05, 0.01)


# Verdicts.

SHARE = 0.95
DISTRIBUTIONS: Mapping[str, Callable[[_Values, float], _Values]] = {
    "normal": lambda u, q: special.ndtri(u) - special.ndtri(q),
    "lognormal": lambda u, q: np.exp(special.ndtri(u)) - np.exp(special.ndtri(q)),
    "Cauchy": lambda u, q: np.tan(np.pi * (u - 0.5)) - np.tan(np.pi * (q - 0.5)),
    "discrete": lambda u, q: np.floor(2 * (u - q) / np.where(u < q, q, 1 - q)),
    "bimodal": lambda u, q: (
        special.ndtri(u) - special.ndtri(q) + 9 * (np.sign(u - 0.5) - np.sign(q - 0.5))
    ),
    "half diverged": lambda u, q: np.where(u < q, math.nan, 1.0),
}
"""Name to what makes values of uniform numbers: a share ``q`` of them lies below 0, or is none."""
MEANS = {"normal": 0.0, "lognormal": math.exp(0.5) - 1, "discrete": -0.5, "bimodal": 0.0}
"""Those that have a mean, at ``q`` = 1/2."""


@dataclass(frozen=True)
class Rule:
    """A rule at a level, of which a share ``below`` of all runs does not reach the bound.

    It tells of values ``(repetition, run)`` which repetitions are decided; of a mean, whether it is
    another than the one given. ``exact`` is the share of false verdicts by calculation.
    """

    name: str
    runs: int
    below: float
    decides: Callable[[_Values, float], NDArray[np.bool_]]
    exact: float | None = None


def rules(alpha: float) -> list[Rule]:
    """List the rules of ``median``, ``every`` and ``mean``, at once and until decided."""
    return [
        _median(16, alpha),
        _sequential("median", 0.5, alpha),
        _every(200, alpha),
        _sequential(f"every, {SHARE:g}", SHARE, alpha),
        *(_mean(runs, alpha) for runs in (16, 100)),
    ]


def _median(runs: int, alpha: float) -> Rule:
    low, high = (int(end) for end in median_interval(range(runs), alpha) or (0, runs - 1))

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        ordered = np.sort(np.where(np.isnan(values), -np.inf, values), axis=1)
        return (ordered[:, low] >= 0) | (ordered[:, high] < 0)

    exact = 2 * float(special.bdtr(low, runs, 0.5))
    return Rule(f"median of {runs}", runs, 0.5, decides, exact)


def _every(runs: int, alpha: float) -> Rule:
    ends = np.array([proportion_interval(count, runs, alpha) for count in range(runs + 1)])
    decided = (ends[:, 0] >= SHARE) | (ends[:, 1] < SHARE)

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        return np.asarray(decided[(values >= 0).sum(axis=1)])

    chances = np.diff(special.bdtr(np.arange(runs + 1), runs, SHARE), prepend=0)
    return Rule(f"every, {SHARE:g}, of {runs}", runs, 1 - SHARE, decides, float(chances @ decided))


def _sequential(name: str, p0: float, alpha: float) -> Rule:
    looks = boundaries(schedule(p0, alpha), p0, alpha)
    last, end = looks[-1].runs, crossing(looks, p0)
    at = np.array([look.runs - 1 for look in looks])
    enough = np.array([math.inf if k.at_least is None else k.at_least for k in looks])
    few = np.array([-1 if k.at_most is None else k.at_most for k in looks])

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        counts = (values >= 0).cumsum(axis=1, dtype=np.int16)[:, at]
        return np.asarray(((counts >= enough) | (counts <= few)).any(axis=1))

    told = f"{name}, until decided, up to {last}"
    return Rule(told, last, 1 - p0, decides, end.above + end.below)


def _mean(runs: int, alpha: float) -> Rule:
    sample = np.arange(float(runs))
    low, high = mean_interval(sample, alpha) or (-math.inf, math.inf)
    reach = (high - low) / 2 / sample.std(ddof=1)

    def decides(values: _Values, mean: float) -> NDArray[np.bool_]:
        off = np.abs(values.mean(axis=1) - mean)
        return np.asarray(off > reach * values.std(axis=1, ddof=1))

    return Rule(f"mean of {runs}", runs, 0.5, decides)


def false_share(rule: Rule, distribution: str, repetitions: int, seed: int) -> float | None:
    """Simulate how often a rule decides what is on its bound."""
    if rule.exact is None and distribution not in MEANS:
        return None
    rng, decided = np.random.default_rng(seed), 0
    for start in range(0, repetitions, _CHUNK):
        uniform = rng.random((min(_CHUNK, repetitions - start), rule.runs))
        values = DISTRIBUTIONS[distribution](uniform, rule.below)
        decided += int(rule.decides(values, MEANS.get(distribution, 0.0)).sum())
    return decided / repetitions


def table(repetitions: int = 100_000) -> str:
    """Return the share of false verdicts of each rule, as a table in Markdown."""
    rows, seed = [], 0
    for alpha in LEVELS:
        for rule in rules(alpha):
            cells = [rule.name, f"{alpha:g}", _percent(rule.exact)]
            for name in DISTRIBUTIONS:
                seed += 1
                cells.append(_percent(false_share(rule, name, repetitions, seed)))
            rows.append(cells)
    return blocks.table(["rule", "level", "calculated", *DISTRIBUTIONS], rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


# How often a run of one set exceeds one of another.


def _binomial(share: float) -> _Draw:
    return lambda r, size: r.binomial(10, share, size).astype(np.float64)


def _answered_more() -> float:
    """Of ten questions each, more with 0.8 than with 0.6; ties half."""
    count = np.arange(11.0)
    chances = [special.binom(10, count) * p**count * (1 - p) ** (10 - count) for p in (0.8, 0.6)]
    return float(chances[0] @ comparisons.wins(count[:, None], count) @ chances[1])


SETS: Mapping[str, tuple[_Draw, _Draw, float]] = {
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


def brunner_munzel(won: _Values, alpha: float) -> tuple[_Values, _Values]:
    """Return the approximate interval of ``unpaired_superiority`` that is in use elsewhere.

    Placements, the share of one set that each run of the other exceeds, give the variance, and
    Satterthwaite's degrees of freedom Student's quantile (Brunner and Munzel 2000, section 3). It
    takes the share to be normal, and where the sets hardly overlap it misses far too often, so no
    verdict rests on it. Leading axes of ``won`` are repetitions.
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


def missed_superiority(
    case: str, sizes: tuple[int, int], alpha: float, repetitions: int
) -> list[float]:
    """Return share missed and mean width, of ``unpaired_superiority`` and ``brunner_munzel``."""
    random = np.random.default_rng(0)
    (first, second, truth), (m, n) = SETS[case], sizes
    won = comparisons.wins(
        first(random, (repetitions, m))[:, :, None], second(random, (repetitions, n))[:, None]
    )
    shares, which = np.unique(won.mean(axis=(1, 2)), return_inverse=True)
    ends = [comparisons.bounded_mean(share, min(sizes), alpha) for share in shares]
    found: list[float] = []
    for low, high in (np.array(ends)[which].T, brunner_munzel(won, alpha)):
        width = np.minimum(high, 1) - np.maximum(low, 0)
        found += [float(np.mean((low > truth) | (high < truth))), float(width.mean())]
    return found


def superiority_table(repetitions: int = 10_000) -> str:
    """Return what ``missed_superiority`` finds, in Markdown."""
    heads = [f"{rule}, {level}" for level in ("5 %", "1 %") for rule in ("here", "Brunner-Munzel")]
    rows = []
    for case, (m, n) in product(SETS, _SIZES):
        found = [missed_superiority(case, (m, n), alpha, repetitions) for alpha in LEVELS]
        cells = (
            f"{missed:.1%}, {width:.2f} wide"
            for each in found
            for missed, width in (each[:2], each[2:])
        )
        rows.append([case, f"{m}, {n}", *cells])
    return blocks.table(["runs", "of each", *heads], rows)


# Means of runs: the interquartile one of several tasks, and a published one beside ours.


def _half_diverged(random: np.random.Generator, size: tuple[int, int]) -> _Values:
    """Half of the runs blow up, to finite numbers; of infinite ones there is no mean to ask of."""
    return np.where(
        random.random(size) < 0.5, random.random(size), 1e3 * random.lognormal(size=size)
    )


SHAPES: Mapping[str, _Draw] = {
    "normal": lambda random, size: random.normal(size=size),
    "lognormal": lambda random, size: random.lognormal(size=size),
    "Cauchy": lambda random, size: random.standard_cauchy(size=size),
    "discrete": lambda random, size: random.poisson(2, size=size).astype(np.float64),
    "bimodal": lambda random, size: random.normal(size=size) + 10 * random.integers(0, 2, size),
    "half diverged": _half_diverged,
}
TASK_SHAPES = ("normal", "lognormal", "Cauchy")
RUNS, TASKS = (3, 5, 10, 20), (5, 20, 60)
_SPREAD = 2.0
"""Tasks differ by up to twice this, evenly; one run of a task varies by about 1."""


def missed_iqm(
    shape: str, runs: int, tasks: int, repetitions: int, resamples: int = 300
) -> list[float]:
    """Return how often intervals of an interquartile mean miss that of endless runs.

    At 5 % and 1 % by percentiles of a bootstrap of all runs, as rliable gives them, and at 5 % and
    1 % by the rule of ``iqm_interval``.
    """
    random = np.random.default_rng(0)
    offset = np.linspace(-_SPREAD, _SPREAD, tasks)[:, None]
    endless = SHAPES[shape](random, (tasks, 1_000_000 // tasks)) + offset
    truth = float(comparisons.iqm(endless.ravel()))
    rows = np.arange(tasks)[:, None]
    missed = np.zeros(4)
    for _ in range(repetitions):
        values = SHAPES[shape](random, (tasks, runs)) + offset
        whole, fewer = (
            comparisons.iqm(
                values[rows, random.integers(0, runs, (resamples, tasks, count))].reshape(
                    resamples, -1
                )
            )
            for count in (runs, runs - 1)
        )
        center = float(comparisons.iqm(values.ravel()))
        for place, alpha in enumerate(LEVELS):
            # Of few resamples the tails' share is right in the mean, as of rliable's 50,000.
            low, high = np.quantile(whole, (alpha / 2, 1 - alpha / 2), method="weibull")
            half = comparisons.iqm_half_width(fewer, tasks * (runs - 1), alpha)
            missed[place] += not low <= truth <= high
            missed[2 + place] += abs(center - truth) > half
    return [float(share) for share in missed / repetitions]


def iqm_table(repetitions: int = 1000) -> str:
    """Return what ``missed_iqm`` finds, in Markdown."""
    heads = [f"{shape}: {rule}" for shape in TASK_SHAPES for rule in ("percentiles", "here")]
    rows = []
    for tasks, runs in product(TASKS, RUNS):
        found = [missed_iqm(shape, runs, tasks, repetitions) for shape in TASK_SHAPES]
        cells = (f"{a:.1%}, {b:.1%}" for each in found for a, b in (each[:2], each[2:]))
        rows.append([str(tasks), str(runs), *cells])
    return blocks.table(["tasks", "runs of each", *heads], rows)


_PUBLISHED, OURS = (3, 5, 10), (10, 16, 32, 100)
_TOLERANCE = 2.0
"""Of the equivalence, in standard deviations, by which the means differ at its worst."""


def wrong_answers(
    shape: str, published: int, ours: int, repetitions: int = 20_000
) -> dict[str, list[float]]:
    """Count the answers about a published mean that are wrong where what is asked is just so."""
    random = np.random.default_rng([20, list(SHAPES).index(shape), published, ours])
    drawn = SHAPES[shape](random, (repetitions, ours + published))
    width = _TOLERANCE * np.subtract(*np.quantile(drawn, (0.75, 0.25))) / 1.349
    one, two = (
        Sample(values.mean(axis=1), values.std(axis=1, ddof=1), values.shape[1])
        for values in (drawn[:, :ours], drawn[:, ours:])
    )
    found = {}
    for name, theirs in {"": two, ", our spread": Sample(two.mean, None, two.n)}.items():
        found[f"equal means{name}"] = _shares(equal_means_p(one, theirs))
        # A shift by the tolerance moves the bounds as it moves the means.
        sides = (
            _shares(equivalence_p(one, theirs, low, high))
            for low, high in ((0.0, 2 * width), (-2 * width, 0.0))
        )
        found[f"equivalence{name}"] = [max(each) for each in zip(*sides, strict=True)]
    found["equal spreads"] = _shares(equal_spreads_p(one, two))
    return {name: found[name] for name in RULES}


def _shares(p: _Values) -> list[float]:
    """Of what is not answered none is wrong."""
    return [float(np.mean(p <= level)) for level in LEVELS]


def published_mean_table(repetitions: int = 20_000) -> str:
    """Tabulate the wrong answers of each rule at both levels, the worst over our runs."""
    rows = []
    for shape, published in product(SHAPES, _PUBLISHED):
        every = [wrong_answers(shape, published, ours, repetitions) for ours in OURS]
        worst = (np.max([found[name] for found in every], axis=0) for name in RULES)
        cells = (" / ".join(f"{share:.1%}" for share in shares) for shares in worst)
        rows.append([shape, str(published), *cells])
    return blocks.table(["runs", "n", *RULES], rows)


if __name__ == "__main__":
    print(table())
