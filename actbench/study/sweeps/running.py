"""A sweep: the chunks of a grid that its store lacks, and how they are trained, here or anywhere.

Members that differ in seed and initializer alone are trained as one stack. What can't be trained
is a failure of its own and keeps no other from being trained.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch

from actbench.store.environment import duration
from actbench.store.errors import ActbenchError, one_line
from actbench.store.parallel import Progress, side_by_side
from actbench.store.terminal import plural
from actbench.study.catalog import activations, initializers, targets
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets import stacks
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import DTYPES, Member, Schedule, train
from actbench.study.sweeps.grids import INSIDE_A_STACK, Column, Grid, Value
from actbench.study.sweeps.stores import FAILED, NOT_TRAINED, TRAINED, Store, bytes_per_member

_SAMPLE = 256  # members that stand for all when the work is estimated
_FLOP_PER_MEMBER = 1e8  # what drawing a network costs, as operations: about 1 ms
_LEAST_FLOP, _MOST_FLOP = 2e11, 4e12  # of a chunk: some seconds, and about a minute, of one core
_FEW_CHUNKS = 64  # of a small grid, so that every worker has something to do to the end
_MOST_MEMBERS = 8192

_FILES_PER_CHUNK = 6
_NAMED_FAILURES = 20
_TIMED_CHUNKS, _TIMED_MEMBERS, _TIMED_EPOCHS = 3, 8, (2, 12)


def _member_at(grid: Grid, number: int) -> dict[str, Any]:
    return next(grid.members(number, number + 1))


def _architecture(member: Mapping[str, Any]) -> Architecture:
    activation = activations.get(member["activation"])
    return Architecture(activation, member["depth"], member["width"], member["skip"])


def default_chunk(grid: Grid) -> int:
    """Choose the members per chunk, from the grid alone."""
    count = min(_SAMPLE, grid.size)
    members = (_member_at(grid, grid.size * n // count) for n in range(count))
    work = sum(_architecture(member).parameter_count for member in members) / count
    flop = _FLOP_PER_MEMBER + 6.0 * grid.common.points * grid.common.epochs * work
    least, most = (math.ceil(limit / flop) for limit in (_LEAST_FLOP, _MOST_FLOP))
    wanted = min(max(math.ceil(grid.size / _FEW_CHUNKS), least), most)
    return min(wanted, _MOST_MEMBERS, grid.size)


@pinned_state()
def train_chunk(
    grid: Grid, start: int, stop: int, progress: Progress = lambda done: None
) -> dict[str, Column]:
    """Train some members of a grid, on one thread; the variables of a store, by name."""
    members = list(grid.members(start, stop))
    values = _empty(grid, len(members))
    for places in _stacks(members):
        chosen = [members[place] for place in places]
        try:
            found = _train(grid, chosen, progress)
        except Exception as error:  # whatever it is, the rest goes on
            found = {"status": FAILED, "failure": one_line(error), "diverged": NOT_TRAINED}
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


def _stacks(members: Sequence[Mapping[str, Value]]) -> list[list[int]]:
    """Places of the members that can be trained together, each group in its order."""
    groups: dict[tuple[Value, ...], list[int]] = {}
    for place, member in enumerate(members):
        key = tuple(v for name, v in member.items() if name not in INSIDE_A_STACK)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _train(grid: Grid, members: Sequence[Mapping[str, Any]], progress: Progress) -> dict[str, Any]:
    first, common = members[0], grid.common
    architecture = _architecture(first)
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
    final = mean_square_error(training.prediction, target.noisy)
    curve = np.concatenate([training.loss, final[:, None]], -1)
    return {
        "final_mse": final,
        "final_mse_clean": mean_square_error(training.prediction, target.clean),
        "diverged": first_non_finite(curve),
        "loss": training.loss[:, list(common.recorded_epochs or ())],
    }


def _require_memory(architecture: Architecture, points: int, dtype: str) -> None:
    # Asking for too much may end the process, and with it the whole sweep.
    needed = stacks.bytes_per_member(architecture, points, DTYPES[dtype].itemsize)
    free = psutil.virtual_memory().available
    if needed > free:
        raise ActbenchError(
            f"a network of depth {architecture.depth} and width {architecture.width} needs "
            f"{needed / 1e9:.1f} GB of memory, more than there is"
        )


@dataclass
class Failures:
    """What could not be trained, as it happens."""

    say: Callable[[str], None]  # told a line about each of the first failures
    members: int = 0
    chunks: list[int] = field(default_factory=list)

    def note(self, store: Store, number: int, values: Mapping[str, Column]) -> None:
        """Count the failed members of a chunk and name the first of all."""
        start, _ = store.bounds(number)
        for place in (values["status"] == FAILED).nonzero()[0].tolist():
            self.members += 1
            if self.members <= _NAMED_FAILURES:
                where = store.grid.described(start + place)
                self.say(f"failed: {where}: {values['failure'][place]}")
            elif self.members == _NAMED_FAILURES + 1:
                self.say("further failures stand in the store's variable 'failure'")

    def lose(self, store: Store, number: int, reason: str) -> None:
        """Note a chunk that no worker finished."""
        self.chunks.append(number)
        start, stop = store.bounds(number)
        first, last = (store.grid.described(n) for n in (start, stop - 1))
        self.say(f"not finished: members {start} ({first}) to {stop - 1} ({last}): {reason}")


def run_here(
    store: Store,
    numbers: Sequence[int],
    threads: int,
    progress: Progress,
    failures: Failures,
) -> None:
    """Train chunks on this machine, as many side by side as there are threads."""

    def train(number: int, report: Progress) -> dict[str, Column]:
        left = store.steps([number])

        def advance(done: int) -> None:
            nonlocal left
            left -= done
            report(done)

        values = train_chunk(store.grid, *store.bounds(number), advance)
        report(left)  # of members that failed
        return values

    def keep(place: int, values: Mapping[str, Column]) -> None:
        store.write(numbers[place], values)
        failures.note(store, numbers[place], values)

    side_by_side([partial(train, number) for number in numbers], progress, threads, keep)


def _size(count: int) -> str:
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{math.ceil(count / 1000)} kB"


@dataclass(frozen=True)
class _Plan:
    """What a sweep would take."""

    members: int
    chunk: int  # members per chunk
    seconds_per_member: float  # measured here, on one core
    bytes_per_member: int  # in the store, before compression

    @property
    def chunks(self) -> int:
        """Tasks for the scheduler."""
        return -(-self.members // self.chunk)

    @property
    def core_hours(self) -> float:
        """Of processors like this one."""
        return self.members * self.seconds_per_member / 3600

    def sentence(self, cores: int) -> str:
        """Say it in one line."""
        hours = self.core_hours / cores
        chunks = "1 chunk" if self.chunks == 1 else f"{self.chunks:,} chunks"
        return (
            f"{self.members:,} members in {chunks} of {self.chunk:,}; at most "
            f"{_size(self.members * self.bytes_per_member)} of results in "
            f"{self.chunks * _FILES_PER_CHUNK:,} files, beside some 20 kB that describe them; "
            f"about {duration(hours * 3600)} on "
            f"{plural(cores, 'core')} like this one"
            f"{f' ({self.core_hours:,.1f} core-hours)' if hours >= 1 and cores > 1 else ''}"
        )


def plan(grid: Grid, chunk: int, clock: Callable[[], float]) -> _Plan:
    """Time a few members to say what a whole sweep would take."""
    few, more = (min(epochs, grid.common.epochs) for epochs in _TIMED_EPOCHS)
    _seconds(grid, chunk, few, clock)  # the first use of torch loads modules for seconds
    short, long = (_seconds(grid, chunk, epochs, clock) for epochs in (few, more))
    per_epoch = max(0.0, long - short) / max(1, more - few)
    seconds = short + per_epoch * (grid.common.epochs - few)
    return _Plan(grid.size, chunk, seconds, bytes_per_member(grid))


def _seconds(grid: Grid, chunk: int, epochs: int, clock: Callable[[], float]) -> float:
    """Time per member of the beginnings of some chunks, for a few epochs."""
    common = dataclasses.replace(grid.common, epochs=epochs, recorded_epochs=())
    short = dataclasses.replace(grid, common=common)
    chunks = -(-grid.size // chunk)
    starts = sorted({chunks * n // _TIMED_CHUNKS * chunk for n in range(_TIMED_CHUNKS)})
    parts = [(start, min(start + min(chunk, _TIMED_MEMBERS), grid.size)) for start in starts]
    begun = clock()
    for start, stop in parts:
        train_chunk(short, start, stop)
    return (clock() - begun) / sum(stop - start for start, stop in parts)
