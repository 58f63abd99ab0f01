"""Judging until it is decided: as many runs as a claim takes, at a level that stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim, Verdict
from actbench.claims.comparing import judge_won
from actbench.claims.verdicts import Judgment, judge_values
from actbench.looks import boundaries, judge_sequential, schedule, share_asked, share_shown


def grows(claim: Claim) -> bool:
    """Tell whether a claim is about a share of runs, which can be looked at as they come."""
    return claim.relation is not None and claim.quantifier in ("median", "every")


def looks_of(
    claims: Sequence[Claim],
    level: Callable[[Claim], float],
    largest: int | None = None,
    step: int | None = 1,
) -> dict[str, tuple[int, ...]]:
    """Return the numbers of runs at which claims about the same runs are looked at."""
    asked = {c.id: (share_asked(c), level(c), largest, step) for c in claims if grows(c)}
    first = 1
    if step != 1:
        first = max((schedule(*each)[0] for each in asked.values()), default=1)
    return {key: schedule(*each, first) for key, each in asked.items()}


def judge_early(
    claim: Claim, values: NDArray[np.float64], alpha: float, looks: tuple[int, ...]
) -> Judgment:
    """Judge a claim by the runs that there are so far."""
    if claim.pooled:
        return judge_won(claim, values, alpha)
    if claim.relation is None or not grows(claim):
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
    made = tuple(look for look in passed if look.runs <= max(runs, len(used)))
    at = "not decided" if verdict is Verdict.INCONCLUSIVE else "decided"
    last = verdict is not Verdict.INCONCLUSIVE or len(values) >= looks[-1]
    about_all = claim.quantifier == "every" and decisive is claim.relation
    shown = share_shown(claim, used, alpha, looks) if about_all and last else 0
    told = f", which shows that at least {shown * 100:.0f} % do" if shown else ""
    spent = made[-1].level_spent if made else 0.0
    judged = judge_values(claim, used, alpha)
    return replace(
        judged,
        verdict=verdict,
        interval=None,
        margin=None,
        looks=made,
        seeds_needed=looks[0],
        sentence=(
            f"{at} after {len(used)} runs of at most {looks[-1]}, looking from {looks[0]} on: "
            f"{inside} lie in the range{told}, {claim.quantifier} {judged.measured:.4g}; "
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
    looks: Mapping[str, tuple[int, ...]],
    fixed: int,
) -> list[Judgment]:
    """Make runs until every claim about them is decided, or there are no more."""
    found: dict[str, Judgment] = {}
    made = 0
    for claim in claims:
        if claim.quantifier == "mean":
            made = fixed
            found[claim.id] = judge_values(claim, values(claim, fixed), level(claim))
    for runs in sorted({runs for each in looks.values() for runs in each}):
        left = [c for c in claims if c.id in looks and not _decided(found.get(c.id))]
        if not left:
            break
        for claim in left:
            if runs in looks[claim.id]:
                made = max(made, runs)
                numbers = values(claim, runs)
                found[claim.id] = judge_early(claim, numbers, level(claim), looks[claim.id])
    for claim in claims:
        if claim.id not in found:  # a value that no seed changes
            found[claim.id] = judge_values(claim, values(claim, made or fixed), level(claim))
    return [found[claim.id] for claim in claims]


def _decided(judgment: Judgment | None) -> bool:
    return judgment is not None and judgment.verdict is not Verdict.INCONCLUSIVE
