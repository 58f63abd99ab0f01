"""What a redraw of all runs would find: whether a verdict lasts, how many runs decide a claim.

A bootstrap of runs that all agree says that they always will. Here the runs are what they are, a
sample: the share of all runs that lies on each side of a claim's bounds is known no better than
this sample tells, and what new runs would show follows from that, by the rule that is used.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.claim import Claim, Relation, Verdict
from actbench.claims.statistics import FEWEST_FOR_MEAN, median_interval, proportion_interval
from actbench.claims.verdicts import judge_values
from actbench.pages import blocks

_VERDICTS = tuple(verdict for verdict in Verdict if verdict is not Verdict.NOT_TESTABLE)
"""Reproduced, by direction only, not reproduced, inconclusive."""
_MOST_VECTORS = 100_000
"""Up to so many count vectors are summed over; of more, ``_DRAWS`` are drawn."""
_DRAWS = 20_000
_SHARES = (1.0, 0.95, 0.9, 0.8)
_SEED = 0

_Sides = tuple[tuple[int, ...], ...]
_Rule = tuple[str, float, float]
"""Quantifier, share and error level."""


def verdict_probabilities(
    claim: Claim, values: NDArray[np.float64], alpha: float, runs: int
) -> dict[Verdict, float] | None:
    """Predict which verdict so many new runs of the same kind get.

    For ``every`` and ``median`` a verdict depends only on how many runs lie below, within and above
    the bounds of relation and direction, so the prediction is Dirichlet-multinomial over the cells
    that these cut, whatever the distribution. The prior weighs as much as one run, half of it
    within the relation (Jeffreys' for agreeing or not). For ``mean`` runs are taken to be normal,
    as by Student's interval; a run that is not finite is expected only where one was seen. ``None``
    where nothing was measured, or one number of all runs is judged by a rule of its own.
    """
    if claim.relation is None or not len(values) or claim.pooled:
        return None
    if claim.quantifier == "exact":
        found = judge_values(claim, values, alpha).verdict
        return {verdict: float(verdict is found) for verdict in _VERDICTS}
    if claim.quantifier == "mean":
        shares = _of_mean(claim, values, alpha, runs)
    else:
        cells, counts = _cells(claim, values)
        shares = _of_counts((claim.quantifier, claim.share, alpha), cells, counts, runs)
    return dict(zip(_VERDICTS, shares, strict=True))


def flip_probability(claim: Claim, values: NDArray[np.float64], alpha: float) -> float | None:
    """Return the probability, predicted as above, that a redraw of all runs ends in another."""
    shares = verdict_probabilities(claim, values, alpha, len(values))
    if shares is None:
        return None
    found = judge_values(claim, values, alpha).verdict
    return math.fsum(share for verdict, share in shares.items() if verdict is not found)


def runs_for_decision(
    claim: Claim,
    pilot: NDArray[np.float64],
    alpha: float,
    power: float = 0.8,
    largest: int = 10_000,
) -> int | None:
    """Return how many runs a claim needs for a verdict other than inconclusive.

    Counts are whole, so the probability is not monotone in their number: numbers are tried in steps
    of 5 % (of 1 up to 40), and within the first step that suffices by bisection. One less than the
    answer does not suffice; up to 40 no smaller number does, above one 5 % smaller may. ``None``
    where ``largest`` do not suffice or the pilot, which is not judged with the new runs, is empty.
    """

    def decides(runs: int) -> bool:
        shares = verdict_probabilities(claim, pilot, alpha, runs) or {}
        return 1 - shares.get(Verdict.INCONCLUSIVE, 1.0) >= power

    few, enough = 0, 1
    while not decides(enough):
        if enough >= largest:
            return None
        few, enough = enough, min(largest, enough + max(1, enough // 20))
    between = range(few + 1, enough)
    return few + 1 + bisect_left(between, True, key=decides)


def smallest_difference(
    values: NDArray[np.float64], alpha: float, power: float = 0.8
) -> float | None:
    """Return how far a median must lie above a bound for as many runs to show that it does.

    New runs are taken to be distributed as these, moved and blurred by a Gaussian kernel of
    Silverman's width, as the tail that decides may reach beyond the lowest of a few runs; there the
    kernel guesses. For a bound from above, give the negative values. NaN counts as minus infinity;
    ``None`` where so few runs decide nothing or too many of them are not finite.
    """
    kth = _median_rank(len(values), alpha)
    lowest = np.where(np.isnan(values), -np.inf, values)
    finite = lowest[np.isfinite(lowest)]
    # That share of all runs may lie below the bound.
    below = float(special.bdtri(kth - 1, len(values), power)) if kth else 0.0
    if not kth or np.mean(lowest == -np.inf) >= below or np.mean(lowest == np.inf) >= 0.5:
        return None
    unit = _unit(finite)
    scaled, finite = lowest / unit, finite / unit
    lower, upper = np.quantile(finite, (0.25, 0.75))
    spreads = [s for s in (float(finite.std()), float(upper - lower) / 1.34) if s > 0]
    width = 0.9 * min(spreads, default=0.0) * math.pow(len(finite), -0.2)

    def quantile(share: float) -> float:
        low, high = float(finite.min()) - 10 * width, float(finite.max()) + 10 * width
        for _ in range(60):
            middle = (low + high) / 2
            with np.errstate(over="ignore"):  # of a width of next to nothing
                reached = np.mean(special.ndtr((middle - scaled) / width)) >= share
            low, high = (low, middle) if reached else (middle, high)
        return high

    return (quantile(0.5) - quantile(below)) * unit if width else 0.0


def table() -> str:
    """Tabulate how likely the verdict on a median is to flip, in Markdown."""
    claim = Claim(
        id="a-median", statement="-", protocol="-", relation=Relation(kind="above", value=0)
    )
    head = ["alpha", "runs", *(f"{share:.0%} agree" for share in _SHARES)]
    rows = []
    for alpha, runs in product((0.01, 1e-4), (16, 32, 100)):
        row = [f"{alpha:g}", str(runs)]
        for share in _SHARES:
            values = np.where(np.arange(runs) < round(share * runs), 1.0, -1.0)
            verdict = judge_values(claim, values, alpha).verdict
            open_still = " (inconclusive)" if verdict is Verdict.INCONCLUSIVE else ""
            row.append(f"{flip_probability(claim, values, alpha):.1%}{open_still}")
        rows.append(row)
    return blocks.table(head, rows)


def _cells(claim: Claim, values: NDArray[np.float64]) -> tuple[_Sides, tuple[int, ...]]:
    """Sides of relation and direction for each cell that values can lie in, and the counts."""
    relations = [r for r in (claim.relation, claim.direction) if r is not None]
    bounds = np.array([r.bounds for r in relations]).ravel()
    bounds = bounds[np.isfinite(bounds)]
    with np.errstate(over="ignore"):
        beside = [np.nextafter(bounds, end) for end in (-np.inf, np.inf)]
    points = np.concatenate([*beside, bounds, values])
    sides = np.stack([_side(relation, points) for relation in relations], axis=1)
    if claim.quantifier == "every":
        sides = np.abs(sides)
    cells, place = np.unique(sides, axis=0, return_inverse=True)
    counts = np.bincount(place.ravel()[-len(values) :], minlength=len(cells))
    return tuple(map(tuple, cells.tolist())), tuple(counts.tolist())


def _side(relation: Relation, values: NDArray[np.float64]) -> NDArray[np.int8]:
    """-1 below the relation, 1 above, 0 within; what is not a number is outside, as judged."""
    low, high = relation.bounds
    undefined = -1 if relation.kind == "above" else 1
    outside = (values > high).astype(np.int8) - (values < low).astype(np.int8)
    return np.where(np.isnan(values), np.int8(undefined), outside)


@functools.lru_cache(maxsize=4096)
def _of_counts(rule: _Rule, cells: _Sides, counts: tuple[int, ...], runs: int) -> tuple[float, ...]:
    """Probability of each of ``_VERDICTS``, summed over what new runs may count, or drawn."""
    within = np.array([sides[0] == 0 for sides in cells])
    prior = np.where(within, 0.5 / max(1, within.sum()), 0.5 / max(1, (~within).sum()))
    weights = prior + np.array(counts)
    if math.comb(runs + len(cells) - 1, runs) <= _MOST_VECTORS:
        vectors = _count_vectors(runs, len(cells))
        each = np.arange(runs + 1)
        ways = special.gammaln(weights[:, None] + each) - special.gammaln(each + 1)
        logs = np.sum([way[vectors[:, place]] for place, way in enumerate(ways)], axis=0)
        chances = np.exp(logs - logs.max())
    else:
        random = np.random.default_rng(_SEED)
        vectors = random.multinomial(runs, random.dirichlet(weights, _DRAWS))
        chances = np.ones(_DRAWS)
    found = np.bincount(_verdicts(rule, cells, vectors), chances, len(_VERDICTS))
    return tuple((found / chances.sum()).tolist())


@functools.lru_cache(maxsize=4)
def _count_vectors(runs: int, cells: int) -> NDArray[np.int64]:
    """Every way to spread runs over cells, one per row."""
    found, left = np.empty((1, 0), dtype=np.int64), np.array([runs])
    for _ in range(cells - 1):
        choices = left + 1
        parent = np.repeat(np.arange(len(left)), choices)
        taken = np.arange(len(parent)) - np.repeat(np.cumsum(choices) - choices, choices)
        found, left = np.column_stack([found[parent], taken]), left[parent] - taken
    return np.column_stack([found, left])


def _verdicts(rule: _Rule, cells: _Sides, vectors: NDArray[np.int64]) -> NDArray[np.intp]:
    """Judge count vectors, one per row: the place of each verdict in ``_VERDICTS``."""
    quantifier, share, alpha = rule
    runs = int(vectors[0].sum())
    holds, fails = [], []
    for sides in np.array(cells).T:
        below, above = vectors @ (sides == -1), vectors @ (sides == 1)
        if quantifier == "every":
            shown, refuted = _agreeing(share, alpha, runs)
            holds.append(runs - above >= shown)
            fails.append(runs - above <= refuted)
        else:
            kth = _median_rank(runs, alpha)
            most = np.maximum(below, above)
            holds.append(most < kth)
            fails.append((kth > 0) & (most > runs - kth))
    return _combined(holds, fails)


def _combined(
    holds: Sequence[NDArray[np.bool_]], fails: Sequence[NDArray[np.bool_]]
) -> NDArray[np.intp]:
    """Where relation and, if any, direction are shown and refuted, to places in ``_VERDICTS``."""
    weaker = (holds[1], fails[1]) if len(holds) > 1 else (np.False_, np.True_)
    return np.select([holds[0], fails[0] & weaker[0], fails[0] & weaker[1]], [0, 1, 2], 3)


@functools.lru_cache(maxsize=4096)
def _median_rank(runs: int, alpha: float) -> int:
    """Which smallest and largest value bound the interval of the median; 0 where none do."""
    interval = median_interval(range(1, runs + 1), alpha)
    return 0 if interval is None else int(interval[0])


@functools.lru_cache(maxsize=4096)
def _agreeing(share: float, alpha: float, runs: int) -> tuple[int, int]:
    """Fewest agreeing runs that show the share, and most that refute it; both may be impossible."""
    counts = range(runs + 1)
    shown = bisect_left(counts, True, key=lambda n: proportion_interval(n, runs, alpha)[0] >= share)
    above = bisect_left(counts, True, key=lambda n: proportion_interval(n, runs, alpha)[1] >= share)
    return shown, above - 1


def _unit(finite: NDArray[np.float64]) -> float:
    """A power of two, which changes no digit, that keeps squares of large values finite."""
    return math.ldexp(1.0, math.frexp(float(np.abs(finite).max()))[1] - 1)


def _of_mean(
    claim: Claim, values: NDArray[np.float64], alpha: float, runs: int
) -> tuple[float, ...]:
    """As ``_of_counts`` for a mean: draws from the posterior of a normal distribution."""
    finite = values[np.isfinite(values)]
    lost, known = len(values) - len(finite), len(finite)
    # A mean over a run that is not finite is none, and satisfies nothing.
    all_finite = 1.0
    if lost:
        ways = special.betaln([known + runs + 0.5, known + 0.5], lost + 0.5)
        all_finite = math.exp(ways[0] - ways[1])
    shares = np.array([0.0, 0.0, 1 - all_finite, 0.0])
    if known < 2 or runs < FEWEST_FOR_MEAN:
        shares[3] += all_finite
        return tuple(shares.tolist())
    random, unit = np.random.default_rng(_SEED), _unit(finite)
    scaled = finite / unit
    spread = scaled.std(ddof=1) / np.sqrt(random.chisquare(known - 1, _DRAWS) / (known - 1))
    noise = random.standard_normal(_DRAWS) * math.sqrt(1 / known + 1 / runs)
    center = scaled.mean() + spread * noise
    error = spread * np.sqrt(random.chisquare(runs - 1, _DRAWS) / (runs - 1) / runs)
    half = special.stdtrit(runs - 1, 1 - alpha / 2) * error
    least, most = center - half, center + half
    with np.errstate(over="ignore"):
        bounds = [
            np.array(r.bounds) / unit for r in (claim.relation, claim.direction) if r is not None
        ]
    holds = [(least >= low) & (most <= high) for low, high in bounds]
    fails = [(most < low) | (least > high) for low, high in bounds]
    shares += all_finite * np.bincount(_combined(holds, fails), minlength=4) / _DRAWS
    return tuple(shares.tolist())
