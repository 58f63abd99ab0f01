"""The time of a whole process: start, imports, compilation, and the trainings."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actbench.store.environment import Stopwatch
from benchmarks.interleaving import Say, first_line
from benchmarks.work import PEERS, Peer, Work

_ROOT = Path(__file__).parents[1]
_KEPT_BY_JAX = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


@dataclass(frozen=True)
class Cold:
    """What an engine took in processes of its own.

    Args:
        variant: Its fastest.
        seconds: Of all members together, one per round.
        loss: Median over the members before the last update.
    """

    variant: str
    seconds: tuple[float, ...]
    loss: float


Process = Callable[[Peer, str, Work, int], Sequence[float]]
"""Does the work with one variant of an engine and so many threads, in a process of its own."""


def run_one(key: str, variant: str, work: Work, threads: int) -> None:
    """Do the work in this process, and print the losses.

    Args:
        key: Of the engine.
        variant: One that it offers.
        work: What to do.
        threads: CPU threads.
    """
    peer = next(peer for peer in PEERS if peer.key == key)
    losses = peer.variants(work, threads)[variant](work)
    print(json.dumps(list(losses)))


def _environment(caches: str) -> Mapping[str, str]:
    """What compilers have kept on disk from other processes would make the process a warm one."""
    environment = {k: v for k, v in os.environ.items() if k not in _KEPT_BY_JAX}
    paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(paths),
        "TORCHINDUCTOR_CACHE_DIR": caches,
        "TRITON_CACHE_DIR": caches,
    }


def in_fresh_process(peer: Peer, variant: str, work: Work, threads: int) -> Sequence[float]:
    """Do the work with one engine in a fresh process whose compilers remember nothing.

    Args:
        peer: The engine.
        variant: One that it offers.
        work: What to do.
        threads: CPU threads.

    Returns:
        Each member's loss before the last update.

    Raises:
        RuntimeError: The process failed; the text is its last line.
    """
    options = {
        "--one": peer.key,
        "--variant": variant,
        "--activation": work.activation,
        "--members": work.members,
        "--epochs": work.epochs,
        "--threads": threads,
    }
    if work.weights is not None:
        options["--weights"] = work.weights
    arguments = [str(word) for pair in options.items() for word in pair]
    with tempfile.TemporaryDirectory() as caches:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.peers", *arguments],
            env=_environment(caches),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError((done.stderr.splitlines() or ["no message"])[-1])
    losses: list[float] = json.loads(done.stdout.splitlines()[-1])
    return losses


def store_weights(work: Work, folder: Path) -> Work:
    """Write the initial weights to a file, for engines that would need torch to draw them.

    Args:
        work: Says which.
        folder: Where.

    Returns:
        The same work, with the file.
    """
    import numpy as np

    from benchmarks.torch_engines import initial_weights

    path = folder / "weights.npz"
    weights = initial_weights(work)
    np.savez(path, *(tensor.numpy() for tensor in weights))
    return replace(work, weights=path)


def time_cold(
    peers: Sequence[Peer],
    work: Work,
    threads: int,
    rounds: int,
    stopwatch: Stopwatch,
    say: Say,
    process: Process = in_fresh_process,
) -> dict[str, Cold]:
    """Time a fresh process per engine, in turn, in the variant that was fastest in a first round.

    That round is not counted: it also brings the libraries' files into memory.

    Args:
        peers: The engines; one that fails is left out, which is said.
        work: What each does, with all members.
        threads: CPU threads that each may take.
        rounds: Timed processes of each.
        stopwatch: Times them.
        say: Told what is chosen, and what is left out and why.
        process: Does the work in a process of its own.

    Returns:
        What each took, by name.
    """
    best: dict[str, tuple[Peer, str]] = {}
    for peer in peers:
        try:
            trials = {
                variant: stopwatch.time(lambda v=variant: process(peer, v, work, threads))  # type: ignore[misc]  # noqa: B023 - called at once
                for variant in peer.variants(work, threads)
            }
        except Exception as error:  # whatever a foreign compiler throws must not end the run
            say(f"{peer.name} is left out of cold processes: {first_line(error)}")
            continue
        best[peer.name] = (peer, min(trials, key=lambda v: trials[v]))
        say(f"{peer.name}, cold: {best[peer.name][1]}")
    times: dict[str, list[float]] = {name: [] for name in best}
    losses: dict[str, Sequence[float]] = {}
    for number in range(rounds):
        for name, (peer, variant) in best.items():
            start = stopwatch()
            losses[name] = process(peer, variant, work, threads)
            times[name].append(stopwatch() - start)
        say(f"cold round {number + 1} of {rounds} is done")
    return {
        name: Cold(variant, tuple(times[name]), statistics.median(losses[name]))
        for name, (_, variant) in best.items()
    }
