"""The training loop of a stack: many networks as one batched program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training.schedule import (
    DTYPES,
    Schedule,
    Start,
    Training,
    by_member,
    column,
    displacement,
)

Progress = Callable[[int], None]
"""Called with the number of epochs x members done since the last call."""

Recorder = Callable[[Stack, Tensor, Tensor], Mapping[str, Tensor]]
"""Called with a stack after its backward pass, the inputs ``(points, 1)`` and the derivative of the
loss by the outputs ``(member, points, 1)``; returns by name what to keep of that epoch, each with a
leading ``member`` axis. It may call ``stack.backward`` again, but not ``stack.forward``."""

_PROGRESS_EPOCHS = 10


def no_progress(done: int) -> None:
    """Tell nobody."""


def gradient_magnitudes(
    stack: Stack,
    x: Tensor,  # noqa: ARG001 - the signature of every recorder
    output_gradient: Tensor,  # noqa: ARG001 - the signature of every recorder
) -> dict[str, Tensor]:
    """Keep ``(member, layer)``, the mean absolute derivative of the loss by a layer's weights."""
    magnitudes = [gradient.abs().mean((1, 2)) for gradient in stack.weight_gradients]
    return {"gradient_magnitude": torch.stack(magnitudes, 1)}


@pinned_state()
def train_stack(
    architecture: Architecture,
    members: Sequence[Start],
    schedule: Schedule,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    progress: Progress = no_progress,
    recorder: Recorder = gradient_magnitudes,
) -> Training:
    """Train all members as one batched program, with one fused Adam over all parameters.

    A member that diverges carries non-finite numbers to the end and disturbs no other.

    Args:
        architecture: Shape and activation of every member.
        members: Where each begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``, or of each member, shape ``(member, points)``.
        progress: Told about every few epochs.
        recorder: Says what to keep at the schedule's recorded epochs.

    Returns:
        The training of all members, in their order.
    """
    inputs, targets = column(x, schedule), column(y, schedule)
    networks = (member.network(architecture) for member in members)
    stack = Stack(
        architecture, networks, len(members), len(x), schedule.device, DTYPES[schedule.dtype]
    )
    step = _optimizer(stack, schedule)
    initial = [weight.detach().clone() for weight in stack.weights]
    losses = inputs.new_empty(schedule.epochs, len(members))
    kept: list[Mapping[str, Tensor]] = []

    def propagate(epoch: int) -> Tensor:
        residual = stack.forward(inputs).sub_(targets)  # (member, points, 1)
        loss = residual.square().mean((1, 2))
        stack.backward(inputs, residual.mul_(2 / len(x)))
        if epoch in schedule.recorded_epochs:
            kept.append(recorder(stack, inputs, residual))
        return loss

    for epoch in range(schedule.epochs):
        losses[epoch] = propagate(epoch)
        step()
        if (epoch + 1) % _PROGRESS_EPOCHS == 0:
            progress(_PROGRESS_EPOCHS * len(members))
    progress(schedule.epochs % _PROGRESS_EPOCHS * len(members))
    if schedule.epochs in schedule.recorded_epochs:
        propagate(schedule.epochs)
    prediction = stack.forward(inputs)[:, :, 0].cpu().numpy().copy()
    return Training(
        loss=losses.T.cpu().numpy(),
        recorded=by_member(kept),
        weight_displacement=displacement(initial, [w.detach() for w in stack.weights]),
        prediction=prediction,
        hidden_activation=torch.stack([a[0] for a in stack.activations]).cpu().numpy(),
    )


def _optimizer(stack: Stack, schedule: Schedule) -> Callable[[], None]:
    """One update of all parameters; the class `Adam` imports torch's compiler, for a second."""
    parameters = stack.parameters
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    steps = torch.zeros((), device=parameters.device)
    beta1, beta2 = inspect.signature(torch.optim.Adam).parameters["betas"].default

    @torch.no_grad()
    def step() -> None:
        adam(
            [parameters],
            [stack.gradients],
            [first],
            [second],
            [],
            [steps],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            eps=schedule.adam_eps,
            maximize=False,
        )

    return step
