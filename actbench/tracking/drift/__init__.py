"""What changed between two records: claims that flipped, numbers that drifted, speed."""

from actbench.tracking.drift.chains import ChainDrift, ChainsDrift, StepDrift
from actbench.tracking.drift.comparing import (
    ClaimsDrift,
    Drift,
    Flip,
    Origin,
    Unexpected,
    compare,
    failures,
)
from actbench.tracking.drift.distributions import LAST_DIGIT_UNITS, Level, MetricDrift, MetricsDrift
from actbench.tracking.drift.scope import Scope
from actbench.tracking.drift.speed import Ratio, Speed

__all__ = [
    "LAST_DIGIT_UNITS",
    "ChainDrift",
    "ChainsDrift",
    "ClaimsDrift",
    "Drift",
    "Flip",
    "Level",
    "MetricDrift",
    "MetricsDrift",
    "Origin",
    "Ratio",
    "Scope",
    "Speed",
    "StepDrift",
    "Unexpected",
    "compare",
    "failures",
]
