"""Independent jobs done side by side on the CPU's threads, each job on one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeAlias, TypeVar

import torch

Progress: TypeAlias = Callable[[int], None]
_T = TypeVar("_T")
_LOOK_FOR_SIGNALS_S = 0.2


def side_by_side(
    jobs: Sequence[Callable[[Callable[[int], None]], _T]],
    progress: Callable[[int], None],
    workers: int,
) -> list[_T]:
    """Do independent jobs on as many threads as there are workers, each job on one thread.

    A grid of small stacks is finished sooner this way than with each stack cut between threads,
    and what a job gives cannot depend on how many run beside it.

    Args:
        jobs: Each is called with what it must report its progress to.
        progress: Told about it, by one thread at a time; whatever it raises ends all jobs.
        workers: Jobs at a time, at least 1.

    Returns:
        What the jobs returned, in their order.
    """
    stopped, reporting = threading.Event(), threading.Lock()

    def report(done: int) -> None:
        with reporting:
            if stopped.is_set():
                raise _StoppedError
            progress(done)

    def work(job: Callable[[Progress], _T]) -> _T:
        torch.set_num_threads(1)  # of this thread only
        return job(report)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            pending: set[Future[_T]] = set(futures)
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
    return [future.result() for future in futures]


class _StoppedError(BaseException):
    """Ends a job whose result nobody waits for any more; no failure that a job may catch."""
