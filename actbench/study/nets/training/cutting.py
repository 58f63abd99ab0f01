"""Any number of members, cut into stacks that are trained side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.store.parallel import side_by_side
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import bytes_per_member
from actbench.study.nets.training.schedule import DTYPES, Schedule, Start, Training
from actbench.study.nets.training.stacked import (
    Progress,
    Recorder,
    gradient_magnitudes,
    no_progress,
    train_stack,
)

# A stack that fits a core's share of the last cache is a tenth faster than a larger one, which
# reads every layer from memory again; below a few members the calls cost more than they compute.
_CPU_BUDGET_BYTES = 9 * 2**20
_FEWEST_MEMBERS = 4
# An accelerator is the faster the more it is given at once.
_ACCELERATOR_BUDGET_BYTES = 4 * 2**30


def _workers(schedule: Schedule, threads: int) -> int:
    return threads if schedule.device.type == "cpu" else 1


def stack_sizes(
    architecture: Architecture,
    members: int,
    points: int,
    schedule: Schedule,
    threads: int = 1,
    memory_budget_bytes: int | None = None,
) -> list[int]:
    """Say how many members each of the stacks has into which ``train`` cuts its members.

    >>> study = Architecture(activations.get("relu"))
    >>> stack_sizes(study, 20, 200, Schedule())
    [5, 5, 5, 5]
    """
    member_bytes = bytes_per_member(architecture, points, DTYPES[schedule.dtype].itemsize)
    if memory_budget_bytes is None:
        on_cpu = schedule.device.type == "cpu"
        fastest = _CPU_BUDGET_BYTES if on_cpu else _ACCELERATOR_BUDGET_BYTES
        memory_budget_bytes = max(fastest, _FEWEST_MEMBERS * member_bytes)
    largest = max(1, memory_budget_bytes // member_bytes)
    workers = _workers(schedule, threads)
    rounds = math.ceil(members / (largest * workers))
    stacks = min(rounds * workers, members)
    ends = [members * number // stacks for number in range(stacks + 1)]
    return [end - start for start, end in pairwise(ends)]


@dataclass(frozen=True)
class Task:
    """What ``train`` takes; an epoch of one member is ``weight`` steps of progress."""

    architecture: Architecture
    members: Sequence[Start]
    schedule: Schedule
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    recorder: Recorder = gradient_magnitudes
    weight: int = 1

    def part(self, start: int, stop: int, progress: Progress) -> Training:
        """Train some of the members as one stack."""
        return train_stack(
            self.architecture,
            self.members[start:stop],
            self.schedule,
            self.x,
            self.y if self.y.ndim == 1 else self.y[start:stop],
            lambda done: progress(done * self.weight),
            self.recorder,
        )


def train(
    architecture: Architecture,
    members: Sequence[Start],
    schedule: Schedule,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    progress: Progress = no_progress,
    threads: int = 1,
    memory_budget_bytes: int | None = None,
    recorder: Recorder = gradient_magnitudes,
) -> Training:
    """Train any number of members, cut into stacks that fit a memory budget.

    Args:
        architecture: Shape and activation of every member.
        members: Where each begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``, or of each member, shape ``(member, points)``.
        progress: Told about every few epochs.
        threads: Stacks trained side by side, at least 1; an accelerator trains one at a time.
        memory_budget_bytes: What one stack may take, of which at least one member is trained at a
            time; by default what is fastest.
        recorder: Says what to keep at the schedule's recorded epochs; called in several processes.

    Returns:
        The training of all members, in their order.
    """
    task = Task(architecture, members, schedule, x, y, recorder)
    (training,) = train_all([task], progress, threads, memory_budget_bytes)
    return training


def train_all(
    tasks: Sequence[Task],
    progress: Progress = no_progress,
    threads: int = 1,
    memory_budget_bytes: int | None = None,
) -> list[Training]:
    """Train the members of several tasks, cut into stacks, the longest first.

    On the CPU each stack runs on one thread, and as many stacks as there are threads run side by
    side: they never wait for each other, which beats splitting every operation between threads.
    Neither the cut nor the number of threads changes a number by more than rounding, and none at
    all where ``Stack`` says so. The arguments are those of ``train``.
    """
    workers = max(_workers(task.schedule, threads) for task in tasks)
    pieces: list[tuple[int, int, int]] = []
    for number, task in enumerate(tasks):
        # Where there are many tasks, none needs to be cut for every worker to have work.
        beside = max(1, workers // len(tasks))
        sizes = stack_sizes(
            task.architecture,
            len(task.members),
            len(task.x),
            task.schedule,
            beside,
            memory_budget_bytes,
        )
        ends = zip(sizes, accumulate(sizes), strict=True)
        pieces += [(number, end - size, end) for size, end in ends]
    pieces.sort(key=lambda piece: -_work(tasks[piece[0]], piece[2] - piece[1]))
    jobs = [partial(tasks[number].part, start, stop) for number, start, stop in pieces]
    done = side_by_side(jobs, progress, workers)
    found = dict(zip(pieces, done, strict=True))
    return [
        _joined([found[piece] for piece in sorted(found) if piece[0] == number])
        for number in range(len(tasks))
    ]


def _work(task: Task, members: int) -> int:
    return members * task.architecture.parameter_count * task.schedule.epochs * len(task.x)


def _joined(parts: Sequence[Training]) -> Training:
    def of(name: str) -> NDArray[np.floating[Any]]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Training(
        loss=of("loss"),
        recorded={
            name: np.concatenate([part.recorded[name] for part in parts])
            for name in parts[0].recorded
        },
        weight_displacement=of("weight_displacement"),
        prediction=of("prediction"),
        hidden_activation=parts[0].hidden_activation,
    )
