"""Two trainings of the study's network, by autograd and by a stack, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from actbench import activations, initializers, targets
from actbench.networks import Architecture, linear_layers, seeded_network
from actbench.records import Chain, Dtype, Step
from actbench.records.fingerprints._settings import LEARNING_RATE, POINTS
from actbench.records.steps import step
from actbench.seeds import FIRST_SEED
from actbench.stacks import Stack
from actbench.training import DTYPES, Member, Schedule, train_stack

REFERENCE_EPOCHS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 70, 99)
"""Epochs of the reference training whose losses are kept; the last is its end."""

STACK_EPOCHS = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 300, 400, 499)
"""As ``REFERENCE_EPOCHS``, of the stack's training: the study's 500 updates."""


def reference_training(key: str, dtype: Dtype, recorded: Sequence[int] = REFERENCE_EPOCHS) -> Chain:
    """Train the study's network of seed 42 as anyone would write it, and look at every step."""
    network = seeded_network(
        Architecture(activations.get(key)), initializers.get("torch_default"), FIRST_SEED
    ).to(DTYPES[dtype])
    target = targets.noisy_sine(POINTS)
    x, y = (torch.tensor(v, dtype=DTYPES[dtype])[:, None] for v in (target.x, target.noisy))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = list(_forward_steps(network, x))
    for epoch in range(recorded[-1] + 1):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        if epoch in recorded:
            steps.append(step("loss", loss, epoch))
        if epoch == 0:
            steps += _gradient_steps(network)
        optimizer.step()
        if epoch == 0:
            updated = nn.utils.parameters_to_vector(network.parameters())
            steps.append(step("parameters after Adam", updated, 0))
    return Chain(engine="reference", activation=key, dtype=dtype, steps=steps)


@torch.no_grad()
def _forward_steps(network: nn.Sequential, x: Tensor) -> Iterator[Step]:
    layer, a = 0, x
    for module in network:
        a = module(a)
        linear = isinstance(module, nn.Linear)
        layer += linear
        yield step(f"layer {layer} {'linear' if linear else 'activation'}", a, 0)


def _gradient_steps(network: nn.Sequential) -> list[Step]:
    layers = linear_layers(network)
    return [
        step(f"layer {number} gradient", torch.cat([_grad(p).ravel() for p in pair]), 0)
        for number, pair in reversed(
            [(n, (layer.weight, layer.bias)) for n, layer in enumerate(layers, start=1)]
        )
    ]


def _grad(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def stack_training(key: str, dtype: Dtype, recorded: Sequence[int] = STACK_EPOCHS) -> Chain:
    """Train one member of seed 42 by the engine that measures the claims."""
    target = targets.noisy_sine(POINTS)
    training = train_stack(
        Architecture(activations.get(key)),
        [Member(FIRST_SEED, initializers.get("torch_default"))],
        Schedule(epochs=recorded[-1] + 1, recorded_epochs=(0,), dtype=dtype),
        target.x,
        target.noisy,
        recorder=_all_gradients,
    )
    gradients = [step(n, values, 0) for n, values in training.recorded.items()]
    losses = [step("loss", training.loss[:, epoch], epoch) for epoch in recorded]
    return Chain(
        engine="stack",
        activation=key,
        dtype=dtype,
        steps=[losses[0], *gradients, *losses[1:]],
    )


def _all_gradients(
    stack: Stack,
    x: Tensor,  # noqa: ARG001 - the signature of every recorder
    output_gradient: Tensor,  # noqa: ARG001 - the signature of every recorder
) -> dict[str, Tensor]:
    pairs = zip(stack.weight_gradients, stack.bias_gradients, strict=True)
    by_layer = {
        f"layer {number} gradient": torch.cat([w.flatten(1), b.flatten(1)], 1)
        for number, (w, b) in enumerate(pairs, start=1)
    }
    return dict(reversed(by_layer.items()))
