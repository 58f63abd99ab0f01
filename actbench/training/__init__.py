"""One training loop for the reference network and one for a stack, with the same result."""

from actbench.training.cutting import Task, stack_sizes, train, train_all
from actbench.training.members import Member, Start
from actbench.training.outcome import Training
from actbench.training.reference import train_reference
from actbench.training.schedule import DTYPES, Schedule, require_runnable
from actbench.training.stacked import Progress, Recorder, gradient_magnitudes, train_stack

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
    "require_runnable",
    "stack_sizes",
    "train",
    "train_all",
    "train_reference",
    "train_stack",
]
