"""The robustness map: in which settings that the study leaves open does a claim hold?

A grid of settings around the stated protocol is run with a few seeds each; ``baselines`` keeps
every metric's values, so that a claim whose bounds change needs no new run. A relation holds in a
setting when the median over the seeds satisfies it (for the quantifier ``every``: when all seeds
do). That is the typical seed, without an interval: a map needs many settings rather than many
seeds, and the verdict itself rests on many seeds at the stated protocol.
"""

from actbench.study.robustness.grid import (
    COMMAND,
    PROTOCOL,
    SCHEMA_VERSION,
    Cell,
    Grid,
    Outcome,
    Robustness,
    Setting,
    load,
    mapped_claims,
    metric_key,
    path_of,
)
from actbench.study.robustness.running import measure, run, steps

__all__ = [
    "COMMAND",
    "PROTOCOL",
    "SCHEMA_VERSION",
    "Cell",
    "Grid",
    "Outcome",
    "Robustness",
    "Setting",
    "load",
    "mapped_claims",
    "measure",
    "metric_key",
    "path_of",
    "run",
    "steps",
]
