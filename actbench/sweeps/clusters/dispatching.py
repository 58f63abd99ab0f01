"""Handing out chunks to the workers of a scheduler, and keeping what comes back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actbench import environment
from actbench.errors import ActbenchError, one_line
from actbench.sweeps import remote
from actbench.sweeps.clusters._silence import silence
from actbench.sweeps.clusters.connecting import (
    REACH_S,
    LostSchedulerError,
    connected,
    noticing_loss,
    require_same_versions,
)
from actbench.sweeps.running import Failures, finish, steps

if TYPE_CHECKING:
    from distributed import Client, Future

    from actbench.parallel import Progress
    from actbench.sweeps.grids import Column
    from actbench.sweeps.stores import Store

COME_BACK_S = 300.0
"""How long it may take to come back once it was lost."""

_AHEAD_PER_THREAD = 2


def run(
    store: Store,
    numbers: Sequence[int],
    address: str,
    progress: Progress,
    failures: Failures,
) -> None:
    """Train chunks on the workers of a scheduler.

    A worker that dies, joins or leaves changes nothing but the time it takes. When the scheduler
    dies, this waits for it to come back at the same address.
    """
    left = dict.fromkeys(numbers)
    patience = REACH_S
    while left:
        with silence(), connected(address, patience) as client:
            try:
                with noticing_loss():
                    require_same_versions(client)
                _drain(client, store, left, progress, failures)
            except LostSchedulerError as error:
                failures.say(
                    f"the scheduler at {address} was lost{error}; waiting up to "
                    f"{COME_BACK_S:.0f} s for it to come back. Finished chunks are safe"
                )
                patience = COME_BACK_S


def _drain(
    client: Client,
    store: Store,
    left: dict[int, None],
    progress: Progress,
    failures: Failures,
) -> None:
    """Hand out chunks and keep them until none is left."""
    from distributed import as_completed

    ours = environment.versions()
    waiting = iter(list(left))
    running: dict[Any, int] = {}
    done = as_completed(loop=client.loop)

    def hand_out(room: int) -> None:
        for number in itertools.islice(waiting, max(0, room - len(running))):
            members = store.bounds(number)
            future = client.submit(remote.train_remotely, store.grid, *members, ours, pure=False)
            running[future] = number
            done.add(future)

    with noticing_loss():
        room = _room(client, failures)
        hand_out(room)
    for count, future in enumerate(done, start=1):
        number = running.pop(future)
        values = _result(future, store, number, failures)
        if values is not None:
            finish(store, number, values, failures)
        del left[number]
        progress(steps(store, [number]))
        with noticing_loss():
            if count % room == 0:  # workers join and leave
                room = _room(client, failures)
            hand_out(room)


def _room(client: Client, failures: Failures) -> int:
    """How many chunks to hand out at a time."""
    threads: int = sum(client.nthreads().values())
    if not threads:
        failures.say(
            "the scheduler has no worker; waiting for one. Start it with 'dask worker ADDRESS "
            "--nthreads 1', as many as there are cores"
        )
    return max(1, _AHEAD_PER_THREAD * threads)


def _result(
    future: Future[Any], store: Store, number: int, failures: Failures
) -> Mapping[str, Column] | None:
    """Return what a worker made of a chunk, or nothing if workers died over it."""
    from distributed import KilledWorker

    if future.cancelled():  # which is what becomes of all when the scheduler is lost
        raise LostSchedulerError
    try:
        with noticing_loss():
            values: Mapping[str, Column] = future.result()
    except (ActbenchError, LostSchedulerError):
        raise
    except KilledWorker:
        failures.lose(store, number, "every worker that tried died; the same command tries again")
        return None
    except Exception as error:
        raise ActbenchError(
            f"no worker could be given chunk {number}: {one_line(error)}. Finished chunks are "
            "safe; the same command goes on with them"
        ) from error
    return values
