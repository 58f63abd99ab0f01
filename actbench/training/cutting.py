"""Any number of members, cut into stacks that are trained side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from actbench.networks import Architecture
from actbench.parallel import side_by_side
from actbench.stacks import bytes_per_member
from actbench.training.members import Start
from actbench.training.outcome import Training
from actbench.training.schedule import DTYPES, Schedule
from actbench.training.stacked import (
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

    Args:
        architecture: Shape and activation of every member.
        members: How many there are in all, at least 1.
        points: Inputs of the batch.
        schedule: How they are trained; its device and type decide.
        threads: Stacks trained side by side, at least 1.
        memory_budget_bytes: What one stack may take; by default what is fastest.

    Returns:
        Sizes that differ by one at most, in the members' order.
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

    On the CPU each stack runs on one thread, and as many stacks as there are threads run side by
    side: they never wait for each other, which beats splitting every operation between threads.
    At the study's shape neither the cut nor the number of threads changes a bit of the result
    (``Stack`` says where rounding may depend on the cut).

    Args:
        architecture: Shape and activation of every member.
        members: Where each begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``.
        progress: Told about every few epochs, by one thread at a time.
        threads: Stacks trained side by side, at least 1; an accelerator trains one at a time.
        memory_budget_bytes: What one stack may take, of which at least one member is trained at a
            time; by default what is fastest.
        recorder: Says what to keep at the schedule's recorded epochs; called from several threads.

    Returns:
        The training of all members, in their order.
    """
    sizes = stack_sizes(architecture, len(members), len(x), schedule, threads, memory_budget_bytes)

    def job(part: Sequence[Start], report: Progress) -> Training:
        return train_stack(architecture, part, schedule, x, y, report, recorder)

    ends = zip(sizes, accumulate(sizes), strict=True)
    jobs = [partial(job, members[end - size : end]) for size, end in ends]
    parts = side_by_side(jobs, progress, _workers(schedule, threads))
    return Training(
        loss=np.concatenate([p.loss for p in parts]),
        recorded={
            name: np.concatenate([p.recorded[name] for p in parts]) for name in parts[0].recorded
        },
        weight_displacement=np.concatenate([p.weight_displacement for p in parts]),
        prediction=np.concatenate([p.prediction for p in parts]),
        hidden_activation=parts[0].hidden_activation,
    )
