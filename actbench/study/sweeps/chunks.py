"""A chunk of a sweep: which members it trains together, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psutil
import torch

from actbench.store.errors import ActbenchError, one_line
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.targets import Target
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import bytes_per_member
from actbench.study.nets.training import DTYPES, Member, Progress, Schedule, Training, train
from actbench.study.sweeps.axes import INSIDE_A_STACK, Value
from actbench.study.sweeps.grids import Column, Grid
from actbench.study.sweeps.stores import FAILED, NOT_TRAINED, TRAINED

_SAMPLE = 256  # members that stand for all when the work is estimated
_FLOP_PER_MEMBER = 1e8  # what drawing a network costs, as operations: about 1 ms
_LEAST_FLOP, _MOST_FLOP = 2e11, 4e12  # of a chunk: some seconds, and about a minute, of one core
_FEW_CHUNKS = 64  # of a small grid, so that every worker has something to do to the end
_MOST_MEMBERS = 8192


def _no_progress(done: int) -> None:
    pass


def flop_per_member(grid: Grid) -> float:
    """Estimate the work of a grid's typical member."""
    count = min(_SAMPLE, grid.size)
    members = [_member_at(grid, grid.size * n // count) for n in range(count)]
    work = [architecture_of(member).parameter_count for member in members]
    per_weight = 6.0 * grid.common.points * grid.common.epochs
    return _FLOP_PER_MEMBER + per_weight * sum(work) / count


def _member_at(grid: Grid, number: int) -> dict[str, Value]:
    return next(grid.members(number, number + 1))


def default_chunk(grid: Grid) -> int:
    """Choose the members per chunk, from the grid alone."""
    flop = flop_per_member(grid)
    least, most = (math.ceil(limit / flop) for limit in (_LEAST_FLOP, _MOST_FLOP))
    wanted = min(max(math.ceil(grid.size / _FEW_CHUNKS), least), most)
    return min(wanted, _MOST_MEMBERS, grid.size)


def architecture_of(member: Mapping[str, Any]) -> Architecture:
    """Return the network of a member.

    Args:
        member: Value of every axis.

    Returns:
        Its shape and activation.
    """
    activation = activations.get(member["activation"])
    return Architecture(activation, member["depth"], member["width"], member["skip"])


@pinned_state()
def train_chunk(
    grid: Grid, start: int, stop: int, progress: Progress = _no_progress
) -> dict[str, Column]:
    """Train some members of a grid, on one thread.

    Members that differ in seed and initializer alone are trained as one stack. What can't be
    trained is a failure of its own and keeps no other from being trained.
    """
    members = list(grid.members(start, stop))
    values = _empty(grid, len(members))
    for places in _stacks(members):
        chosen = [members[place] for place in places]
        try:
            found = _train(grid, chosen, progress)
        except Exception as error:  # whatever it is, the rest goes on
            found = _failed(error)
        for name, value in found.items():
            values[name][places] = value
    return values


def _empty(grid: Grid, count: int) -> dict[str, Column]:
    recorded = len(grid.common.recorded_epochs or ())
    return {
        "final_mse": np.full(count, np.nan),
        "final_mse_clean": np.full(count, np.nan),
        "diverged": np.full(count, -1, dtype=np.int32),
        "loss": np.full((count, recorded), np.nan, dtype=grid.common.dtype),
        "failure": np.full(count, "", dtype=object),
        "status": np.full(count, TRAINED, dtype=np.int8),
    }


def _failed(error: Exception) -> dict[str, Any]:
    return {"status": FAILED, "failure": one_line(error), "diverged": NOT_TRAINED}


def _stacks(members: Sequence[Mapping[str, Value]]) -> list[list[int]]:
    """Places of the members that can be trained together, each group in its order."""
    groups: dict[tuple[Value, ...], list[int]] = {}
    for place, member in enumerate(members):
        key = tuple(v for name, v in member.items() if name not in INSIDE_A_STACK)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _train(grid: Grid, members: Sequence[Mapping[str, Any]], progress: Progress) -> dict[str, Any]:
    first, common = members[0], grid.common
    architecture = architecture_of(first)
    _require_memory(architecture, common.points, common.dtype)
    target = targets.noisy(first["target"], common.points, first["noise_std"], first["noise_seed"])
    schedule = Schedule(
        common.epochs,
        first["learning_rate"],
        first["weight_decay"],
        device=torch.device("cpu"),
        dtype=common.dtype,
    )
    stack = [Member(m["seed"], initializers.get(m["initializer"])) for m in members]
    training = train(architecture, stack, schedule, target.x, target.noisy, progress)
    return _results(grid, training, target)


def _results(grid: Grid, training: Training, target: Target) -> dict[str, Column]:
    final = mean_square_error(training.prediction, target.noisy)
    curve = np.concatenate([training.loss, final[:, None]], -1)
    return {
        "final_mse": final,
        "final_mse_clean": mean_square_error(training.prediction, target.clean),
        "diverged": first_non_finite(curve),
        "loss": training.loss[:, list(grid.common.recorded_epochs or ())],
    }


def _require_memory(architecture: Architecture, points: int, dtype: str) -> None:
    # Asking for too much may end the process, and with it the whole sweep.
    needed = bytes_per_member(architecture, points, DTYPES[dtype].itemsize)
    free = psutil.virtual_memory().available
    if needed > free:
        raise ActbenchError(
            f"a network of depth {architecture.depth} and width {architecture.width} needs "
            f"{needed / 1e9:.1f} GB of memory, more than there is"
        )
