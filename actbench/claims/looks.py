"""Stopping early: the counts at which a claim over seeds is decided at each of several looks.

Both quantifiers ask whether a share p of all seeds lies above or below p0: the median is at least
b where more than half of all seeds give at least b, and ``every`` compares the share that agrees
with ``share``. Half of alpha guards each side. By a look at n of N runs it may have been spent in
proportion, alpha / 2 * n / N (Lan and DeMets 1983, Biometrika 70, 659; the linear one of Kim and
DeMets 1987, Biometrika 74, 149). The counts that this allows are exact, as in Stallard and Todd
2000 (Statistics in Medicine 19, 3051): the distribution of the successes of what has not stopped
is carried from run to run under p0, and at each look as many extreme counts stop as fit into the
level. No value's size is used, so no distribution can break the level.

p0 is the worst case of either error: draw all runs from uniform numbers, success where U <= p; a
larger p only raises every path of counts, so it crosses above sooner or as well, below later or
not at all, and the chance of "above" grows with p, that of "below" falls.

A confidence sequence would hold for looks without end: the beta-binomial mixture (Robbins 1970,
Annals of Mathematical Statistics 41, 1397; Howard et al. 2021, Annals of Statistics 49, 1055). It
pays for looks after the last one: at alpha = 1e-4 with a look after each run up to 100, the uniform
mixture takes 23.2 runs on average for a median that 95 % agree with, 56.4 where 80 % do, of which
4.0 % stay undecided, and 291 agreeing runs to show a share of 95 %; what is used here takes 22.5,
52.3 with 1.6 % undecided, and 206.

The looks are fixed beforehand: whoever adds runs to an undecided claim has spent more than alpha.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actbench.claims.claim import Claim, Relation
from actbench.claims.statistics import seeds_for_proportion
from actbench.pages import blocks


@dataclass(frozen=True)
class Look:
    """What decides at one look.

    Args:
        runs: How many runs have been seen.
        level_spent: Probability at ``p0`` of having decided by this look, one way or the other.
        at_least: Fewest successes that decide "above ``p0``"; ``None`` where none do yet.
        at_most: Most successes that decide "below ``p0``"; ``None`` where none do yet.
    """

    runs: int
    level_spent: float
    at_least: int | None
    at_most: int | None


@dataclass(frozen=True)
class _Outcome:
    """Where looks lead to at one true share: the chance of each end, and the expected runs."""

    above: float
    below: float
    undecided: float
    runs: float


def schedule(
    p0: float, alpha: float, largest: int | None = None, step: int | None = 1, first: int = 1
) -> tuple[int, ...]:
    """Return the numbers of runs at which to look, from the first that can decide to ``largest``.

    By default that is 100, or twice what shows ``p0`` at a single look if all agree, where that is
    more. ``step`` is from look to look, such as runs that are carried out together; ``None``
    doubles them, for runs that are made anew each time. No look comes before ``first`` runs.
    """
    last = largest or max(100, 2 * seeds_for_proportion(p0, alpha))
    rarest = min(p0, 1 - p0)
    able = (runs for runs in range(1, last) if rarest**runs <= alpha / 2 * (runs / last))
    start = min(max(next(able, last), first), last)
    doublings = (start << times for times in range(last.bit_length()))
    numbers = range(start, last, step) if step else (n for n in doublings if n < last)
    return (*numbers, last)


@functools.lru_cache(maxsize=256)
def boundaries(looks: tuple[int, ...], p0: float, alpha: float) -> tuple[Look, ...]:
    """Return the counts that decide at each look, exactly, for an alpha over all looks together.

    A schedule of one look decides as ``median_interval`` and ``proportion_interval`` do.
    """
    if not looks or any(one >= two for one, two in pairwise((0, *looks))):
        raise ValueError(f"looks {looks} must be numbers of runs that increase from 1 or more")
    if not (0 < p0 < 1 and 0 < alpha < 1):
        raise ValueError(f"p0 = {p0} and alpha = {alpha} must lie between 0 and 1")
    mass, found, above, below = np.ones(1), [], 0.0, 0.0
    for runs in looks:
        mass = _after(mass, runs, p0)
        level = alpha / 2 * (runs / looks[-1])
        high = int(np.searchsorted(np.cumsum(mass[::-1]), level - above, side="right"))
        low = int(np.searchsorted(np.cumsum(mass), level - below, side="right"))
        at_least, at_most = runs + 1 - high if high else None, low - 1 if low else None
        new_above, new_below = _stop(mass, at_least, at_most)
        above, below = above + new_above, below + new_below
        found.append(Look(runs, above + below, at_least, at_most))
    return tuple(found)


def _after(mass: NDArray[np.float64], runs: int, p: float) -> NDArray[np.float64]:
    """Distribution of the successes among this many runs, from that after fewer."""
    for _ in range(runs + 1 - len(mass)):
        mass = np.convolve(mass, (1 - p, p))
    return mass


def _stop(
    mass: NDArray[np.float64], at_least: int | None, at_most: int | None
) -> tuple[float, float]:
    """Take out the paths that end at a look; returns how many end above and below."""
    high = mass[len(mass) if at_least is None else at_least :]
    low = mass[: 0 if at_most is None else at_most + 1]
    ended = float(high.sum()), float(low.sum())
    high[:], low[:] = 0.0, 0.0
    return ended


def crossing(looks: tuple[Look, ...], p: float) -> _Outcome:
    """Return how looks end at a true share, exactly."""
    mass, above, below, expected = np.ones(1), 0.0, 0.0, 0.0
    for look in looks:
        mass = _after(mass, look.runs, p)
        new_above, new_below = _stop(mass, look.at_least, look.at_most)
        above, below = above + new_above, below + new_below
        expected += look.runs * (new_above + new_below)
    undecided = float(mass.sum())
    return _Outcome(above, below, undecided, expected + looks[-1].runs * undecided)


def decide(successes: Sequence[int], looks: tuple[Look, ...]) -> tuple[bool | None, int]:
    """Return whether the share is above ``p0`` by the first decision, which stands, and its runs.

    ``successes`` counts them at each look so far; ``None`` is not decided yet.
    """
    seen = 0
    for count, look in zip(successes, looks, strict=False):
        seen = look.runs
        if look.at_least is not None and count >= look.at_least:
            return True, seen
        if look.at_most is not None and count <= look.at_most:
            return False, seen
    return None, seen


def judge_sequential(
    claim: Claim,
    values: ArrayLike,
    alpha: float,
    looks: tuple[int, ...] | None = None,
    relation: Relation | None = None,
) -> tuple[bool | None, int]:
    """Judge a claim, or another relation of it, at each look until it is decided.

    Returns whether it holds, ``None`` if that is not decided, and how many runs were used. Whatever
    the distribution, the probability of a wrong decision is at most ``alpha``: "holds" where the
    median, or the share, is outside, or "does not" where it is inside. A value on the bound is
    inside, one that is not a number outside, as ``judge_values`` has it. For ``equals`` the median
    is asked for on each side; that it holds needs both answers, that it does not needs one, and
    each of the two can be wrong with half of alpha.
    """
    own = _relation(claim, "median", "every")
    p0 = share_asked(claim)
    looks = looks or schedule(p0, alpha)
    bounds = boundaries(looks, p0, alpha)
    questions = _questions(claim, relation or own, values)
    ends = [decide(_at_looks(agrees, looks), bounds) for agrees in questions]
    # Not on both sides: where few are at or above the low end, most are at or below the high end.
    for answer, runs in ends:
        if answer is False:
            return False, runs
    holds = True if all(answer for answer, _ in ends) else None
    return holds, max(runs for _, runs in ends)


def share_asked(claim: Claim) -> float:
    """Return what the share of agreeing runs is compared with: for a median, one half."""
    return 0.5 if claim.quantifier == "median" else claim.share


def _relation(claim: Claim, *quantifiers: str) -> Relation:
    if claim.relation is None or claim.quantifier not in quantifiers:
        raise ValueError(
            f"claim {claim.id!r} has {claim.quantifier!r} and relation {claim.relation}; this is "
            f"for {' or '.join(quantifiers)} with a relation"
        )
    return claim.relation


def _questions(claim: Claim, relation: Relation, values: ArrayLike) -> list[NDArray[np.bool_]]:
    """Which runs agree, for each share that is asked for."""
    given = np.asarray(values, dtype=np.float64)
    low, high = relation.bounds
    if claim.quantifier == "every":
        return [(given >= low) & (given <= high)]
    placed = np.where(np.isnan(given), -math.inf if relation.kind == "above" else math.inf, given)
    sides = (("below", placed >= low), ("above", placed <= high))
    return [agrees for never, agrees in sides if relation.kind != never]


def _at_looks(agrees: NDArray[np.bool_], looks: tuple[int, ...]) -> list[int]:
    """Count the runs that agree, at each look that they reach."""
    total = np.cumsum(agrees)
    return [int(total[runs - 1]) for runs in looks if runs <= len(total)]


def share_shown(
    claim: Claim, values: ArrayLike, alpha: float, looks: tuple[int, ...] | None = None
) -> float:
    """Return the share of all seeds that at least agrees, by the runs at hand.

    The largest whole percentage that is decided to be exceeded, with all below. It is larger than
    the true share with a probability of at most ``alpha / 2``, whenever the runs end: the first
    percentage that is not below the true share would have been shown too.
    """
    looks = looks or schedule(claim.share, alpha)
    (agrees,) = _questions(claim, _relation(claim, "every"), values)
    counts = _at_looks(agrees, looks)
    for percent in range(1, 100):
        if not decide(counts, boundaries(looks, percent / 100, alpha))[0]:
            return (percent - 1) / 100
    return 0.99


def table() -> str:
    """Tabulate expected runs and probability of no decision by the true share, in Markdown."""
    shares = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
    head = ["quantifier", "alpha", "looks", *(f"{p:.0%} agree" for p in shares)]
    rows = []
    for name, p0 in (("median", 0.5), ("every, 0.95", 0.95)):
        for alpha in (0.01, 1e-4):
            looks = schedule(p0, alpha)
            ends = [crossing(boundaries(looks, p0, alpha), p) for p in shares]
            cells = [f"{end.runs:.1f} runs, {end.undecided:.1%} undecided" for end in ends]
            rows.append([name, f"{alpha:g}", f"{looks[0]} to {looks[-1]}", *cells])
    return blocks.table(head, rows)
