"""How far rounding alone moves a metric: what lies within is no drift of a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from actbench import metrics
from actbench.drift.levels import LAST_DIGIT_UNITS
from actbench.records import Dtype
from actbench.twosample import Margin

Settings = Mapping[str, Any] | None
"""Of a protocol; ``None`` where they are not known."""


def dtype_of(settings: Settings) -> Dtype:
    """Return the dtype whose last digit counts for a protocol."""
    if settings is None:
        return "float32"
    dtype = settings.get("dtype")
    if dtype in ("float32", "float64"):
        return "float32" if dtype == "float32" else "float64"
    return "float32" if "float32" in str(list(settings.values())) else "float64"


def margin_of(metric: Mapping[str, Any], settings: Settings) -> Margin:
    """Return how far rounding alone may move each value of a metric in one direction.

    Rounding scatters a chaotic training widely, but to either side, which a test allows for. Only
    what it does to all seeds alike must be allowed for here: at most a few units in the last place
    in an ensemble of roundings (``tests/rounding_ensemble.py``). The margin is the same bound as of
    the last digit, in single precision wherever a protocol does not say that all of it is double.
    A metric that is rounding and nothing else has its ceiling instead.
    """
    double = settings is not None and settings.get("dtype") == "float64"
    relative = LAST_DIGIT_UNITS * float(np.finfo(np.float64 if double else np.float32).eps)
    ceiling = None if settings is None else metrics.rounding_ceiling(metric, settings)
    return Margin(relative, ceiling or 0.0)
