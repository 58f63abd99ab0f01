"""Where an epoch of a stack goes, operation by operation, and how fast its products could be."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from actbench.store.environment import Stopwatch
from actbench.study.nets import devices
from actbench.study.nets.engines import (
    POINTS,
    PRODUCT_FLOP,
    StackOf,
    flop_per_epoch,
    product,
    study_architecture,
)
from actbench.study.nets.training import Schedule, stack_sizes
from benchmarks.scaling import products

_CPU = torch.device("cpu")
_MEMBERS = 20
_EPOCHS = 40
_WARM_UP_EPOCHS = 5
_REPEATS = 100

PRODUCTS, ADAM, PYTHON = "products", "Adam", "Python and calls"
_KINDS: Mapping[str, tuple[str, ...]] = {
    PRODUCTS: ("bmm", "baddbmm"),
    "bias and its gradient": ("copy_", "sum", "add_"),
    "activation": ("relu_", "clamp_min_", "gelu", "sigmoid_", "tanh_", "elu_", "silu"),
    ADAM: ("_fused_adam_", "_foreach_add_", "Optimizer.step#Adam.step"),
    "first and last layer, loss": ("mul", "mul_", "sub_", "pow", "square", "mean", "div_"),
}
_DERIVATIVE = "derivative"


class Event(Protocol):
    """One call of an operation, as torch's profiler reports it."""

    name: str
    self_cpu_time_total: float


@dataclass(frozen=True)
class _Profile:
    """Where an epoch goes, on one thread.

    Args:
        activation: Key.
        members: In one stack.
        seconds: Per epoch of a stack, without the profiler.
        shares: Of these seconds, by kind; they sum to 1.
        rate: Operations per second of the 2048 x 2048 product.
        isolated_rate: Of the stack's products by themselves, again and again on the same numbers.
    """

    activation: str
    members: int
    seconds: float
    shares: Mapping[str, float]
    rate: float
    isolated_rate: float

    @property
    def flop(self) -> int:
        """Operations of the products of one epoch."""
        return self.members * flop_per_epoch(study_architecture(self.activation))

    @property
    def product_rate(self) -> float:
        """Operations per second while the products run in a training."""
        return self.flop / (self.seconds * self.shares[PRODUCTS])

    def share_reached(self, rest: float) -> float:
        """Give the share of the 2048 x 2048 product's rate, were the products as fast as isolated.

        What else an epoch takes, ``rest``, is a share of its seconds today.
        """
        seconds = self.flop / self.isolated_rate + self.seconds * rest
        return self.flop / seconds / self.rate


def kind_of(operation: str) -> str:
    """Sort an operation into what it does for training."""
    name = operation.removeprefix("aten::")
    if name.endswith("_backward"):
        return _DERIVATIVE
    return next((kind for kind, names in _KINDS.items() if name in names), PYTHON)


def seconds_by_kind(events: Iterable[Event], epochs: int) -> dict[str, float]:
    """Add up what each operation took, epoch by epoch, and take the median epoch of each.

    A sum over all epochs would count what other programs did meanwhile.
    """
    by_name: dict[str, list[float]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event.self_cpu_time_total / 1e6)
    found: dict[str, float] = {}
    for name, times in by_name.items():
        kind, calls = kind_of(name), len(times) // epochs
        if kind != PYTHON and calls:
            sums = [sum(times[n * calls : (n + 1) * calls]) for n in range(epochs)]
            found[kind] = found.get(kind, 0.0) + statistics.median(sums)
    return found


def _events(stack: StackOf, epochs: int) -> list[Event]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        stack.train(epochs)
    return list(profiler.events() or ())


def operations(activation: str) -> set[str]:
    """List what one epoch of a stack calls."""
    stack = StackOf(2, activation, _CPU)
    stack.train(1)  # Adam makes room for its moments
    return {event.name for event in _events(stack, 1)}


def _isolated(members: int, width: int) -> tuple[Callable[[], None], int]:
    """The three products of a hidden layer: forward, weights' gradient, inputs' gradient."""
    a = torch.linspace(-1, 1, members * POINTS * width).view(members, POINTS, width)
    w = torch.linspace(-1, 1, members * width**2).view(members, width, width)
    out, gradient = torch.empty_like(a), torch.empty_like(w)

    def multiply() -> None:
        for _ in range(_REPEATS):
            torch.bmm(a, w.mT, out=out)
            torch.bmm(a.mT, out, out=gradient)
            torch.bmm(a, w, out=out)

    return multiply, _REPEATS * 3 * 2 * members * POINTS * width**2


def profile_epoch(activation: str, rounds: int) -> _Profile:
    """Time, on one thread and in turn: the controls, a stack by itself, and under the profiler.

    All but the profiler reads the time that the thread was given, not that on the wall, and an
    epoch is a median one, so that other programs hardly show.
    """
    architecture, stopwatch = study_architecture(activation), Stopwatch(clock=time.thread_time)
    members = stack_sizes(architecture, _MEMBERS, POINTS, Schedule())[0]
    seconds: list[float] = []
    rates: list[float] = []
    isolated_rates: list[float] = []
    kinds: dict[str, list[float]] = defaultdict(list)
    with devices.using_threads(1):
        stack, multiply = StackOf(members, activation, _CPU), product(_CPU)
        isolated, isolated_flop = _isolated(members, architecture.width)
        for warm_up in (multiply, isolated, lambda: stack.train(_WARM_UP_EPOCHS)):
            warm_up()
        for _ in range(rounds):
            rates.append(PRODUCT_FLOP / stopwatch.time(multiply))
            isolated_rates.append(isolated_flop / stopwatch.time(isolated))
            seconds += [stopwatch.time(lambda: stack.train(1)) for _ in range(_EPOCHS)]
            for kind, taken in seconds_by_kind(_events(stack, _EPOCHS), _EPOCHS).items():
                kinds[kind].append(taken)
    epoch = statistics.median(seconds)
    shares = {kind: statistics.median(taken) / epoch for kind, taken in kinds.items()}
    shares[PYTHON] = max(0.0, 1 - sum(shares.values()))
    total = sum(shares.values())  # above 1 where the profiler itself took longer than Python
    return _Profile(
        activation,
        members,
        epoch,
        {kind: share / total for kind, share in shares.items()},
        statistics.median(rates),
        statistics.median(isolated_rates),
    )


def compared_with_xla(rounds: int) -> str:
    """Compare the product of the library behind torch with that of XLA, in turn.

    XLA takes every core that it may, so seconds are those that cores spent, whichever and however
    many they were.
    """
    stopwatch = Stopwatch(clock=time.process_time)
    with devices.using_threads(1):
        works = products()
        if "XLA" not in works:
            return "XLA's own product is not timed: JAX is not installed."
        times = [[stopwatch.time(work) for work in works.values()] for _ in range(rounds)]
    torch_rate, xla_rate = (
        PRODUCT_FLOP / statistics.median(column) / 1e9 for column in zip(*times, strict=True)
    )
    return (
        f"2048^3 product, per second of one core: torch {torch_rate:.0f} GFLOP, XLA "
        f"{xla_rate:.0f} GFLOP ({xla_rate / torch_rate:.2f} times)."
    )


def markdown(profile: _Profile) -> list[str]:
    """Lay out a profile as a Markdown table, and the floors below it."""
    lines = [
        f"| {profile.activation}, stack of {profile.members}, 1 thread | share of an epoch |",
        "|---|---|",
    ]
    ordered = sorted(profile.shares.items(), key=lambda item: -item[1])
    lines += [f"| {kind} | {share:.1%} |" for kind, share in ordered]
    reached = profile.flop / profile.seconds / profile.rate
    isolated = profile.isolated_rate / profile.rate
    rest = 1 - profile.shares[PRODUCTS]
    best = profile.share_reached(rest)
    without = profile.share_reached(rest - profile.shares[PYTHON])
    return [
        *lines,
        "",
        f"An epoch reaches {reached:.0%} of the 2048^3 product's {profile.rate / 1e9:.0f} GFLOP/s. "
        f"Its products run at {profile.product_rate / profile.rate:.0%}; by themselves, on numbers "
        f"that stay in the nearest cache, at {isolated:.0%}. If they ran so in a training, it "
        f"would reach {best:.0%}; without Python too, {without:.0%}; with nothing but products, "
        f"{isolated:.0%}.",
    ]
