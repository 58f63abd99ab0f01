"""The trainings of a grid: done side by side on the CPU's threads, and what is read off them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actbench.training import Progress

_T = TypeVar("_T")
_LOOK_FOR_SIGNALS_S = 0.2


def side_by_side(
    jobs: Sequence[Callable[[Progress], _T]], progress: Progress, workers: int
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


class _StoppedError(Exception):
    """Ends a job whose result nobody waits for any more."""


def mean_square_error(prediction: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far predictions are from their targets.

    Args:
        prediction: Outputs, shape ``(..., points)``.
        target: Of a shape that fits it.

    Returns:
        Mean squared errors, float64, shape ``(...)``.
    """
    # A diverged member overflows on its way to infinity, which is what it should report.
    with np.errstate(over="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.square(prediction.astype(np.float64) - target).mean(-1)
    return result


def first_non_finite(loss: NDArray[Any]) -> NDArray[np.int32]:
    """Find when members diverged.

    Args:
        loss: Losses, shape ``(..., epoch)``.

    Returns:
        The first epoch with a loss that is not finite, -1 where there is none, shape ``(...)``.
    """
    bad = ~np.isfinite(loss)
    return np.where(bad.any(-1), bad.argmax(-1), -1).astype(np.int32)
