"""Independent jobs done side by side, each on one thread of a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias, TypeVar, cast

from actbench.store.errors import ActbenchError

Progress: TypeAlias = Callable[[int], None]
_T = TypeVar("_T")
_Job: TypeAlias = Callable[[Progress], _T]
_LOOK_FOR_SIGNALS_S = 0.2


def side_by_side(
    jobs: Sequence[_Job[_T]],
    progress: Progress,
    workers: int,
    take: Callable[[int, _T], Any] | None = None,
) -> list[Any]:
    """Do independent jobs, as many at a time as there are workers, each on one thread.

    Where the system can fork, the workers are copies of this process, made in some ten
    milliseconds: they know all that it knows (a user's activation, a patched kernel), need nothing
    pickled but results, and do not wait for each other at Python's lock, as threads do. Elsewhere
    they are threads.
    """
    workers = min(workers, len(jobs))
    results: dict[int, Any] = {}

    def keep(number: int, value: _T) -> None:
        results[number] = value if take is None else take(number, value)

    if workers <= 1:
        _one_by_one(jobs, progress, keep)
    elif sys.platform == "linux" and not multiprocessing.current_process().daemon:
        _in_processes(jobs, progress, workers, keep)
    else:
        _in_threads(jobs, progress, workers, keep)
    return [results[number] for number in range(len(jobs))]


def _one_by_one(
    jobs: Sequence[_Job[_T]], progress: Progress, keep: Callable[[int, _T], None]
) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, job in enumerate(jobs):
            keep(number, job(progress))
    finally:
        torch.set_num_threads(before)


def _in_processes(
    jobs: Sequence[_Job[_T]], progress: Progress, workers: int, keep: Callable[[int, _T], None]
) -> None:
    context = multiprocessing.get_context("fork")
    begun = context.Value("l", 0)
    children: dict[Any, BaseProcess] = {}
    try:
        for _ in range(workers):
            here, there = context.Pipe(duplex=False)
            told = (jobs, begun, there, [*children, here], os.getpid())
            child = context.Process(target=_work, args=told, daemon=True)
            with warnings.catch_warnings():
                # Threads of this process may hold locks; a worker takes none but its own.
                warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
                child.start()
            there.close()
            children[here] = child
        while children:
            for pipe in wait_for(list(children)):
                try:
                    number, value = pickle.loads(cast(Any, pipe).recv_bytes())  # noqa: S301 - from a copy of this process
                except EOFError:
                    _require_well_ended(children.pop(pipe))
                    continue
                if isinstance(value, BaseException):
                    raise value
                if number is None:
                    progress(value)
                else:
                    keep(number, value)
    finally:
        for left in children.values():
            left.kill()
            left.join()


def _require_well_ended(child: BaseProcess) -> None:
    child.join()
    if child.exitcode:
        raise ActbenchError(
            f"a worker process was ended from outside (exit code {child.exitcode}), as a system "
            "short of memory does. Close other programs, or take fewer with --threads"
        )


def _work(
    jobs: Sequence[_Job[_T]],
    begun: Any,
    pipe: Connection,
    others: Sequence[Connection],
    parent: int,
) -> None:
    """Do one job after another that nobody has begun, and tell the parent."""
    for other in others:
        other.close()  # so that nobody waits for a parent who is gone
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's matter, who ends this process
    # Another thread may have held the lock of these streams when this process was made.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    torch.set_num_threads(1)

    def send(number: int | None, value: object) -> None:
        # Not pipe.send, by which torch would share a tensor's memory with a process that ends.
        pipe.send_bytes(pickle.dumps((number, value), pickle.HIGHEST_PROTOCOL))

    def report(done: int) -> None:
        if os.getppid() != parent:
            os._exit(1)
        send(None, done)

    while True:
        with begun.get_lock():
            number, begun.value = begun.value, begun.value + 1
        if number >= len(jobs):
            return
        try:
            value: Any = jobs[number](report)
        except BaseException as error:
            value = _sendable(error)
        send(number, value)


def _sendable(error: BaseException) -> BaseException:
    if not isinstance(error, ActbenchError):  # which says itself what it is about
        error.add_note("".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the line before
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _in_threads(
    jobs: Sequence[_Job[_T]], progress: Progress, workers: int, keep: Callable[[int, _T], None]
) -> None:
    import torch

    stopped, turn = threading.Event(), threading.Lock()

    def report(done: int) -> None:
        with turn:
            if stopped.is_set():
                raise _StoppedError
            progress(done)

    def work(number: int) -> None:
        torch.set_num_threads(1)  # of this thread only
        value = jobs[number](report)
        with turn:
            keep(number, value)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, number) for number in range(len(jobs))]
        try:
            pending: set[Future[None]] = set(futures)
            while pending:
                # A signal that reaches another thread wakes nobody here: look for one at times.
                done, pending = wait(pending, _LOOK_FOR_SIGNALS_S, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            # Ctrl-C reaches the main thread alone: the others learn of it here.
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


class _StoppedError(BaseException):
    """Ends a job whose result nobody waits for any more; no failure that a job may catch."""
