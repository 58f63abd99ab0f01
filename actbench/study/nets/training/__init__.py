"""One training loop for the reference network and one for a stack, with the same result."""

from actbench.study.nets.training.cutting import Task, stack_sizes, train, train_all
from actbench.study.nets.training.reference import train_reference
from actbench.study.nets.training.schedule import (
    DTYPES,
    Member,
    Schedule,
    Start,
    Training,
)
from actbench.study.nets.training.stacked import (
    Progress,
    Recorder,
    gradient_magnitudes,
    train_stack,
)

__all__ = [
    "DTYPES",
    "Member",
    "Progress",
    "Recorder",
    "Schedule",
    "Start",
    "Task",
    "Training",
    "gradient_magnitudes",
    "stack_sizes",
    "train",
    "train_all",
    "train_reference",
    "train_stack",
]
