"""Which claims a robustness map is about, and whether one of them holds in a setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.verdicts import judge_values

PROTOCOL = "stated"


@dataclass(frozen=True)
class Outcome:
    """What came out for one claim in one setting.

    Args:
        holds: Whether the relation holds for the typical seed; for ``every``, for all seeds.
        share: Share of the seeds inside the relation.
        median: Of the metric over the seeds; infinite where it is not finite.
    """

    holds: bool
    share: float
    median: float


def metric_key(metric: Mapping[str, Any]) -> str:
    """Write a metric as one word."""
    arguments = ", ".join(f"{key}={metric[key]}" for key in sorted(metric) if key != "name")
    return f"{metric['name']}({arguments})"


def outcome_of(claim: Claim, values: NDArray[np.float64]) -> Outcome:
    """Say whether a claim holds for the seeds of one setting."""
    if claim.relation is None:
        raise ValueError(f"claim {claim.id!r} is not testable")
    share = float(np.mean([claim.relation.contains(float(value)) for value in values]))
    # The judge's own median, so that a run that is not finite counts here as it does there.
    typical = claim.model_copy(update={"quantifier": "median"})
    median = judge_values(typical, values, alpha=0.5).measured
    if median is None:
        raise ValueError(f"claim {claim.id!r} has no values")
    holds = share == 1 if claim.quantifier == "every" else claim.relation.contains(median)
    return Outcome(holds, share, median)


def mapped_claims(claims: ClaimsFile) -> list[Claim]:
    """Pick the claims that the map is about."""
    return [c for c in claims.claim if c.protocol == PROTOCOL and c.quantifier != "exact"]
