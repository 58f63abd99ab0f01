"""What training leaves behind, and how it is gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
