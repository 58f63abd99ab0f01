"""Engines timed in turn, round after round, so that the machine's moods strike all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from actbench.store.environment import Stopwatch
from benchmarks.work import Peer, Run, Work

Say = Callable[[str], object]

_FEW_EPOCHS = 5
_TRIALS = 2


@dataclass(frozen=True)
class Contestant:
    """An engine in the variant that is fastest here.

    Args:
        peer: The engine.
        variant: What tells the variant from others.
        run: Does the work.
    """

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
    """Run a few epochs of every variant of every engine, and keep each engine's fastest.

    Args:
        peers: The engines; one that fails is left out, which is said.
        work: What they will do.
        threads: CPU threads that each may take.
        stopwatch: Times them.
        say: Told what is chosen, and what is left out and why.

    Returns:
        Those that work here.
    """
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
    """Time all engines in turn, after a round that is not timed.

    Args:
        found: The engines; one that fails is left out, which is said.
        work: What each does.
        rounds: Timed runs of each.
        stopwatch: Times them.
        say: Told about each round, and each failure.
        control: Called in each round, first.

    Returns:
        The timings of those that finished every round.
    """
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
    """Compare the engines' losses with the plain loop's, before they can part.

    Args:
        found: The engines, the plain loop first.
        work: Few epochs, so that rounding has not yet decided which kink is crossed.

    Returns:
        The largest relative difference of the first member's loss, by engine.
    """
    expected = found[0].run(found[0].peer.part(work))[0]
    return {c.peer.name: abs(c.run(work)[0] / expected - 1) for c in found[1:]}
