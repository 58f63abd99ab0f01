"""What a sweep costs beside its trainings: ``python -m benchmarks.sweeps``.

Three questions, each by real Dask workers on this machine:

- efficiency: the time of one worker over twice that of two, in interleaved rounds, and the same of
  plain processes without a scheduler
- overhead: the share of the workers' time in which they did not train, at the default chunk
- memory: the peak of client and worker from 10^3 members to 10^5, at chunks of one size
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

from actbench.store import environment
from actbench.study.sweeps import clusters, grid_files, stores
from actbench.study.sweeps import running as sweeps
from actbench.study.sweeps.grids import Grid

_STUDY = """
[settings]
epochs = {epochs}
[grid]
activation = ["relu", "gelu"]
seed = {seeds}
"""
_TINY = """
[settings]
epochs = 2
points = 8
depth = 1
width = 4
[grid]
activation = ["relu"]
seed = {seeds}
"""
_MEMORY_CHUNK = 500


def _grid(text: str, **values: int) -> Grid:
    return grid_files.build(tomllib.loads(text.format(**values)))


def _nothing(done: int) -> None:
    pass


def _store(folder: Path, grid: Grid, chunk: int | None = None) -> stores.Store:
    path = folder / f"{time.monotonic_ns()}.zarr"
    chosen = chunk or sweeps.default_chunk(grid)
    return stores.open_or_create(path, grid, chosen, environment.describe("cpu", 1))


def _run(store: stores.Store, address: str) -> float:
    failures = sweeps.Failures(print)
    start = time.perf_counter()
    clusters.run(store, range(store.chunks), address, _nothing, failures)
    return time.perf_counter() - start


def _warm_up(folder: Path, address: str) -> None:
    """Have every worker load torch and train something."""
    _run(_store(folder, _grid(_STUDY, epochs=2, seeds=8), 1), address)


def _efficiency(folder: Path, grid: Grid, rounds: int) -> None:
    """Time one and two workers in turn, beside plain processes that train the same chunks.

    What plain processes lose is the machine's: its cores share caches, memory and clock.
    """
    sweep: dict[int, list[float]] = {1: [], 2: []}
    plain: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count in (1, 2):
            with clusters.local_workers(count) as address:
                _warm_up(folder, address)
                sweep[count].append(_run(_store(folder, grid), address))
            plain[count].append(_plain_seconds(grid, count))
    store = _store(folder, grid)
    print(f"{grid.size} members, {store.chunks} chunks of {store.chunk}")
    for name, times in (("sweep", sweep), ("plain processes", plain)):
        shares = [one / (2 * two) for one, two in zip(times[1], times[2], strict=True)]
        print(
            f"{name}: 1 worker {median(times[1]):.1f} s, 2 workers {median(times[2]):.1f} s; "
            f"efficiency {median(shares):.3f} (rounds: {', '.join(f'{s:.3f}' for s in shares)})"
        )


def _plain_seconds(grid: Grid, count: int) -> float:
    size = sweeps.default_chunk(grid)
    starts = range(0, grid.size, size)
    spawning = multiprocessing.get_context("spawn")  # a forked torch may wait for lost threads
    with ProcessPoolExecutor(count, spawning, torch.set_num_threads, (1,)) as pool:
        tiny = _grid(_STUDY, epochs=2, seeds=1)
        list(pool.map(sweeps.train_chunk, [tiny] * count, [0] * count, [2] * count))
        start = time.perf_counter()
        ends = [min(first + size, grid.size) for first in starts]
        list(pool.map(sweeps.train_chunk, [grid] * len(ends), starts, ends))
        return time.perf_counter() - start


def _overhead(folder: Path, grid: Grid, rounds: int, workers: int) -> None:
    """Compare the time for which workers trained with the time that they were held."""
    from distributed import Client

    shares, lengths = [], []
    store = _store(folder, grid)
    with clusters.local_workers(workers) as address:
        _warm_up(folder, address)
        with Client(address, set_as_default=False) as watcher:
            watcher.get_task_stream()  # from here on the scheduler notes what was done when
            for _ in range(rounds):
                store, begun = _store(folder, grid), time.time()
                wall = _run(store, address)
                tasks = [t for t in watcher.get_task_stream(start=begun) if "train" in t["key"]]
                trained = [
                    part["stop"] - part["start"]
                    for task in tasks
                    for part in task["startstops"]
                    if part["action"] == "compute"
                ]
                shares.append(1 - sum(trained) / (wall * workers))
                lengths.append(median(trained))
    print(
        f"{grid.size} members of {grid.common.epochs} epochs, {store.chunks} chunks of "
        f"{store.chunk} ({median(lengths):.2f} s each), {workers} worker(s): overhead "
        f"{median(shares):.2%} (rounds: {', '.join(f'{s:.2%}' for s in shares)})"
    )


def memory() -> None:
    """Run ever more members, each number in processes of its own, and print the peaks."""
    for members in (10**3, 10**4, 10**5):
        done = subprocess.run(  # noqa: S603 - this very script
            [sys.executable, "-m", "benchmarks.sweeps", "one-memory", str(members)],
            check=True,
            stdout=subprocess.PIPE,
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{members:>7} members, {found['chunks']:>3} chunks of {_MEMORY_CHUNK}: client "
            f"{found['client_mb']:.0f} MB, worker {found['worker_mb']:.0f} MB, "
            f"{found['seconds']:.0f} s",
            flush=True,
        )


def _one_memory(folder: Path, members: int) -> None:
    """Run a sweep and print the peaks as JSON."""
    from distributed import Client

    store = _store(folder, _grid(_TINY, seeds=members), _MEMORY_CHUNK)
    with clusters.local_workers(1) as address:
        seconds = _run(store, address)
        with Client(address, set_as_default=False) as client:
            (worker,) = client.run(_peak_mb).values()
    found = {
        "chunks": store.chunks,
        "client_mb": _peak_mb(),
        "worker_mb": worker,
        "seconds": seconds,
    }
    print(json.dumps(found))


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Answer what is asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweeps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    questions = ("all", "efficiency", "overhead", "memory", "one-memory")
    parser.add_argument("question", nargs="?", default="all", choices=questions)
    parser.add_argument("members", nargs="?", type=int, default=1000, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100, help="of the study's network")
    parser.add_argument("--seeds", type=int, default=264, help="for each of two activations")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = _grid(_STUDY, epochs=asked.epochs, seeds=asked.seeds)
        if asked.question in {"all", "efficiency"}:
            _efficiency(folder, grid, asked.rounds)
        if asked.question in {"all", "overhead"}:
            for workers in (1, 2):
                _overhead(folder, grid, asked.rounds, workers)
        if asked.question in {"all", "memory"}:
            memory()
        if asked.question == "one-memory":
            _one_memory(folder, asked.members)


if __name__ == "__main__":
    main()
