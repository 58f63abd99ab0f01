"""What changed between two records: claims that flipped, numbers that drifted, speed."""

from actbench.drift.chains import ChainDrift, ChainsDrift, StepDrift
from actbench.drift.comparing import Drift, Origin, compare, failures
from actbench.drift.distributions import MetricDrift, MetricsDrift
from actbench.drift.flips import ClaimsDrift, Flip, Unexpected
from actbench.drift.levels import LAST_DIGIT_UNITS, Level
from actbench.drift.scope import Scope
from actbench.drift.speed import Ratio, Speed

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
