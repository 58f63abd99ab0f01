"""Numeric fingerprints: digests and a few values of everything a training rests on, step by step.

All on one thread. Where two releases of torch differ, the first step that does names the operation:
random streams, then initial weights, then single operations on inputs that no release changes, then
two trainings of the study's network, by autograd and by a stack.
"""

from actbench.records.fingerprints.draws import initial_weights, streams
from actbench.records.fingerprints.operations import activation_operations, linear_operations
from actbench.records.fingerprints.taking import jobs, take
from actbench.records.fingerprints.trainings import (
    REFERENCE_EPOCHS,
    STACK_EPOCHS,
    reference_training,
    stack_training,
)
from actbench.records.steps import Numbers, step

__all__ = [
    "REFERENCE_EPOCHS",
    "STACK_EPOCHS",
    "Numbers",
    "activation_operations",
    "initial_weights",
    "jobs",
    "linear_operations",
    "reference_training",
    "stack_training",
    "step",
    "streams",
    "take",
]
