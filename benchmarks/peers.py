"""The same trainings by several engines, interleaved in one run: ``python -m benchmarks.peers``."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actbench import activations, devices, initializers, targets
from actbench.engines import (
    POINTS,
    PRODUCT_FLOP,
    PlainLoop,
    data,
    flop_per_epoch,
    product,
    study_architecture,
    train_for,
)
from actbench.networks import linear_layers, seeded_network
from actbench.seeds import FIRST_SEED
from actbench.stopwatch import Stopwatch
from actbench.training import Member, Schedule, train

_LEARNING_RATE, _BETA_1, _BETA_2, _EPSILON = 1e-3, 0.9, 0.999, 1e-8
_CPU = torch.device("cpu")
_FEW_EPOCHS = 5
_SAME_LOSS = 0.05
"""Share by which medians over the members may differ once rounding decides which kinks are
crossed; over the first 20 epochs every engine agrees to 1e-5."""


@dataclass(frozen=True)
class Work:
    """What every engine does.

    Args:
        activation: Its key.
        members: Networks, of seeds 42, 43, ...
        epochs: Updates of each.
    """

    activation: str
    members: int
    epochs: int

    @property
    def seeds(self) -> range:
        """One seed per member."""
        return range(FIRST_SEED, FIRST_SEED + self.members)


@dataclass(frozen=True)
class Peer:
    """An engine.

    Args:
        name: In the table.
        run: Does the work; returns each member's loss before the last update.
        share: Part of the members that one run trains; its time is divided by it.
    """

    name: str
    run: Callable[[Work], Sequence[float]]
    share: Callable[[Work], float] = lambda work: 1.0


def _loop(threads: int) -> Callable[[Work], Sequence[float]]:
    def run(work: Work) -> Sequence[float]:
        with devices.using_threads(threads):
            losses = train_for(PlainLoop(work.activation, _CPU), work.epochs)
        return [float(loss) for loss in losses]

    return run


def _stack(threads: int) -> Callable[[Work], Sequence[float]]:
    def run(work: Work) -> Sequence[float]:
        initializer = initializers.get("torch_default")
        members = [Member(seed, initializer) for seed in work.seeds]
        target = targets.noisy_sine(POINTS)
        training = train(
            study_architecture(work.activation),
            members,
            Schedule(epochs=work.epochs),
            target.x,
            target.noisy,
            threads=threads,
        )
        return [float(loss) for loss in training.loss[:, -1]]

    return run


def _initial(work: Work) -> list[Tensor]:
    """Weights and biases of each layer in turn, each with a leading member axis."""
    initializer = initializers.get("torch_default")
    architecture = study_architecture(work.activation)
    networks = [seeded_network(architecture, initializer, seed) for seed in work.seeds]
    parts = [
        [tensor for layer in linear_layers(n) for tensor in (layer.weight, layer.bias)]
        for n in networks
    ]
    return [torch.stack([t.detach() for t in same]) for same in zip(*parts, strict=True)]


def _torch_loss(activation: nn.Module, x: Tensor, y: Tensor) -> Callable[..., Tensor]:
    def loss(*parameters: Tensor) -> Tensor:
        a = x
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            a = activation(nn.functional.linear(a, weight, bias))
        output = nn.functional.linear(a, parameters[-2], parameters[-1])
        return nn.functional.mse_loss(output, y)

    return loss


def _vmap(compiled: bool, threads: int) -> Callable[[Work], Sequence[float]]:
    """``torch.func``: one network as a function, its gradient vectorized over the members."""
    kept: dict[str, Callable[..., Any]] = {}

    def gradients(work: Work) -> Callable[..., Any]:
        if work.activation not in kept:
            x, y = data(_CPU, "float32")
            activation = activations.get(work.activation).module()
            count = 2 * len(study_architecture(work.activation).layer_shapes)
            one = torch.func.grad_and_value(
                _torch_loss(activation, x, y), argnums=tuple(range(count))
            )
            many = torch.func.vmap(one)
            kept[work.activation] = torch.compile(many) if compiled else many
        return kept[work.activation]

    def run(work: Work) -> Sequence[float]:
        with devices.using_threads(threads):
            parameters = _initial(work)
            optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)
            compute = gradients(work)
            for _ in range(work.epochs):
                found, losses = compute(*parameters)
                for parameter, gradient in zip(parameters, found, strict=True):
                    parameter.grad = gradient
                optimizer.step()
            result: list[float] = losses.tolist()
        return result

    return run


def _jax() -> Callable[[Work], Sequence[float]]:
    """JAX: value_and_grad, vmap over the members, scan over the epochs, jit around all."""
    import jax
    import jax.numpy as jnp

    functions: dict[str, Callable[[Any], Any]] = {
        "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid,
        "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    }
    inputs, goals = (jnp.asarray(t.numpy()) for t in data(_CPU, "float32"))
    kept: dict[Work, Callable[..., Any]] = {}

    def compiled(work: Work) -> Callable[..., Any]:
        activation = functions[work.activation]

        def loss(parameters: Any) -> Any:
            a = inputs
            for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
                a = activation(a @ weight.T + bias)
            return jnp.mean((a @ parameters[-2].T + parameters[-1] - goals) ** 2)

        def update(state: Any, step: Any) -> Any:
            parameters, first, second = state
            value, gradient = jax.value_and_grad(loss)(parameters)
            tree = jax.tree_util.tree_map
            first = tree(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
            second = tree(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g * g, second, gradient)
            rate = _LEARNING_RATE / (1 - _BETA_1**step)
            root = jnp.sqrt(1 - _BETA_2**step)
            parameters = tree(
                lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + _EPSILON),
                parameters,
                first,
                second,
            )
            return (parameters, first, second), value

        def whole(parameters: Any) -> Any:
            zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)
            steps = jnp.arange(1, work.epochs + 1, dtype=jnp.float32)
            return jax.lax.scan(update, (parameters, zeros, zeros), steps)[1][-1]

        return jax.jit(jax.vmap(whole))  # type: ignore[no-any-return,unused-ignore]

    def run(work: Work) -> Sequence[float]:
        if work not in kept:
            kept[work] = compiled(work)
        start = [jnp.asarray(t.numpy()) for t in _initial(work)]
        return [float(loss) for loss in kept[work](start)]

    return run


def _better(
    name: str,
    engine: Callable[[int], Callable[[Work], Sequence[float]]],
    threads: int,
    share: Callable[[Work], float] = lambda work: 1.0,
) -> Peer:
    """Give an engine one thread or all, whichever finishes a few epochs first, at its first run.

    Two threads that share products this small can take many times as long as one.
    """
    chosen: list[Callable[[Work], Sequence[float]]] = []

    def run(work: Work) -> Sequence[float]:
        if not chosen:
            few = Work(work.activation, work.members, _FEW_EPOCHS)
            stopwatch, candidates = Stopwatch(), [engine(t) for t in sorted({1, threads})]
            for candidate in candidates:
                candidate(few)  # warm-up, and compilation
            chosen.append(min(candidates, key=lambda c: stopwatch.time(lambda: c(few))))
        return chosen[0](work)

    return Peer(name, run, share)


def peers(threads: int, say: Callable[[str], object]) -> list[Peer]:
    """List the engines that may work here.

    Args:
        threads: CPU threads of the stack; the loop and vmap take so many or one, as is better.
        say: Told what is left out, and why.

    Returns:
        The plain loop, ``torch.func``, ``torch.compile``, JAX where
        it is installed, and the stack.
    """

    def one_member(work: Work) -> float:
        return 1 / work.members

    found = [
        _better("plain loop", _loop, threads, one_member),
        _better("torch.func vmap + grad", partial(_vmap, False), threads),
        _better("the same under torch.compile", partial(_vmap, True), threads),
    ]
    try:
        found.append(Peer("JAX jit + vmap + scan", _jax()))
    except ImportError:
        say("JAX is left out: it is not installed")
    return [*found, Peer("actbench stack", _stack(threads))]


@dataclass(frozen=True)
class Timing:
    """What an engine took.

    Args:
        name: Of the engine.
        first: Seconds per training of its first run, compilation included.
        seconds: Per training, of each further run.
        loss: Median over the members before the last update.
    """

    name: str
    first: float
    seconds: tuple[float, ...]
    loss: float


def interleave(
    found: Sequence[Peer], work: Work, rounds: int, stopwatch: Stopwatch, say: Callable[[str], None]
) -> tuple[list[Timing], float]:
    """Time all engines in turn, round after round, so that the machine's moods strike all alike.

    Args:
        found: The engines; one that fails is left out, which is said.
        work: What each does.
        rounds: Timed runs of each, after its first.
        stopwatch: Times them.
        say: Told about each first run and each failure.

    Returns:
        The timings, and the median rate of the 2048 x 2048 product in operations per second.
    """
    multiply = product(_CPU)
    multiply()
    first: dict[str, float] = {}
    losses: dict[str, float] = {}
    times: dict[str, list[float]] = {}
    rates: list[float] = []
    for number in range(rounds + 1):
        rates.append(PRODUCT_FLOP / stopwatch.time(multiply))
        for peer in found:
            if number and peer.name not in first:
                continue
            start = stopwatch()
            try:
                result = peer.run(work)
            except Exception as error:  # whatever a foreign compiler throws must not end the run
                first_line = str(error).partition("\n")[0]
                say(f"{peer.name} is left out: {type(error).__name__}: {first_line}")
                first.pop(peer.name, None)
                continue
            seconds = (stopwatch() - start) / (work.members * peer.share(work))
            if number:
                times.setdefault(peer.name, []).append(seconds)
            else:
                first[peer.name], losses[peer.name] = seconds, statistics.median(result)
                say(f"{peer.name}: first run {seconds:.3g} s per training")
    timings = [Timing(n, first[n], tuple(times[n]), losses[n]) for n in times if n in first]
    return timings, statistics.median(rates)


def disagreement(found: Sequence[Peer], work: Work) -> dict[str, float]:
    """Compare the engines' losses with the plain loop's, member for member, before they can part.

    Args:
        found: The engines, the plain loop first; one that fails is left out.
        work: Few epochs, so that rounding has not yet decided which kink is crossed.

    Returns:
        The largest relative difference of the first member's loss, by engine.
    """
    expected = found[0].run(work)[0]
    worst = {}
    for peer in found[1:]:
        try:
            worst[peer.name] = abs(peer.run(work)[0] / expected - 1)
        except Exception:  # noqa: S112 - said by `interleave`
            continue
    return worst


def markdown(timings: Sequence[Timing], work: Work, rate: float) -> list[str]:
    """Lay out the timings as a Markdown table.

    Args:
        timings: The plain loop's first.
        work: What was done.
        rate: Operations per second of the 2048 x 2048 product.

    Returns:
        The table's lines.
    """
    flop = work.epochs * flop_per_epoch(study_architecture(work.activation))
    loop = min(statistics.median(t.seconds) for t in timings if t.name.startswith("plain loop"))
    lines = [
        f"| {work.activation}, {work.members} members | s per training | first run "
        "| against the loop | share of product rate | final loss |",
        "|---|---|---|---|---|---|",
    ]
    for timing in timings:
        middle = statistics.median(timing.seconds)
        lines.append(
            f"| {timing.name} | {middle:.3f} | {timing.first:.3f} | {loop / middle:.1f}x "
            f"| {flop / middle / rate:.0%} | {timing.loss:.5f} |"
        )
    return lines


def _disagreeing(timings: Sequence[Timing]) -> list[str]:
    """The plain loop trains one member only, so the medians of the others are compared."""
    whole = [t for t in timings if not t.name.startswith("plain loop")]
    middle = statistics.median(t.loss for t in whole) if whole else math.nan
    return [t.name for t in whole if not abs(t.loss - middle) <= _SAME_LOSS * middle]


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Time the same trainings by several engines, interleaved, and print a table.",
    )
    parser.add_argument(
        "--activation",
        action="append",
        choices=("relu", "gelu", "sigmoid"),
        help="may be given several times (default: relu)",
    )
    parser.add_argument("--members", type=int, default=20, help="networks (default: 20)")
    parser.add_argument("--epochs", type=int, default=500, help="updates of each (default: 500)")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each (default: 3)")
    parser.add_argument(
        "--threads", type=int, default=devices.default_threads(), help="CPU threads of each engine"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="TEXT", help="leave out engines so named"
    )
    arguments = parser.parse_args(given)
    for name in ("members", "epochs", "rounds", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is {getattr(arguments, name)}, but must be at least 1")
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Time the engines and print a table per activation.

    Args:
        given: Arguments; those of the process if none are given.

    Returns:
        0, or 1 where engines reach different losses.
    """
    arguments = _arguments(given)
    wrong = 0

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    with devices.using_threads(arguments.threads):
        for activation in arguments.activation or ["relu"]:
            found = [
                peer
                for peer in peers(arguments.threads, say)
                if not any(text in peer.name for text in arguments.without)
            ]
            work = Work(activation, arguments.members, arguments.epochs)
            differences = disagreement(found, Work(activation, arguments.members, 10))
            timings, rate = interleave(found, work, arguments.rounds, Stopwatch(), say)
            print("\n".join(markdown(timings, work, rate)))
            far = [n for n, d in differences.items() if not d <= 1e-4] + _disagreeing(timings)
            wrong += len(far)
            worst = max(differences.values(), default=0.0)
            verdict = f"NOT the same losses: {', '.join(far)}" if far else "the same losses"
            print(
                f"\n{verdict} (after 10 epochs within {worst:.1g} of the plain loop; medians over "
                f"members after {work.epochs} within {_SAME_LOSS:.0%}). Medians of "
                f"{arguments.rounds} interleaved rounds, float32, up to {arguments.threads} CPU "
                f"threads, {arguments.epochs} epochs, torch {torch.__version__}, 2048^3 product at "
                f"{rate / 1e9:.0f} GFLOP/s.\n"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
