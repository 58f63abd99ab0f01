"""Worker processes on this machine, with a scheduler of their own."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from actbench.sweeps.clusters._silence import silence


@contextmanager
def local_workers(count: int) -> Iterator[str]:
    """Start a scheduler in this process and worker processes beside it, for a while."""
    from distributed import LocalCluster

    with silence():
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
