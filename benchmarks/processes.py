"""An engine in several processes, each on a core of its own with a share of the members."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from benchmarks.work import PEERS, Work


def _settle(cores: Any) -> None:
    """Keep to one core, on one thread, before an engine is loaded."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores.get()})


def _train(key: str, variant: str, work: Work) -> list[float]:
    peer = next(peer for peer in PEERS if peer.key == key)
    return list(peer.variants(work, 1)[variant](work))


@cache
def _pool(key: str, count: int) -> ProcessPoolExecutor:  # noqa: ARG001 - each engine has its own
    # Spawned, not forked: JAX has threads that a fork would lose.
    context = multiprocessing.get_context("spawn")
    cores: Any = context.Queue()
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    for number in range(count):
        cores.put(available[number % len(available)])
    return ProcessPoolExecutor(count, context, _settle, (cores,))


def run(key: str, variant: str, count: int, work: Work) -> Sequence[float]:
    """Do some work in processes that are kept for the next.

    Args:
        key: Of the engine.
        variant: One that it offers on one thread.
        count: Processes.
        work: What to do; each process gets a share of its members.

    Returns:
        Each member's loss before the last update.
    """
    ends = [work.members * number // count for number in range(count + 1)]
    shares = [
        replace(work, members=end - start, first_seed=work.first_seed + start)
        for start, end in pairwise(ends)
        if end > start
    ]
    futures = [_pool(key, count).submit(_train, key, variant, share) for share in shares]
    return [loss for future in futures for loss in future.result()]
