"""What every engine of ``benchmarks.peers`` does, and which engines there are; loads none."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from actbench.store.studies import FIRST_SEED

ACTIVATIONS = ("relu", "gelu", "sigmoid")
"""Keys of those that every engine knows."""

_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Work:
    """Trainings of the study's network, float32, on the CPU.

    Args:
        activation: Its key.
        members: Networks, of consecutive seeds
        epochs: Updates of each.
        weights: File of the initial weights from seed 42 on, for an engine that cannot draw them;
            by default they are drawn from the seeds.
        first_seed: Seed of the first network.
    """

    activation: str
    members: int
    epochs: int
    weights: Path | None = None
    first_seed: int = FIRST_SEED

    @property
    def seeds(self) -> range:
        """One seed per member."""
        return range(self.first_seed, self.first_seed + self.members)


Run: TypeAlias = Callable[[Work], Sequence[float]]
"""Does the work; returns each member's loss before the last update."""


@dataclass(frozen=True)
class Peer:
    """An engine.

    Args:
        key: On the command line.
        name: In tables.
        variants: Given the work and the CPU threads, ways to run the engine, by what tells them
            apart; raises ``ImportError`` where it is not installed.
        alone: Whether it trains one network after the other, so that timing a few will do.
    """

    key: str
    name: str
    variants: Callable[[Work, int], Mapping[str, Run]]
    alone: bool = False

    def part(self, work: Work) -> Work:
        """Return as much of some work as must be timed to know the time per training."""
        return replace(work, members=min(work.members, _CORES)) if self.alone else work


def _in(module: str, function: str) -> Callable[[Work, int], Mapping[str, Run]]:
    # A cold process must load what its own engine needs, and nothing else.
    def variants(work: Work, threads: int) -> Mapping[str, Run]:
        found: Mapping[str, Run] = getattr(import_module(module), function)(work, threads)
        return found

    return variants


PEERS = (
    Peer("loop", "plain loop", _in("benchmarks.torch_engines", "loop"), alone=True),
    Peer("vmap", "torch.func vmap + grad", _in("benchmarks.torch_engines", "vmap")),
    Peer("compile", "the same under torch.compile", _in("benchmarks.torch_engines", "compiled")),
    Peer("jax", "JAX jit + vmap + scan", _in("benchmarks.jax_engine", "scan")),
    Peer("stack", "actbench stack", _in("benchmarks.torch_engines", "stack")),
)
"""The plain loop first: the others are compared with it."""


# An engine in several processes, each on a core of its own with a share of the members.


def _keep_to_one_core(cores: Any) -> None:
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
    return ProcessPoolExecutor(count, context, _keep_to_one_core, (cores,))


def in_processes(key: str, variant: str, count: int, work: Work) -> Sequence[float]:
    """Do some work in processes that are kept for the next."""
    ends = [work.members * number // count for number in range(count + 1)]
    shares = [
        replace(work, members=end - start, first_seed=work.first_seed + start)
        for start, end in pairwise(ends)
        if end > start
    ]
    futures = [_pool(key, count).submit(_train, key, variant, share) for share in shares]
    return [loss for future in futures for loss in future.result()]
