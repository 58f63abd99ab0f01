"""The study's commands, which it registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from actbench.cli.options import Command, StudyCommand
from actbench.study.commands import doctor, reading, recovering, studying, sweeping, trying

COMMANDS: Mapping[str, Sequence[tuple[Callable[..., None], type[Command]]]] = {
    "Your own": (
        (recovering.recover, StudyCommand),
        (trying.try_, StudyCommand),
        (sweeping.sweep, StudyCommand),
    ),
    "The study": (
        (studying.reproduce, StudyCommand),
        (studying.run, StudyCommand),
        (studying.robustness, Command),
    ),
    "Results": ((reading.report, StudyCommand),),
    "This installation": ((reading.list_, Command), (doctor.doctor, Command)),
}
"""Panel of ``actbench --help`` to the functions in it, each with the class of its command."""
