"""A sweep on Dask: this process hands out chunks and keeps them, Dask does the rest.

Workers and scheduler load this module too, to read what is passed on: nothing heavy may come with
it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from actbench.store import environment
from actbench.store.errors import ActbenchError, one_line

if TYPE_CHECKING:
    from distributed import Client, Future

    from actbench.store.parallel import Progress
    from actbench.study.sweeps.grids import Column, Grid
    from actbench.study.sweeps.running import Failures
    from actbench.study.sweeps.stores import Store

REACH_S = 10.0
"""How long a scheduler may take to answer at first."""
COME_BACK_S = 300.0
"""How long it may take to come back once it was lost."""

_AHEAD_PER_THREAD = 2
_SAME_EVERYWHERE = ("python", "dask", "distributed")
_LOGGERS = ("distributed", "distributed.client")
_LOADING = Lock()


def train_remotely(
    grid: Grid, start: int, stop: int, expected: Mapping[str, str]
) -> dict[str, Column]:
    """Train some members on a worker, if it has the versions that the sweep was begun with."""
    _require_versions("a worker", environment.versions(), expected)
    environment.require_exact_arithmetic()
    try:
        from actbench.study.sweeps.running import train_chunk

        _load(grid)
        return train_chunk(grid, start, stop)
    except Exception as error:
        reason = one_line(error)
    # Some errors can't be sent, and a client that waits for one waits forever: only this one is.
    raise ActbenchError(
        f"a worker failed at members {start} to {stop - 1}: {reason}. Finished chunks are safe; "
        "the same command goes on with them"
    )


def _load(grid: Grid) -> None:
    """Load the activations of one's own that a grid names, each once."""
    from actbench.study import own
    from actbench.study.catalog import activations

    for key, folder, source in grid.code:
        with _LOADING:
            known = activations.OWN.get(key)
            if known is None or known.source != source:
                known = own.activation(key, Path(folder))
        if known.source != source:
            raise ActbenchError(f"{key} in {folder} is not the file that the sweep was begun with")


def _require_versions(where: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse other versions than expected."""
    differ = [
        f"{name} {found.get(name)} (here {version})"
        for name, version in expected.items()
        if found.get(name) != version
    ]
    if differ:
        raise ActbenchError(
            f"{where} has {', '.join(differ)}. Install the same versions on scheduler, workers and "
            "client, such as by one environment or image for all, and start again"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Dask's log off the terminal: what matters of it is said in our own words."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class _LostSchedulerError(Exception):
    """The connection broke; what was handed out is handed out again."""


def require_reachable(address: str, timeout_s: float | None = None) -> None:
    """Find out whether a scheduler answers."""
    try:
        asyncio.run(_knock(address, REACH_S if timeout_s is None else timeout_s))
    except (OSError, ValueError, TimeoutError) as error:
        raise ActbenchError(
            f"can't reach a Dask scheduler at {address}: {error}. Start one with 'dask scheduler', "
            "give its address as --scheduler tcp://HOST:PORT, and check that no firewall is between"
        ) from error


@contextmanager
def _connected(address: str, timeout_s: float) -> Iterator[Client]:
    """Connect to a scheduler for a while."""
    from distributed import Client

    # First, as a Client that finds nobody complains once more when it is deleted.
    require_reachable(address, timeout_s)
    try:
        client = Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, TimeoutError) as error:  # lost in between
        raise ActbenchError(f"can't use the Dask scheduler at {address}: {error}") from error
    try:
        yield client
    finally:
        # One that is closed while it tries to reconnect says that its pool is closed.
        with suppress(OSError, TimeoutError, RuntimeError):
            client.close(timeout=2)


async def _knock(address: str, timeout_s: float) -> None:
    from distributed.comm.core import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=timeout_s, **arguments)
    await comm.close()


@contextmanager
def _noticing_loss() -> Iterator[None]:
    """Turn all that a broken connection raises into one error."""
    from concurrent.futures import CancelledError

    try:
        yield
    except (CancelledError, OSError, TimeoutError) as error:
        raise _LostSchedulerError(f" ({one_line(error)})") from error


def _require_same_versions(client: Client) -> None:
    """Compare scheduler and workers with this process."""
    found: Any = client.get_versions()
    here = {name: found["client"]["packages"][name] for name in _SAME_EVERYWHERE}
    everyone = {"the scheduler": found["scheduler"]}
    everyone.update({f"worker {address}": each for address, each in found["workers"].items()})
    for where, each in everyone.items():
        _require_versions(where, each["packages"], here)
    ours = environment.versions()
    try:
        theirs = client.run_on_scheduler(environment.versions)
    except (ImportError, AttributeError) as error:
        raise _without_actbench("the scheduler", error) from error
    # It passes on what actbench wrote, but computes nothing.
    _require_versions("the scheduler", theirs, {"actbench": ours["actbench"]})
    for address, answer in client.run(environment.versions, on_error="return").items():
        if isinstance(answer, Exception):
            raise _without_actbench(f"worker {address}", answer) from answer
        _require_versions(f"worker {address}", answer, ours)


def _without_actbench(where: str, error: Exception) -> ActbenchError:
    return ActbenchError(
        f"{where} can't run actbench: {one_line(error)}. Install the same actbench there, such as "
        "by one environment or image for all"
    )


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
        with _silence(), _connected(address, patience) as client:
            try:
                with _noticing_loss():
                    _require_same_versions(client)
                _drain(client, store, left, progress, failures)
            except _LostSchedulerError as error:
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
            future = client.submit(train_remotely, store.grid, *members, ours, pure=False)
            running[future] = number
            done.add(future)

    with _noticing_loss():
        room = _room(client, failures)
        hand_out(room)
    for count, future in enumerate(done, start=1):
        number = running.pop(future)
        values = _result(future, store, number, failures)
        if values is not None:
            store.write(number, values)
            failures.note(store, number, values)
        del left[number]
        progress(store.steps([number]))
        with _noticing_loss():
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
        raise _LostSchedulerError
    try:
        with _noticing_loss():
            values: Mapping[str, Column] = future.result()
    except (ActbenchError, _LostSchedulerError):
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


@contextmanager
def local_workers(count: int) -> Iterator[str]:
    """Start a scheduler in this process and worker processes beside it, for a while."""
    from distributed import LocalCluster

    with _silence():
        with _without_ctrl_c():
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        with cluster:
            yield cluster.scheduler_address


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Start threads and processes that Ctrl-C does not reach: this one ends them.

    In a terminal it reaches every process; one that has nobody to tell prints a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by both
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
