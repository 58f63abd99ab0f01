"""How activations, error signals, gradients and the learned function change while training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from actbench.store.checkpoints import Checkpoint, compute_now
from actbench.store.errors import require_positive_int
from actbench.study.catalog import activations, targets
from actbench.study.experiments import _noisy_sine, settings
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Training, gradient_magnitudes


@dataclass(frozen=True)
class Config(_noisy_sine.Settings):
    """The protocol: how networks are trained, and how often they are looked at.

    Args:
        activations: Keys of the activations.
        seeds: A count (then 42, 43, ...) or the seeds themselves.
        epochs: Full-batch updates, at least 1.
        looks: At most so many epochs after the first are recorded, spaced as evenly on a
            logarithmic axis as whole numbers allow; at least 1, which leaves the last.
        initializer: Key of the initializer.
        learning_rate: Adam's step size, positive.
        depth: Hidden layers, at least 1.
        width: Units per hidden layer, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        noise_std: Standard deviation of the noise on the targets, at least 0.
        drawn_in_order: Activations whose networks are drawn in this order from one random state,
            which is set to the member's seed once, whether or not all of them are trained; by
            default it is set again for each network.
        noise_seed: Seed of the noise, the same for every member.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    seeds: int | Sequence[int] = 5
    epochs: int = 500
    looks: int = 32
    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    depth: int = 10
    width: int = 64
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    drawn_in_order: Sequence[str] = ()
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    checked = settings.checks(looks=require_positive_int)

    @property
    def recorded_epochs(self) -> tuple[int, ...]:
        """The untrained network, then ever wider apart, and the state after the last update."""
        spaced = np.geomspace(1, self.epochs, self.looks).round().astype(int).tolist()
        return tuple(sorted({0, self.epochs, *spaced}))

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            **super().fixed(),
            "recorded": "before the update of that epoch; the last, after the last update",
            "rms": "root of the mean square over the inputs and the units of one layer",
        }


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Train every activation from every seed and keep what it looks like on the way.

    Args:
        config: The protocol.
        progress: Called now and then with the number of epochs x members done since the last
            call; they add up to activations x seeds x epochs.
        checkpoint: Keeps what is finished, one part per activation.

    Returns:
        Dataset with ``activation_rms`` and ``zero_share (activation, seed, recorded_epoch,
        hidden_layer)``, ``gradient_magnitude`` and ``error_signal (activation, seed,
        recorded_epoch, layer)``, ``learned_function (activation, seed, recorded_epoch, x)``,
        ``loss (activation, seed, epoch)``, ``final_mse`` and ``diverged (activation, seed)``,
        ``target_noisy (x)`` and ``target_clean (x)``.

    Raises:
        ActbenchError: The device is not present.
    """
    labelled = partial(_dataset, config)
    return _noisy_sine.train_each(
        "training-dynamics", config, labelled, progress, checkpoint, recorder=look
    )


def look(stack: Stack, x: Tensor, output_gradient: Tensor) -> Mapping[str, Tensor]:
    """Keep what flows forward and backward through every layer, and the learned function.

    After the backward pass of a stack: ``activation_rms`` and ``zero_share (member, hidden
    layer)``, ``gradient_magnitude`` and ``error_signal (member, layer)``, ``learned_function
    (member, points)``.
    """
    signals: list[Tensor] = []
    stack.backward(x, output_gradient, lambda layer, error: signals.append(_rms(error)))
    return {
        "activation_rms": torch.stack([_rms(a) for a in stack.activations], 1),
        "zero_share": torch.stack([(a == 0).to(a).mean((1, 2)) for a in stack.activations], 1),
        **gradient_magnitudes(stack, x, output_gradient),
        "error_signal": torch.stack(signals[::-1], 1),  # the output layer was seen first
        "learned_function": stack.pre_activation(x, stack.architecture.depth + 1)[:, :, 0],
    }


def _rms(values: Tensor) -> Tensor:
    """Of ``(member, points, unit)``; returns ``(member,)``."""
    # The square of a vanishing error signal is below the smallest float32: scale it first.
    largest = values.abs().amax((1, 2))
    scale = torch.where(largest > 0, largest, 1)
    return scale * (values / scale[:, None, None]).square().mean((1, 2)).sqrt()


def _dataset(config: Config, key: str, target: targets.Target, training: Training) -> xr.Dataset:
    by_member = ("activation", "seed")
    last = {
        "activation_rms": "hidden_layer",
        "zero_share": "hidden_layer",
        "gradient_magnitude": "layer",
        "error_signal": "layer",
        "learned_function": "x",
    }
    recorded = {
        name: ((*by_member, "recorded_epoch", dim), training.recorded[name][None])
        for name, dim in last.items()
    }
    return xr.Dataset(
        {
            **recorded,
            "loss": ((*by_member, "epoch"), training.loss[None]),
            "final_mse": (by_member, mean_square_error(training.prediction, target.noisy)[None]),
            "diverged": (by_member, first_non_finite(training.loss)[None]),
            "target_noisy": ("x", target.noisy),
            "target_clean": ("x", target.clean),
        },
        coords=_noisy_sine.labels(config, key, target, range(1, config.depth + 1)),
    )


def calibration(config: Config) -> Config:
    """Return the same members for some epochs, to estimate how long a run takes."""
    # Below this many epochs almost every one is recorded, which costs more than most do.
    return dataclasses.replace(config, epochs=min(config.epochs, 30))
