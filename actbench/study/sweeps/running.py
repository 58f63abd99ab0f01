"""A sweep: the chunks of a grid that its store lacks, trained here or by Dask's workers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from actbench.store.environment import duration
from actbench.store.parallel import Progress, side_by_side
from actbench.store.terminal import plural
from actbench.study.sweeps.axes import Value
from actbench.study.sweeps.chunks import train_chunk
from actbench.study.sweeps.grids import Column, Grid
from actbench.study.sweeps.stores import FAILED, MISSING, Store, bytes_per_member

ASK_ABOVE = 10**6
"""Members above which a sweep is started only when its cost was accepted."""

_FILES_PER_CHUNK = 6
_NAMED_FAILURES = 20
_TIMED_CHUNKS, _TIMED_MEMBERS, _TIMED_EPOCHS = 3, 8, (2, 12)


@dataclass
class Failures:
    """What could not be trained, as it happens.

    Args:
        say: Told a line about each of the first failures.

    Attributes:
        members: How many members failed.
        chunks: Chunks that no worker finished; they are not in the store.
    """

    say: Callable[[str], None]
    members: int = 0
    chunks: list[int] = field(default_factory=list)

    def note(self, store: Store, number: int, values: Mapping[str, Column]) -> None:
        """Count the failed members of a chunk and name the first of all."""
        start, _ = store.bounds(number)
        for place in (values["status"] == FAILED).nonzero()[0].tolist():
            self.members += 1
            if self.members <= _NAMED_FAILURES:
                where = coordinates(store.grid, start + place)
                self.say(f"failed: {where}: {values['failure'][place]}")
            elif self.members == _NAMED_FAILURES + 1:
                self.say("further failures stand in the store's variable 'failure'")

    def lose(self, store: Store, number: int, reason: str) -> None:
        """Note a chunk that no worker finished."""
        self.chunks.append(number)
        start, stop = store.bounds(number)
        first, last = (coordinates(store.grid, n) for n in (start, stop - 1))
        self.say(f"not finished: members {start} ({first}) to {stop - 1} ({last}): {reason}")


def coordinates(grid: Grid, number: int) -> str:
    """Describe a member by the axes that vary."""
    (member,) = grid.members(number, number + 1)
    return ", ".join(f"{name}={_plain(member[name])}" for name in grid.axes)


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def missing(store: Store, *, retry: bool = False) -> tuple[list[int], int]:
    """List the chunks that a store lacks."""
    numbers, failed = [], 0
    for number in range(store.chunks):
        status = store.status(number)
        bad = int((status == FAILED).sum())
        if (status == MISSING).any() or (retry and bad):
            numbers.append(number)
        else:
            failed += bad
    return numbers, failed


def steps(store: Store, numbers: Sequence[int]) -> int:
    """Return how many steps of progress some chunks are."""
    return sum(_steps(store, number) for number in numbers)


def _steps(store: Store, number: int) -> int:
    start, stop = store.bounds(number)
    return (stop - start) * store.grid.common.epochs


def finish(
    store: Store,
    number: int,
    values: Mapping[str, Column],
    failures: Failures,
) -> None:
    """Keep a chunk and note its failures."""
    store.write(number, values)
    failures.note(store, number, values)


def run_here(
    store: Store,
    numbers: Sequence[int],
    threads: int,
    progress: Progress,
    failures: Failures,
) -> None:
    """Train chunks on this machine, as many side by side as there are threads."""

    def train(number: int, report: Progress) -> dict[str, Column]:
        left = _steps(store, number)

        def advance(done: int) -> None:
            nonlocal left
            left -= done
            report(done)

        values = train_chunk(store.grid, *store.bounds(number), advance)
        report(left)  # of members that failed
        return values

    side_by_side(
        [partial(train, number) for number in numbers],
        progress,
        threads,
        lambda place, values: finish(store, numbers[place], values, failures),
    )


def _size(count: int) -> str:
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{math.ceil(count / 1000)} kB"


@dataclass(frozen=True)
class Plan:
    """What a sweep would take.

    Args:
        members: Points of the grid.
        chunk: Members per chunk.
        seconds_per_member: Measured here, on one core.
        bytes_per_member: In the store, before compression.
    """

    members: int
    chunk: int
    seconds_per_member: float
    bytes_per_member: int

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


def plan(grid: Grid, chunk: int, clock: Callable[[], float]) -> Plan:
    """Time a few members to say what a whole sweep would take."""
    few, more = (min(epochs, grid.common.epochs) for epochs in _TIMED_EPOCHS)
    _seconds(grid, chunk, few, clock)  # the first use of torch loads modules for seconds
    short, long = (_seconds(grid, chunk, epochs, clock) for epochs in (few, more))
    per_epoch = max(0.0, long - short) / max(1, more - few)
    seconds = short + per_epoch * (grid.common.epochs - few)
    return Plan(grid.size, chunk, seconds, bytes_per_member(grid))


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
