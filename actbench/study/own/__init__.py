"""Activations, targets and initializers of one's own: loaded, checked, and registered.

Each is named as ``path/to/file.py:name``, ``module:name``, or as a package offers it; all of these
run the code that they name. Afterwards it is found by that name like a built-in one.
"""

from actbench.study.own.checks import CHECKS, Candidate
from actbench.study.own.functions import activation, candidate, formula, initializer, target
from actbench.study.own.loading import offered

__all__ = [
    "CHECKS",
    "Candidate",
    "activation",
    "candidate",
    "formula",
    "initializer",
    "offered",
    "target",
]
