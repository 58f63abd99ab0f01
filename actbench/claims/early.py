"""Judging until it is decided: as many runs as a claim takes, at a level that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim, Verdict
from actbench.claims.comparing import judge_won
from actbench.claims.verdicts import Judgment, judge_values
from actbench.looks import boundaries, judge_sequential, schedule, share_asked

_GROWING = ("median", "every")


def looks_of(claim: Claim, alpha: float, largest: int, step: int = 1) -> tuple[int, ...]:
    """Return the numbers of runs at which a claim is looked at.

    Args:
        claim: The claim.
        alpha: Its error level.
        largest: Runs at the last look.
        step: Runs from look to look, such as those carried out side by side.

    Returns:
        Increasing numbers; the largest alone for a claim that is not about a share of runs.
    """
    if claim.quantifier not in _GROWING:
        return (largest,)
    return schedule(share_asked(claim), alpha, largest, step)


def judge_early(
    claim: Claim, values: NDArray[np.float64], alpha: float, looks: tuple[int, ...]
) -> Judgment:
    """Judge a claim by the runs that there are so far.

    Args:
        claim: The claim.
        values: One per run, in the order in which they were made.
        alpha: Its error level, which all looks share.
        looks: Of ``looks_of``.

    Returns:
        The verdict at the first look that decides, whatever later runs gave; ``inconclusive`` where
        none did yet. It has no interval, as one of a number of runs that chance decides would be
        too narrow; the sentence says what decided.
    """
    if claim.pooled:
        return judge_won(claim, values, alpha)
    if claim.relation is None or claim.quantifier not in _GROWING:
        return judge_values(claim, values, alpha)
    holds, runs = judge_sequential(claim, values, alpha, looks)
    verdict = Verdict.INCONCLUSIVE if holds is None else Verdict.REPRODUCED
    if holds is False:
        verdict = Verdict.NOT_REPRODUCED
        if claim.direction is not None:
            weaker, runs = judge_sequential(claim, values, alpha, looks, claim.direction)
            of = {True: Verdict.DIRECTION_ONLY, False: verdict, None: Verdict.INCONCLUSIVE}
            verdict = of[weaker]
    used = values[:runs] if verdict is not Verdict.INCONCLUSIVE else values
    decisive = claim.decisive(verdict) or claim.relation
    low, high = decisive.bounds
    inside = int(((used >= low) & (used <= high)).sum())
    passed = boundaries(looks, share_asked(claim), alpha)
    spent = next((look.level_spent for look in passed if look.runs >= runs), alpha)
    at = "not decided" if verdict is Verdict.INCONCLUSIVE else "decided"
    judged = judge_values(claim, used, alpha)
    return replace(
        judged,
        verdict=verdict,
        interval=None,
        margin=None,
        seeds_needed=looks[0],
        sentence=(
            f"{at} after {len(used)} runs of at most {looks[-1]}, looking from {looks[0]} on: "
            f"{inside} lie in the range, {claim.quantifier} {judged.measured:.4g}; "
            f"{spent:.2g} of the level {alpha:.2g} was spent"
        ),
        to_flip=(
            f"another answer at a level of {alpha:.2g}"
            if verdict is not Verdict.INCONCLUSIVE
            else f"more than {looks[-1]} runs, allowed for from the start"
        ),
    )


def until_decided(
    claims: Sequence[Claim],
    level: Callable[[Claim], float],
    values: Callable[[Claim, int], NDArray[np.float64]],
    largest: int,
    step: int = 1,
) -> list[Judgment]:
    """Make runs until every claim about them is decided, or there are no more.

    Args:
        claims: About the same runs.
        level: A claim's error level.
        values: Makes the first so many runs and returns a claim's numbers.
        largest: Most runs.
        step: Runs from look to look.

    Returns:
        A verdict for each claim.
    """
    looks = {claim.id: looks_of(claim, level(claim), largest, step) for claim in claims}
    found: dict[str, Judgment] = {}
    for runs in _ascending(looks.values()):
        open_ = [c for c in claims if c.id not in found or not _decided(found[c.id])]
        for claim in open_:
            if runs in looks[claim.id]:
                numbers = values(claim, runs)
                found[claim.id] = judge_early(claim, numbers, level(claim), looks[claim.id])
        if all(claim.id in found and _decided(found[claim.id]) for claim in claims):
            break
    return [found[claim.id] for claim in claims]


def _ascending(looks: Iterable[tuple[int, ...]]) -> list[int]:
    return sorted({runs for each in looks for runs in each})


def _decided(judgment: Judgment) -> bool:
    return judgment.verdict is not Verdict.INCONCLUSIVE
