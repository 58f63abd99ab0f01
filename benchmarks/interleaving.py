"""Engines timed in turn, so that the machine's moods strike all alike: warm, and as processes."""

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
from benchmarks.work import PEERS, Peer, Run, Work

Say = Callable[[str], object]

_FEW_EPOCHS = 5
_TRIALS = 2


@dataclass(frozen=True)
class Contestant:
    """An engine in the variant that is fastest here."""

    peer: Peer
    variant: str
    run: Run


@dataclass(frozen=True)
class Timing:
    """What an engine took.

    Args:
        name: Of the engine.
        variant: Its fastest.
        seconds: Per training, warm, one per round.
        loss: Median over the members before the last update.
        cold_seconds: Of a whole fresh process that trains all members, one per round.
    """

    name: str
    variant: str
    seconds: tuple[float, ...]
    loss: float
    cold_seconds: tuple[float, ...] = ()


def first_line(error: Exception) -> str:
    """Say in one line what a foreign library threw."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _settle_one(peer: Peer, work: Work, threads: int, stopwatch: Stopwatch) -> Contestant:
    few = replace(peer.part(work), epochs=_FEW_EPOCHS)
    variants = peer.variants(work, threads)

    def trial(name: str) -> float:
        variants[name](few)  # warm-up, and compilation
        return min(stopwatch.time(lambda: variants[name](few)) for _ in range(_TRIALS))

    best = min(variants, key=trial)
    return Contestant(peer, best, variants[best])


def settle(
    peers: Sequence[Peer], work: Work, threads: int, stopwatch: Stopwatch, say: Say
) -> list[Contestant]:
    """Run a few epochs of every variant of every engine, and keep each engine's fastest."""
    found = []
    for peer in peers:
        try:
            found.append(_settle_one(peer, work, threads, stopwatch))
        except Exception as error:  # whatever a foreign compiler throws must not end the run
            say(f"{peer.name} is left out: {first_line(error)}")
        else:
            say(f"{peer.name}: {found[-1].variant}")
    return found


def interleave(
    found: Sequence[Contestant],
    work: Work,
    rounds: int,
    stopwatch: Stopwatch,
    say: Say,
    control: Callable[[], object] = lambda: None,
) -> list[Timing]:
    """Time all engines in turn, after a round that is not timed."""
    losses: dict[str, float] = {}
    times: dict[str, list[float]] = {c.peer.name: [] for c in found}
    for number in range(rounds + 1):
        control()
        for contestant in found:
            name, part = contestant.peer.name, contestant.peer.part(work)
            if name not in times:
                continue
            start = stopwatch()
            try:
                losses[name] = statistics.median(contestant.run(part))
            except Exception as error:  # as above
                say(f"{name} is left out: {first_line(error)}")
                del times[name]
                continue
            if number:
                times[name].append((stopwatch() - start) / part.members)
        say(f"round {number} of {rounds} is done")
    return [
        Timing(c.peer.name, c.variant, tuple(times[c.peer.name]), losses[c.peer.name])
        for c in found
        if c.peer.name in times
    ]


def disagreement(found: Sequence[Contestant], work: Work) -> dict[str, float]:
    """Compare the engines' losses with the plain loop's, before they can part."""
    expected = found[0].run(found[0].peer.part(work))[0]
    return {c.peer.name: abs(c.run(work)[0] / expected - 1) for c in found[1:]}


# A whole process: start, imports, compilation, and the trainings.

_ROOT = Path(__file__).parents[1]
_KEPT_BY_JAX = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


@dataclass(frozen=True)
class Cold:
    """What an engine took in processes of its own."""

    variant: str
    seconds: tuple[float, ...]
    loss: float


Process = Callable[[Peer, str, Work, int], Sequence[float]]
"""Does the work with one variant of an engine and so many threads, in a process of its own."""


def run_one(key: str, variant: str, work: Work, threads: int) -> None:
    """Do the work in this process, and print the losses."""
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
    """Do the work with one engine in a fresh process whose compilers remember nothing."""
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
    """Write the initial weights to a file, for engines that would need torch to draw them."""
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
