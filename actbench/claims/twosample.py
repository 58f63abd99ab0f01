"""Exact tests of two records of one number: has it shifted, or its spread changed, past rounding?

All are permutation tests of ranks, so that they hold for any distribution, and for values that are
not finite. They ask whether the new values are the old ones, drawn again and then each moved by no
more than a margin: of the values that this allows, the nearest to the old ones are tested.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats takes half a second to load

_MOST_STEPS = 50_000_000
"""Up to so many additions a distribution is counted out; beyond, it is taken to be normal, whose
tails are heavier than those of a sum of bounded scores."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Margin:
    """How far a value may move and still be no other.

    Args:
        relative: As a share of the value's magnitude, at least 0.
        absolute: Added to that, in units of the value, at least 0.
    """

    relative: float = 0.0
    absolute: float = 0.0

    def of(self, values: _Floats) -> _Floats:
        """Return the margin of each value: none of one that is not finite."""
        size = np.where(np.isfinite(values), np.abs(values), 0)
        return np.where(np.isfinite(values), self.relative * size + self.absolute, 0)


def location(old: ArrayLike, new: ArrayLike, margin: Margin, *, paired: bool) -> float:
    """Test whether values have shifted.

    Of pairs the signed-rank test (Wilcoxon 1945), which holds where the order within each pair is
    chance but for a move within the margin. Otherwise the rank-sum test (Mann and Whitney 1947),
    which holds where both are draws from one distribution but for such a move. Ties get the mean of
    their ranks, and sums the distribution that the ranks at hand give them (Lehmann 1975, sections
    1.4 and 3.2). NaN counts as plus infinity; p is two-sided.
    """
    one, two = _numbers(old), _numbers(new)
    return _two_sided(one, two, margin.of(one) / 2, margin.of(two) / 2, paired=paired, power=1)


def spread(old: ArrayLike, new: ArrayLike, margin: Margin, *, paired: bool) -> float:
    """Test whether values scatter more or less than before.

    By their distances from the median of all: of pairs the signed-rank test, otherwise squared
    ranks (Conover and Iman 1978). As the median is one of all values, exchanging some changes no
    distance, which makes both exact; distances from a median of each side would not be. The margin
    of a value and that of the median count; p is two-sided.
    """
    one, two = _numbers(old), _numbers(new)
    center = np.sort(np.concatenate([one, two]))[(len(one) + len(two) - 1) // 2]
    with np.errstate(over="ignore"):
        half = [margin.of(values) / 2 + margin.of(center) for values in (one, two)]
    distances = (_difference(values, center) for values in (one, two))
    return _two_sided(*map(np.abs, distances), *half, paired=paired, power=2)


def smallest_p(old: int, new: int, *, paired: bool) -> float:
    """Return the smallest p value that either test can give so many old and new values.

    One of all arrangements is the most extreme one to each side.
    """
    return 2.0 ** (1 - old) if paired else 2 / math.comb(old + new, old)


def by_pairs(seeds: int, alpha: float) -> bool:
    """Tell whether two tests of so many pairs can reach a level that they share.

    If not, pairs are tested as two samples, which is the more cautious the more the values of a
    pair go together, and errs only where they go against each other.
    """
    return 2 * smallest_p(seeds, seeds, paired=True) <= alpha


def _two_sided(
    old: _Floats, new: _Floats, old_half: _Floats, new_half: _Floats, *, paired: bool, power: int
) -> float:
    with np.errstate(over="ignore"):
        sides = ((new - new_half, old + old_half), (old - old_half, new + new_half))
    tails = [
        _signed_rank(_difference(a, b)) if paired else _rank_sum(a, b, power) for a, b in sides
    ]
    return min(1.0, 2 * min(tails))


def _signed_rank(differences: _Floats) -> float:
    """Probability of positive ranks at least this large if every sign is a coin's."""
    given = differences[differences != 0]
    scores = _whole(2 * _ranks(np.abs(given)))
    seen, total = int(scores[given > 0].sum()), int(scores.sum())
    if len(given) * total > _MOST_STEPS:
        return _normal_tail(seen, total / 2, float((scores**2).sum()) / 4)
    return float(_of_signs(tuple(np.sort(scores).tolist()))[seen])


def _rank_sum(first: _Floats, second: _Floats, power: int) -> float:
    """Probability of ranks of the first at least this large if all arrangements are equally likely.

    Powers of ranks are rounded to whole numbers up to their count, of which sums can be counted.
    """
    ranks = _ranks(np.concatenate([first, second]))
    scores = _whole(2 * ranks if power == 1 else np.round(ranks**power / len(ranks)))
    of_first = np.arange(len(ranks)) < len(first)
    if len(first) > len(second):  # the same question of the fewer
        scores, of_first = scores.max() - scores, ~of_first
    count, seen = int(of_first.sum()), int(scores[of_first].sum())
    if count * int(np.sort(scores)[-count:].sum()) * len(scores) > _MOST_STEPS:
        variance = count * (len(scores) - count) / (len(scores) - 1) * float(scores.var())
        return _normal_tail(seen, count * float(scores.mean()), variance)
    return float(_of_arrangements(tuple(np.sort(scores).tolist()), count)[seen])


@functools.lru_cache(maxsize=32)
def _of_signs(scores: tuple[int, ...]) -> _Floats:
    """Per sum, the probability of at least that much where each score counts or not by a coin."""
    chances = np.zeros(sum(scores) + 1)
    chances[0] = 1.0
    for score in scores:
        chances /= 2
        chances[score:] += chances[:-score].copy()
    return _at_least(chances)


@functools.lru_cache(maxsize=32)
def _of_arrangements(scores: tuple[int, ...], count: int) -> _Floats:
    """Per sum, the probability of at least that much for so many of the scores, sorted."""
    largest = sum(scores[-count:])
    ways = np.zeros((count + 1, largest + 1))
    ways[0, 0] = 1.0
    for score in scores:
        ways[1:, score:] += ways[:-1, : largest + 1 - score].copy()
    return _at_least(ways[count] / ways[count].sum())


def _at_least(chances: _Floats) -> _Floats:
    tails: _Floats = np.minimum(1, chances[::-1].cumsum()[::-1])
    return tails


def _normal_tail(seen: float, mean: float, variance: float) -> float:
    return float(special.ndtr((mean - seen) / math.sqrt(variance))) if variance else 1.0


def _whole(scores: _Floats) -> NDArray[np.int64]:
    """As whole numbers without a common factor."""
    whole = scores.astype(np.int64)
    return whole // max(1, int(np.gcd.reduce(whole)))


def _ranks(values: _Floats) -> _Floats:
    """From 1, those of equal values their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _difference(first: _Floats, second: _Floats | np.float64) -> _Floats:
    """Of two equal infinities none."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(first == second, 0, first - second)


def _numbers(values: ArrayLike) -> _Floats:
    given = np.asarray(values, dtype=np.float64).ravel()
    return np.where(np.isnan(given), np.inf, given)
