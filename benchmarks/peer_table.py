"""The table of ``benchmarks.peers``: one line per engine."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from actbench.store.environment import Stopwatch
from actbench.study.nets.engines import PRODUCT_FLOP, flop_per_epoch, product, study_architecture
from benchmarks.interleaving import (
    Cold,
    Say,
    Timing,
    disagreement,
    interleave,
    settle,
    store_weights,
    time_cold,
)
from benchmarks.work import Peer, Work

_COMPARED_EPOCHS = 10
_SAME_AT_FIRST = 1e-4
_SAME_LOSS = 0.05
"""Share by which medians over the members may differ once rounding decides which kinks are
crossed; over the first 20 epochs every engine agrees to 1e-5."""


@dataclass(frozen=True)
class Settings:
    """How engines are timed."""

    threads: int
    rounds: int
    cold: bool = False


def markdown(
    timings: Sequence[Timing], work: Work, rate: float, cold: Mapping[str, Cold] | None = None
) -> list[str]:
    """Lay out the timings as a Markdown table."""
    flop = work.epochs * flop_per_epoch(study_architecture(work.activation))
    loop = statistics.median(timings[0].seconds)
    head = ["s per training", "against the loop", "share of product rate", "final loss"]
    if cold:
        head.append(f"cold process, all {work.members}")
    lines = [
        f"| {work.activation}, {work.members} members | " + " | ".join(head) + " |",
        "|---" * (len(head) + 1) + "|",
    ]
    for timing in timings:
        middle = statistics.median(timing.seconds)
        cells = [
            f"{timing.name} ({timing.variant})",
            f"{middle:.3f}",
            f"{loop / middle:.1f}x",
            f"{flop / middle / rate:.0%}",
            f"{timing.loss:.5f}",
        ]
        if cold:
            found = cold.get(timing.name)
            cells.append(
                f"{statistics.median(found.seconds):.1f} s ({found.variant})" if found else "-"
            )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def disagreeing(
    timings: Sequence[Timing], alone: Sequence[str], cold: Mapping[str, Cold]
) -> list[str]:
    """Find engines whose trainings ended elsewhere."""
    losses = {t.name: t.loss for t in timings if t.name not in alone}
    losses |= {f"{name} from cold": found.loss for name, found in cold.items()}
    middle = statistics.median(losses.values()) if losses else math.nan
    return [n for n, loss in losses.items() if not abs(loss - middle) <= _SAME_LOSS * middle]


def _time_cold(peers: Sequence[Peer], work: Work, settings: Settings, say: Say) -> dict[str, Cold]:
    with tempfile.TemporaryDirectory() as folder:
        given = store_weights(work, Path(folder))
        return time_cold(peers, given, settings.threads, settings.rounds, Stopwatch(), say)


def compare(peers: Sequence[Peer], work: Work, settings: Settings, say: Say) -> list[str]:
    """Time the engines on some work, and print the table."""
    found = settle(peers, work, settings.threads, Stopwatch(), say)
    if not found:
        return ["no engine works here"]
    differences = disagreement(found, replace(work, epochs=_COMPARED_EPOCHS))
    rates: list[float] = []
    multiply = product(torch.device("cpu"))
    multiply()

    def control() -> None:
        rates.append(PRODUCT_FLOP / Stopwatch().time(multiply))

    timings = interleave(found, work, settings.rounds, Stopwatch(), say, control)
    cold = _time_cold([c.peer for c in found], work, settings, say) if settings.cold else {}
    rate = statistics.median(rates)
    print("\n".join(markdown(timings, work, rate, cold)))
    far = [n for n, d in differences.items() if not d <= _SAME_AT_FIRST]
    far += disagreeing(timings, [c.peer.name for c in found if c.peer.alone], cold)
    worst = max(differences.values(), default=0.0)
    verdict = f"NOT the same losses: {', '.join(far)}" if far else "the same losses"
    print(
        f"\n{verdict} (after {_COMPARED_EPOCHS} epochs within {worst:.1g} of the first engine; "
        f"medians over members after {work.epochs} within {_SAME_LOSS:.0%}). Medians of "
        f"{settings.rounds} interleaved rounds, float32, up to {settings.threads} CPU threads, "
        f"{work.epochs} epochs, torch {torch.__version__}, 2048^3 product at "
        f"{rate / 1e9:.0f} GFLOP/s.\n"
    )
    return far
