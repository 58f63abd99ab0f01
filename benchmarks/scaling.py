"""Time per training against the number of members: each engine in its best variant, and drawn."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from actbench.pages.colors import style_of
from actbench.store.environment import Stopwatch
from actbench.store.files import prepare_folder, write_atomic
from actbench.study.figures._marks import SMALL
from actbench.study.nets.engines import (
    PRODUCT_FLOP,
    PRODUCT_SIZE,
    flop_per_epoch,
    product,
    study_architecture,
)
from benchmarks.interleaving import Contestant, Say, first_line, settle
from benchmarks.work import Peer, Work

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TRAINING_EPOCHS = 500
_STANDARD = 20
"""Members that costs are relative to."""
_FEWEST_EPOCHS = 10
_SHORT = 5
"""Part of the epochs, one fifth, after which a run is short: two lengths tell the time of an epoch
from that of drawing and building the networks."""


@dataclass(frozen=True)
class Scaling:
    """Times per training of one activation.

    Args:
        activation: Its key.
        threads: CPU threads that each engine could take.
        rounds: Timed rounds.
        epochs: Longest run, by number of members.
        rates: Operations per second of the 2048 x 2048 product, by the library that computes it.
        seconds: Per training, one per round, by engine and number of members.
    """

    activation: str
    threads: int
    rounds: int
    epochs: Mapping[int, int]
    rates: Mapping[str, float]
    seconds: Mapping[str, Mapping[int, Sequence[float]]]

    @property
    def floors(self) -> dict[str, float]:
        """Seconds per training if nothing but products took time, at the measured rates."""
        flop = _TRAINING_EPOCHS * flop_per_epoch(study_architecture(self.activation))
        return {library: flop / rate for library, rate in self.rates.items()}

    def medians(self, name: str) -> dict[int, float]:
        """Give an engine's seconds per training by number of members."""
        return {n: statistics.median(found) for n, found in self.seconds[name].items() if found}


def epochs_for(members: int, epochs: int) -> int:
    """Choose how long to train so many networks."""
    return max(_FEWEST_EPOCHS, epochs * min(_STANDARD, members) // members)


def per_training(long: float, short: float, epochs: tuple[int, int], members: int) -> float:
    """Scale two runs of different lengths to one whole training of one member."""
    per_epoch = (long - short) / (epochs[0] - epochs[1])
    once = max(0.0, long - epochs[0] * per_epoch)
    return (once + _TRAINING_EPOCHS * per_epoch) / members


def _time(contestant: Contestant, work: Work, stopwatch: Stopwatch) -> float:
    part = contestant.peer.part(work)
    short = replace(part, epochs=part.epochs // _SHORT)
    long_s = stopwatch.time(lambda: contestant.run(part))
    short_s = stopwatch.time(lambda: contestant.run(short))
    return per_training(long_s, short_s, (part.epochs, short.epochs), part.members)


def products() -> dict[str, Callable[[], object]]:
    """Return the product of two 2048 x 2048 matrices by each library that is here, warmed up."""
    found: dict[str, Callable[[], object]] = {"torch": product(torch.device("cpu"))}
    try:
        from benchmarks.jax_engine import product as xla_product
    except ImportError:
        pass
    else:
        found["XLA"] = xla_product(PRODUCT_SIZE)
    for multiply in found.values():
        multiply()
    return found


def measure(
    peers: Sequence[Peer],
    activation: str,
    counts: Sequence[int],
    epochs: int,
    threads: int,
    rounds: int,
    say: Say,
) -> Scaling:
    """Time engines at several numbers of members, in turn, round after round."""
    stopwatch, multiply = Stopwatch(), products()
    works = {n: Work(activation, n, epochs_for(n, epochs)) for n in counts}
    found: dict[int, list[Contestant]] = {}
    left = list(peers)
    for n, work in works.items():
        say(f"{n} members:")
        found[n] = settle(left, work, threads, stopwatch, say)
        left = [contestant.peer for contestant in found[n]]
    seconds: dict[str, dict[int, list[float]]] = {p.name: {n: [] for n in counts} for p in peers}
    rates: dict[str, list[float]] = {library: [] for library in multiply}
    for number in range(rounds + 1):
        for n, work in works.items():
            for library, once in multiply.items():
                rates[library].append(PRODUCT_FLOP / stopwatch.time(once))
            for contestant in list(found[n]):
                try:
                    taken = _time(contestant, work, stopwatch)
                except Exception as error:  # memory may not do for a thousand members
                    say(f"{contestant.peer.name}, {n} members, is left out: {first_line(error)}")
                    found[n].remove(contestant)
                    continue
                if number:
                    seconds[contestant.peer.name][n].append(taken)
        say(f"round {number} of {rounds} is done")
    taken_by = {name: times for name, times in seconds.items() if any(times.values())}
    lengths = {n: work.epochs for n, work in works.items()}
    middle = {library: statistics.median(found) for library, found in rates.items()}
    return Scaling(activation, threads, rounds, lengths, middle, taken_by)


def growth(times: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Compare the cost per member with that at 20 members."""
    standard = times.get(_STANDARD)
    if not standard:
        return {}
    return {
        n: statistics.median(now / then for now, then in zip(times[n], standard, strict=True))
        for n in (_STANDARD, 100, 1000)
        if len(times.get(n, ())) == len(standard)
    }


def markdown(scaling: Scaling) -> list[str]:
    """Lay out the times as a Markdown table, and the cost per member below it."""
    counts = list(scaling.epochs)
    lines = [
        f"| {scaling.activation}, s per training | " + " | ".join(map(str, counts)) + " |",
        "|---" * (len(counts) + 1) + "|",
        "| epochs timed | " + " | ".join(str(scaling.epochs[n]) for n in counts) + " |",
    ]
    for name in scaling.seconds:
        medians = scaling.medians(name)
        cells = [f"{medians[n]:.3f}" if n in medians else "-" for n in counts]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for library, floor in scaling.floors.items():
        cells = [f"{floor:.3f}"] * len(counts)
        lines.append(f"| floor of {library}'s product | " + " | ".join(cells) + " |")
    lines.append("")
    for name, times in scaling.seconds.items():
        costs = ", ".join(f"{n}: {ratio:.2f}" for n, ratio in growth(times).items())
        if costs:
            lines.append(f"{name}, cost per member relative to that at {_STANDARD}: {costs}")
    return lines


_LINES: Final = (
    ("#000000", ":", "s"),
    ("#009E73", "-.", "X"),
    ("#882255", "--", "^"),
    ("#D55E00", "--", "v"),
    ("#0072B2", "-", "o"),
)
_FLOOR: Final = "#666666"
_FLOOR_DASHES: Final = ((0, (1, 1.5)), (0, (6, 2, 1, 2)))


def draw(scaling: Scaling, styles: tuple[str, ...]) -> Figure:
    """Draw each engine's time per training, and the floors that the product's rates set."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in scaling.seconds:
        medians = scaling.medians(name)
        color, linestyle, marker = _LINES[styles.index(name) % len(_LINES)]
        axes.loglog(
            list(medians),
            list(medians.values()),
            color=color,
            linestyle=linestyle,
            marker=marker,
            markersize=5,
            linewidth=1.8,
            label=name,
            gid=f"engine-{name}",
        )
    for (library, floor), dashes in zip(scaling.floors.items(), _FLOOR_DASHES, strict=False):
        axes.axhline(
            floor,
            color=_FLOOR,
            linestyle=dashes,
            linewidth=1.2,
            zorder=1,
            gid=f"floor-{library}",
            label=f"floor: {library}'s product alone, {scaling.rates[library] / 1e9:.0f} GFLOP/s",
        )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(FuncFormatter(_few))
    axes.tick_params(axis="y", which="minor", labelsize=SMALL)
    axes.set_xlabel("members trained together")
    axes.set_ylabel(f"seconds per training of {_TRAINING_EPOCHS} epochs")
    threads = f"{scaling.threads} CPU thread" + ("s" if scaling.threads > 1 else "")
    axes.set_title(
        f"One training of the study's {style_of(scaling.activation).name} network, up to {threads}",
        fontsize=11,
    )
    axes.grid(alpha=0.25, which="both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _few(value: float, _: object) -> str:
    text = f"{value:g}"
    return text if text.strip("0.")[0] in "235" else ""


def save(figure: Figure, path: Path) -> None:
    """Write the figure, whole or not at all."""
    prepare_folder(path.parent)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
