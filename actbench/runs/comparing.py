"""Judging what compares runs, or pools several tasks: one number of all runs, by its own rule."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actbench.claims import comparisons
from actbench.claims.claim import Claim, Relation, Verdict
from actbench.claims.statistics import seeds_for_proportion
from actbench.claims.verdicts import Judgment, judge_values, judgment_of
from actbench.runs.columns import Taken

_Interval = tuple[float, float]


def judge_taken(claim: Claim, taken: Taken, alpha: float) -> Judgment:
    """Judge a testable claim from what its metric took; of pairs the effect is told too."""
    if claim.metric.get("aggregate") == "iqm":
        return _judge_iqm(claim, taken, alpha)
    if claim.metric.get("aggregate") is not None:
        return _judge_rank(claim, taken, alpha)
    if taken.pair is not None and claim.pooled:
        return _judge_superiority(claim, *taken.pair, alpha)
    judgment = judge_values(claim, taken.values, alpha)
    return judgment if taken.pair is None else with_effect(judgment, *taken.pair, alpha)


def with_effect(
    judgment: Judgment, first: NDArray[np.float64], second: NDArray[np.float64], alpha: float
) -> Judgment:
    """Add to the sentence how often, by how much and by which factor the first run exceeds."""
    claim = judgment.claim
    told = comparisons.effect(first, second, alpha, smaller=_kind(claim) == "below")
    if claim.quantifier == "median":  # of which the sentence tells already
        for word, part in (("minus", "difference"), ("over", "ratio")):
            if word in claim.metric:
                told.pop(part, "")
    return replace(judgment, sentence="; ".join([judgment.sentence, *told.values()]))


def judge_won(claim: Claim, won: NDArray[np.float64], alpha: float, told: str = "") -> Judgment:
    """Judge how often one run exceeds another, by an interval that holds for any distribution.

    ``won`` is of pairs, shape ``(run,)``, or of all runs with all others, ``(run, run)``, as
    ``comparisons.wins`` gives them; what has no number counts against the claim.
    """
    lost = np.isnan(won)
    counted = np.where(lost, 0.0 if _kind(claim) == "above" else 1.0, won)
    share = float(counted.mean())
    interval: _Interval | None = None
    if lost.any() and _kind(claim) == "equals":
        share = math.nan
    elif won.ndim == 1:
        interval = comparisons.paired_superiority(counted, alpha)
    else:
        interval = comparisons.unpaired_superiority(counted, alpha)
    sentence = f"probability of superiority {share:.4g}, {_between(interval)}"
    if lost.any():
        sentence += f", with {int(lost.sum())} of {lost.size} pairs without a number"
    sentence += f"; {told}" if told else ""
    values = won if won.ndim == 1 else counted.mean(axis=1)
    needed = _needed(claim, 0.0, 1.0, alpha)
    return _judged(claim, share, interval, min(won.shape), needed, sentence, values)


def _judge_superiority(
    claim: Claim, first: NDArray[np.float64], second: NDArray[np.float64], alpha: float
) -> Judgment:
    if claim.metric.get("paired", True):
        parts = comparisons.effect(first, second, alpha)
        parts["often"] = parts["often"].partition(" (")[0]
        told = "; ".join(parts.values())
        return judge_won(claim, comparisons.wins(first, second), alpha, told)
    won = comparisons.wins(first[:, None], second)
    told = (
        f"the first is larger in {int((won == 1).sum())} of {won.size} pairs of {len(first)} and "
        f"{len(second)} runs"
    )
    return judge_won(claim, won, alpha, told)


def _judge_rank(claim: Claim, taken: Taken, alpha: float) -> Judgment:
    """By an interval that holds whatever the ranks: tasks are a sample of those one speaks of."""
    methods, tasks = len(taken.names), len(taken.values)
    span = max(1, methods - 1)
    mean = float(taken.values.mean())
    ends = comparisons.bounded_mean((mean - 1) / span, tasks, alpha)
    interval = 1 + span * ends[0], 1 + span * ends[1]
    sentence = (
        f"mean rank {mean:.4g} of {methods} over {tasks} tasks, {_between(interval)} for tasks "
        f"drawn as these were; first in {int((taken.values == 1).sum())}"
    )
    needed = _needed(claim, 1.0, float(methods), alpha)
    return _judged(claim, mean, interval, tasks, needed, sentence, taken.values)


def _judge_iqm(claim: Claim, taken: Taken, alpha: float) -> Judgment:
    """By the bootstrap within tasks, from as many runs on as it holds its level with."""
    if taken.tasks is None:
        raise ValueError("an interquartile mean is taken over tasks")
    tasks = len(taken.names)
    lost = np.isnan(taken.values)
    # On the far side of the bound, where the mean of the middle half does not see few of them.
    worst = -math.inf if _kind(claim) == "above" else math.inf
    values = np.where(lost, worst, taken.values)
    needed = max(comparisons.FEWEST_OF_A_TASK * tasks, comparisons.FEWEST_RUNS)
    interval = None
    if len(values) >= needed:
        interval = comparisons.iqm_interval(values, taken.tasks, alpha)
    with np.errstate(invalid="ignore"):
        measured = float(comparisons.iqm(values))
    each = len(values) // tasks
    sentence = (
        f"interquartile mean {measured:.4g} over {tasks} tasks with {each} runs each, "
        f"{_between(interval)} by the bootstrap within tasks, which is approximate"
    )
    if interval is None:
        sentence = (
            f"interquartile mean {measured:.4g} over {tasks} tasks with {each} runs each; the "
            f"bootstrap errs too often with less than {needed} runs"
        )
    if lost.any():
        sentence += f"; {int(lost.sum())} of {len(values)} are not a number"
    return _judged(claim, measured, interval, len(values), needed, sentence, taken.values)


def _judged(
    claim: Claim,
    measured: float,
    interval: _Interval | None,
    seeds: int,
    needed: int,
    sentence: str,
    values: NDArray[np.float64],
) -> Judgment:
    """The verdict by an interval; ``None`` decides nothing."""
    verdict = Verdict.INCONCLUSIVE
    holds = _holds(claim.relation, interval)
    if holds is not None:
        weaker = False if claim.direction is None else _holds(claim.direction, interval)
        verdict = Verdict.REPRODUCED if holds else _WEAKER[weaker]
    return judgment_of(
        claim,
        verdict,
        measured,
        interval,
        interval,
        seeds=seeds,
        seeds_needed=needed,
        sentence=sentence,
        values=values,
    )


_WEAKER = {
    True: Verdict.DIRECTION_ONLY,
    False: Verdict.NOT_REPRODUCED,
    None: Verdict.INCONCLUSIVE,
}
"""Whether the direction holds where the relation does not, to the verdict."""


def _holds(relation: Relation | None, interval: _Interval | None) -> bool | None:
    if relation is None or interval is None:
        return None
    (low, high), (least, most) = relation.bounds, interval
    if least >= low and most <= high:
        return True
    return False if most < low or least > high else None


def _between(interval: _Interval | None) -> str:
    if interval is None:
        return "without an interval"
    return f"between {interval[0]:.4g} and {interval[1]:.4g}"


def _kind(claim: Claim) -> str:
    return "" if claim.relation is None else claim.relation.kind


def _needed(claim: Claim, least: float, most: float, alpha: float) -> int:
    """The fewest that show a mean within bounds to lie beyond the claim's, if all agree."""
    if claim.relation is None:
        return 1
    low, high = ((end - least) / (most - least) for end in claim.relation.bounds)
    shares = [share for share in (low, 1 - high) if 0 < share < 1]
    return max((seeds_for_proportion(share, alpha) for share in shares), default=1)
