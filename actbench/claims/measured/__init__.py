"""Stored measurements: per protocol, each metric's values over many seeds and how they were made.

They serve twice: claims that need long runs are judged from them in a fast run, and a fresh run is
compared with them, exactly where nothing but rounding may differ and as a distribution elsewhere.
"""

from actbench.claims.measured.comparing import (
    EXACT_TOLERANCE,
    FALSE_ALARM,
    Difference,
    compare,
    metric_title,
)
from actbench.claims.measured.measuring import entry_of, from_dataset
from actbench.claims.measured.storing import SCHEMA_VERSION, Entry, Measured, load, path_of, save

__all__ = [
    "EXACT_TOLERANCE",
    "FALSE_ALARM",
    "SCHEMA_VERSION",
    "Difference",
    "Entry",
    "Measured",
    "compare",
    "entry_of",
    "from_dataset",
    "load",
    "metric_title",
    "path_of",
    "save",
]
