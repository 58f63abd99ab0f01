"""How networks are trained, from where they begin to what training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.study.catalog.initializers import Initializer
from actbench.study.nets.networks import Architecture, seeded_network


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
        before: Networks that were drawn before from the same random state, which was set to the
            seed once; none where it is set for each network.
    """

    seed: int
    initializer: Initializer
    before: tuple[Architecture, ...] = ()

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Draw the network from the seed and what was drawn before."""
        return seeded_network(architecture, self.initializer, self.seed, self.before)


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


def displacement(initial: list[Tensor], final: list[Tensor]) -> NDArray[np.floating[Any]]:
    """Per layer ``(member, fan_out, fan_in)`` before and after; returns ``(member, layer)``."""
    moved = [
        torch.linalg.vector_norm(after - before, dim=(1, 2))
        / torch.linalg.vector_norm(before, dim=(1, 2))
        for before, after in zip(initial, final, strict=True)
    ]
    return torch.stack(moved, 1).cpu().numpy()


def by_member(kept: Sequence[Mapping[str, Tensor]]) -> dict[str, NDArray[np.floating[Any]]]:
    """One mapping per recorded epoch; returns ``(member, recorded epoch, ...)`` by name."""
    names = kept[0] if kept else ()
    return {name: torch.stack([k[name] for k in kept], 1).cpu().numpy() for name in names}


DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Schedule:
    """How every member is trained: Adam on the mean squared error of the full batch.

    Args:
        epochs: Updates, at least 1.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        adam_eps: What Adam adds to the root of the second moment before it divides by it.
        recorded_epochs: Epochs, in increasing order, at which the recorder is asked what to keep:
            before the update of that epoch, or after the last one where it is ``epochs``.
        device: Where to train.
        dtype: ``"float32"`` or ``"float64"``; initial weights are drawn in float32 either way.
    """

    epochs: int = 500
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    adam_eps: float = 1e-8
    recorded_epochs: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: str = "float32"


def column(values: NDArray[np.float64], schedule: Schedule) -> Tensor:
    """Return ``(..., points)`` as the batch that a schedule trains on, ``(..., points, 1)``."""
    return torch.tensor(values, dtype=DTYPES[schedule.dtype], device=schedule.device)[..., None]
