"""The readable training loop: one plain network by autograd."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture, linear_layers
from actbench.study.nets.training.schedule import (
    DTYPES,
    Schedule,
    Start,
    Training,
    by_member,
    column,
    displacement,
)


@pinned_state()
def train_reference(
    architecture: Architecture,
    member: Start,
    schedule: Schedule,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> Training:
    """Train one plain network by autograd and torch's default Adam.

    Args:
        architecture: Shape and activation.
        member: Where it begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``.

    Returns:
        The training of this one member.
    """
    network = member.network(architecture)
    network.to(schedule.device, DTYPES[schedule.dtype])
    inputs, targets = column(x, schedule), column(y, schedule)
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=schedule.learning_rate,
        eps=schedule.adam_eps,
        weight_decay=schedule.weight_decay,
    )
    initial = [layer.weight.detach().clone() for layer in linear_layers(network)]
    losses: list[Tensor] = []
    magnitudes: list[Tensor] = []

    def propagate(epoch: int) -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if epoch in schedule.recorded_epochs:
            magnitudes.append(_reference_magnitudes(network))
        return loss.detach()

    for epoch in range(schedule.epochs):
        losses.append(propagate(epoch))
        optimizer.step()
    if schedule.epochs in schedule.recorded_epochs:
        propagate(schedule.epochs)
    hidden, output = _reference_activity(network, inputs)
    final = [layer.weight.detach() for layer in linear_layers(network)]
    return Training(
        loss=torch.stack(losses)[None].cpu().numpy(),
        recorded=by_member([{"gradient_magnitude": m[None]} for m in magnitudes]),
        weight_displacement=displacement([w[None] for w in initial], [w[None] for w in final]),
        prediction=output.T.cpu().numpy(),
        hidden_activation=hidden.cpu().numpy(),
    )


def _reference_magnitudes(network: nn.Sequential) -> Tensor:
    gradients = [layer.weight.grad for layer in linear_layers(network)]
    return torch.stack([g.abs().mean() for g in gradients if g is not None])


@torch.no_grad()
def _reference_activity(network: nn.Sequential, inputs: Tensor) -> tuple[Tensor, Tensor]:
    hidden, a = [], inputs
    for module in network:
        a = module(a)
        if not isinstance(module, nn.Linear):  # an activation, or a whole layer with its skip
            hidden.append(a)
    return torch.stack(hidden), a
