"""The engines of ``benchmarks.peers`` that torch runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from actbench.study.catalog import activations, initializers, targets
from actbench.study.nets import devices
from actbench.study.nets.engines import POINTS, PlainLoop, data, network_loss, study_architecture
from actbench.study.nets.networks import linear_layers, seeded_network
from actbench.study.nets.training import Member, Schedule, train
from benchmarks.work import Run, Work, in_processes

_CPU = torch.device("cpu")
_LEARNING_RATE = 1e-3


def _one_or_all(
    key: str, threads: int, run: Callable[[int, Work], Sequence[float]]
) -> dict[str, Run]:
    """On one thread, on all, and in processes: which is fastest depends on the machine."""
    found: dict[str, Run] = {"1 thread": partial(run, 1)}
    if threads > 1:
        found[f"{threads} threads"] = partial(run, threads)
        found[f"{threads} processes"] = partial(in_processes, key, "1 thread", threads)
    return found


def loop(work: Work, threads: int) -> Mapping[str, Run]:  # noqa: ARG001 - one signature for all
    """Offer the plain eager loop, one network after the other."""

    def run(count: int, work: Work) -> list[float]:
        with devices.using_threads(count):
            networks = (PlainLoop(work.activation, _CPU, seed=seed) for seed in work.seeds)
            return [float(network.train(work.epochs)) for network in networks]

    return _one_or_all("loop", threads, run)


def stack(work: Work, threads: int) -> Mapping[str, Run]:  # noqa: ARG001 - one signature for all
    """Offer this package's own training."""

    def run(work: Work) -> list[float]:
        initializer = initializers.get("torch_default")
        members = [Member(seed, initializer) for seed in work.seeds]
        target = targets.noisy_sine(POINTS)
        architecture, schedule = study_architecture(work.activation), Schedule(work.epochs)
        training = train(architecture, members, schedule, target.x, target.noisy)
        return [float(loss) for loss in training.loss[:, -1]]

    found: dict[str, Run] = {"1 thread": run}
    if threads > 1:  # not its own copies of this process, which has JAX's threads
        found[f"{threads} processes"] = partial(in_processes, "stack", "1 thread", threads)
    return found


def initial_weights(work: Work) -> list[Tensor]:
    """Draw all networks from their seeds."""
    initializer = initializers.get("torch_default")
    architecture = study_architecture(work.activation)
    networks = [seeded_network(architecture, initializer, seed) for seed in work.seeds]
    parts = [
        [tensor for layer in linear_layers(n) for tensor in (layer.weight, layer.bias)]
        for n in networks
    ]
    return [torch.stack([t.detach() for t in same]) for same in zip(*parts, strict=True)]


@cache
def _gradients(activation: str, threads: int, compiled: bool) -> Callable[..., Any]:  # noqa: ARG001
    # Inductor writes the number of threads into its code, so each number has a function of its own.
    loss = network_loss(activations.get(activation).module(), *data(_CPU, "float32"))
    count = 2 * len(study_architecture(activation).layer_shapes)
    one = torch.func.grad_and_value(loss, argnums=tuple(range(count)))
    many = torch.func.vmap(one)
    return torch.compile(many) if compiled else many


def _vectorized(compiled: bool, threads: int, work: Work) -> list[float]:
    with devices.using_threads(threads):
        parameters = initial_weights(work)
        optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)
        compute = _gradients(work.activation, threads, compiled)
        for _ in range(work.epochs):
            found, losses = compute(*parameters)
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient
            optimizer.step()
        result: list[float] = losses.tolist()
    return result


def vmap(work: Work, threads: int) -> Mapping[str, Run]:  # noqa: ARG001 - one signature for all
    """Offer ``torch.func``: one network as a function, its gradient vectorized over the members."""
    return _one_or_all("vmap", threads, partial(_vectorized, False))


def compiled(work: Work, threads: int) -> Mapping[str, Run]:  # noqa: ARG001 - one signature for all
    """Offer the same under ``torch.compile``."""
    return _one_or_all("compile", threads, partial(_vectorized, True))
