"""Activations, targets and initializers of one's own: loaded, checked, and registered.

Each is named as ``path/to/file.py:name``, ``module:name``, or as a package offers it; all of these
run the code that they name. Afterwards it is found by that name like a built-in one.
"""

from actbench.own.activation_functions import activation, candidate
from actbench.own.checks import CHECKS, Candidate
from actbench.own.formulas import formula
from actbench.own.loading import offered
from actbench.own.target_functions import target
from actbench.own.weight_initializers import initializer

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
