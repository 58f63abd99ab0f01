"""One training loop for the reference network and one for a stack, with the same result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.errors import ActbenchError, require_positive_int, unknown_name
from actbench.initializers import Initializer
from actbench.networks import Architecture, linear_layers, seeded_network
from actbench.parallel import side_by_side
from actbench.stacks import Stack, bytes_per_member

Progress = Callable[[int], None]
"""Called with the number of epochs x members done since the last call."""

Recorder = Callable[[Stack, Tensor, Tensor], Mapping[str, Tensor]]
"""Called with a stack after its backward pass, the inputs ``(points, 1)`` and the derivative of the
loss by the outputs ``(member, points, 1)``; returns by name what to keep of that epoch, each with a
leading ``member`` axis. It may call ``stack.backward`` again, but not ``stack.forward``."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}

# A stack that fits a core's share of the last cache is a tenth faster than a larger one, which
# reads every layer from memory again; below a few members the calls cost more than they compute.
_CPU_BUDGET_BYTES = 9 * 2**20
_FEWEST_MEMBERS = 4
# An accelerator is the faster the more it is given at once.
_ACCELERATOR_BUDGET_BYTES = 4 * 2**30
_PROGRESS_EPOCHS = 10


def require_runnable(points: int, dtype: str, threads: int | None, fewest_points: int = 2) -> None:
    """Check what every experiment that trains must be given to run at all.

    Args:
        points: Inputs of the batch.
        dtype: Name of a floating-point type.
        threads: CPU threads; ``None`` leaves the choice open.
        fewest_points: How few inputs will do.

    Raises:
        ActbenchError: One of them is out of range or not known.
    """
    if require_positive_int("points", points) < fewest_points:
        raise ActbenchError(f"points is {points!r}, but must be at least {fewest_points}")
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    if threads is not None:
        require_positive_int("threads", threads)


class Start(Protocol):
    """Where the training of one network begins."""

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Return the network before training, as ``reference_network`` builds it."""


@dataclass(frozen=True)
class Member:
    """What distinguishes one network of a stack from another.

    Args:
        seed: Seed of the initial weights, at least 0.
        initializer: How they are drawn.
    """

    seed: int
    initializer: Initializer

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Draw the network from the seed alone.

        Args:
            architecture: Its shape and activation.

        Returns:
            The network before training.
        """
        return seeded_network(architecture, self.initializer, self.seed)


@dataclass(frozen=True)
class Schedule:
    """How every member is trained: Adam on the mean squared error of the full batch.

    Args:
        epochs: Updates, at least 1.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        recorded_epochs: Epochs, in increasing order, at which the recorder is asked what to keep:
            before the update of that epoch, or after the last one where it is ``epochs``.
        device: Where to train.
        dtype: ``"float32"`` or ``"float64"``; initial weights are drawn in float32 either way.
    """

    epochs: int = 500
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    recorded_epochs: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: str = "float32"


@dataclass(frozen=True)
class Training:
    """What training a number of members left behind.

    Args:
        loss: Training loss before each update, shape ``(member, epoch)``.
        recorded: What the recorder kept, by name, shape ``(member, recorded epoch, ...)``.
        weight_displacement: Distance of one layer's weights after training from their initial
            values, over the norm of these, shape ``(member, layer)``.
        prediction: Output of the trained networks, shape ``(member, points)``.
        hidden_activation: Of the first member after training, shape ``(depth, points, width)``.
    """

    loss: NDArray[np.floating[Any]]
    recorded: Mapping[str, NDArray[np.floating[Any]]]
    weight_displacement: NDArray[np.floating[Any]]
    prediction: NDArray[np.floating[Any]]
    hidden_activation: NDArray[np.floating[Any]]


def _no_progress(done: int) -> None:
    pass


def _column(values: NDArray[np.float64], schedule: Schedule) -> Tensor:
    return torch.tensor(values, dtype=DTYPES[schedule.dtype], device=schedule.device)[:, None]


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
    inputs, targets = _column(x, schedule), _column(y, schedule)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
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
        recorded=_by_member([{"gradient_magnitude": m[None]} for m in magnitudes]),
        weight_displacement=_displacement([w[None] for w in initial], [w[None] for w in final]),
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


def _displacement(initial: list[Tensor], final: list[Tensor]) -> NDArray[np.floating[Any]]:
    """Per layer ``(member, fan_out, fan_in)`` before and after; returns ``(member, layer)``."""
    moved = [
        torch.linalg.vector_norm(after - before, dim=(1, 2))
        / torch.linalg.vector_norm(before, dim=(1, 2))
        for before, after in zip(initial, final, strict=True)
    ]
    return torch.stack(moved, 1).cpu().numpy()


def _by_member(kept: Sequence[Mapping[str, Tensor]]) -> dict[str, NDArray[np.floating[Any]]]:
    """One mapping per recorded epoch; returns ``(member, recorded epoch, ...)`` by name."""
    names = kept[0] if kept else ()
    return {name: torch.stack([k[name] for k in kept], 1).cpu().numpy() for name in names}


def gradient_magnitudes(
    stack: Stack,
    x: Tensor,  # noqa: ARG001 - the signature of every recorder
    output_gradient: Tensor,  # noqa: ARG001 - the signature of every recorder
) -> dict[str, Tensor]:
    """Keep the mean absolute derivative of the loss by the weights of each layer.

    Args:
        stack: After its backward pass.
        x: Not used.
        output_gradient: Not used.

    Returns:
        ``gradient_magnitude``, shape ``(member, layer)``, layer 1 first.
    """
    magnitudes = [gradient.abs().mean((1, 2)) for gradient in stack.weight_gradients]
    return {"gradient_magnitude": torch.stack(magnitudes, 1)}


def train_stack(
    architecture: Architecture,
    members: Sequence[Start],
    schedule: Schedule,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    progress: Progress = _no_progress,
    recorder: Recorder = gradient_magnitudes,
) -> Training:
    """Train all members as one batched program, with one fused Adam over all parameters.

    A member that diverges carries non-finite numbers to the end and disturbs no other.

    Args:
        architecture: Shape and activation of every member.
        members: Where each begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``.
        progress: Told about every few epochs.
        recorder: Says what to keep at the schedule's recorded epochs.

    Returns:
        The training of all members, in their order.
    """
    inputs, targets = _column(x, schedule), _column(y, schedule)
    networks = (member.network(architecture) for member in members)
    stack = Stack(
        architecture, networks, len(members), len(x), schedule.device, DTYPES[schedule.dtype]
    )
    optimizer = torch.optim.Adam(
        [stack.parameters],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
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
        optimizer.step()
        if (epoch + 1) % _PROGRESS_EPOCHS == 0:
            progress(_PROGRESS_EPOCHS * len(members))
    progress(schedule.epochs % _PROGRESS_EPOCHS * len(members))
    if schedule.epochs in schedule.recorded_epochs:
        propagate(schedule.epochs)
    prediction = stack.forward(inputs)[:, :, 0].cpu().numpy().copy()
    return Training(
        loss=losses.T.cpu().numpy(),
        recorded=_by_member(kept),
        weight_displacement=_displacement(initial, [w.detach() for w in stack.weights]),
        prediction=prediction,
        hidden_activation=torch.stack([a[0] for a in stack.activations]).cpu().numpy(),
    )


def _workers(schedule: Schedule, threads: int) -> int:
    return threads if schedule.device.type == "cpu" else 1


def stack_sizes(
    architecture: Architecture,
    members: int,
    points: int,
    schedule: Schedule,
    threads: int = 1,
    memory_budget_bytes: int | None = None,
) -> list[int]:
    """Say how many members each of the stacks has into which ``train`` cuts its members.

    >>> study = Architecture(activations.get("relu"))
    >>> stack_sizes(study, 20, 200, Schedule())
    [5, 5, 5, 5]

    Args:
        architecture: Shape and activation of every member.
        members: How many there are in all, at least 1.
        points: Inputs of the batch.
        schedule: How they are trained; its device and type decide.
        threads: Stacks trained side by side, at least 1.
        memory_budget_bytes: What one stack may take; by default what is fastest.

    Returns:
        Sizes that differ by one at most, in the members' order.
    """
    member_bytes = bytes_per_member(architecture, points, DTYPES[schedule.dtype].itemsize)
    if memory_budget_bytes is None:
        on_cpu = schedule.device.type == "cpu"
        fastest = _CPU_BUDGET_BYTES if on_cpu else _ACCELERATOR_BUDGET_BYTES
        memory_budget_bytes = max(fastest, _FEWEST_MEMBERS * member_bytes)
    largest = max(1, memory_budget_bytes // member_bytes)
    workers = _workers(schedule, threads)
    rounds = math.ceil(members / (largest * workers))
    stacks = min(rounds * workers, members)
    ends = [members * number // stacks for number in range(stacks + 1)]
    return [end - start for start, end in pairwise(ends)]


def train(
    architecture: Architecture,
    members: Sequence[Start],
    schedule: Schedule,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    progress: Progress = _no_progress,
    threads: int = 1,
    memory_budget_bytes: int | None = None,
    recorder: Recorder = gradient_magnitudes,
) -> Training:
    """Train any number of members, cut into stacks that fit a memory budget.

    On the CPU each stack runs on one thread, and as many stacks as there are threads run side by
    side: they never wait for each other, which beats splitting every operation between threads.
    At the study's shape neither the cut nor the number of threads changes a bit of the result
    (``Stack`` says where rounding may depend on the cut).

    Args:
        architecture: Shape and activation of every member.
        members: Where each begins, such as a seed and an initializer.
        schedule: How to train.
        x: Inputs, shape ``(points,)``.
        y: Targets, shape ``(points,)``.
        progress: Told about every few epochs, by one thread at a time.
        threads: Stacks trained side by side, at least 1; an accelerator trains one at a time.
        memory_budget_bytes: What one stack may take, of which at least one member is trained at a
            time; by default what is fastest.
        recorder: Says what to keep at the schedule's recorded epochs; called from several threads.

    Returns:
        The training of all members, in their order.
    """
    sizes = stack_sizes(architecture, len(members), len(x), schedule, threads, memory_budget_bytes)

    def job(part: Sequence[Start], report: Progress) -> Training:
        return train_stack(architecture, part, schedule, x, y, report, recorder)

    ends = zip(sizes, accumulate(sizes), strict=True)
    jobs = [partial(job, members[end - size : end]) for size, end in ends]
    parts = side_by_side(jobs, progress, _workers(schedule, threads))
    return Training(
        loss=np.concatenate([p.loss for p in parts]),
        recorded={
            name: np.concatenate([p.recorded[name] for p in parts]) for name in parts[0].recorded
        },
        weight_displacement=np.concatenate([p.weight_displacement for p in parts]),
        prediction=np.concatenate([p.prediction for p in parts]),
        hidden_activation=parts[0].hidden_activation,
    )
