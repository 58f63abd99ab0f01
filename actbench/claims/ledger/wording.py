"""What every form of the ledger says of a claim: numbers, its rule, other settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actbench import metrics
from actbench.claims import robustness
from actbench.claims.claim import Relation
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.robustness_sentence import sentence

if TYPE_CHECKING:
    from actbench.claims.claim import Claim
    from actbench.claims.published_mean import PublishedMean
    from actbench.claims.verdicts import Judgment


def number(value: float | PublishedMean | None) -> str:
    """Write a value, or a mean with its parts, with four digits, or nothing where there is none."""
    return "" if value is None else f"{value:.4g}"


def margin(judgment: Judgment) -> str:
    """Say how far a verdict is from flipping."""
    decisive = judgment.claim.decisive(judgment.verdict)
    if judgment.margin is None or decisive is None:
        return ""
    kind = decisive.kind
    return f"{judgment.margin:.3g} tol." if kind == "equals" else f"factor {judgment.margin:.3g}"


def redraw(judgment: Judgment) -> str:
    """Say how likely all runs, made again, are to end in another verdict; empty if not known."""
    chance = judgment.flip_probability
    if chance is None or judgment.claim.quantifier == "exact":
        return ""
    return f"{chance:.0%}" if chance >= 0.01 else "<1%"


def measures(claim: Claim) -> str:
    """Say what number a claim is about, in words."""
    if "name" in claim.metric:
        return metrics.definition(str(claim.metric["name"]))
    from actbench.runs import columns

    return str(columns.parse(claim.metric))


def rule(claim: Claim) -> str:
    """Say what is measured for a claim, and where it must lie."""
    if claim.relation is None:
        return ""
    every = f"{claim.share:.0%} of all seeds "
    of = {"exact": "", "median": "median ", "mean": "mean ", "every": every}
    text = measures(claim).removesuffix(".")
    text = f"{text}: {'' if claim.pooled else of[claim.quantifier]}{_where(claim.relation)}"
    if claim.direction is not None:
        text += f"; direction only if {_where(claim.direction)}"
    return text


def _where(relation: Relation) -> str:
    low, high = relation.bounds
    if math.isinf(high):
        return f"at least {low:.4g}"
    return f"at most {high:.4g}" if math.isinf(low) else f"from {low:.4g} to {high:.4g}"


def elsewhere(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say of each mapped claim in how many other settings it holds."""
    if not (claims.of_the_study and robustness.path_of().exists()):
        return {}
    found, asked = robustness.load(), {judgment.claim.id for judgment in judgments}
    mapped = [claim for claim in robustness.mapped_claims(claims) if claim.id in asked]
    return {claim.id: sentence(found, claim) for claim in mapped}
