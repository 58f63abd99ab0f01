"""The study's main experiment: deep narrow networks fitted to one period of a noisy sine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from actbench.store import studies
from actbench.store.checkpoints import Checkpoint, compute_now
from actbench.study.catalog import targets
from actbench.study.experiments import _noisy_sine
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Schedule, Training

STUDY_ACTIVATIONS = ("linear", "sigmoid", "relu", "leaky_relu", "gelu")
_RECORDED_EPOCHS = (0, 1, 10, 100, 499)
_HIDDEN_LAYERS = (1, 5, 10)


@dataclass(frozen=True)
class Config(_noisy_sine.Settings):
    """The protocol: every setting on which a number of this experiment depends.

    What the study states is the default. What it leaves open is chosen here and said to be so.

    Args:
        activations: Keys of the activations; stated.
        seeds: A count (then 42, 43, ...) or the seeds themselves. The study used 42 alone.
        epochs: Full-batch updates, at least 1; stated.
        initializer: Key of the initializer; not stated, torch's default is what a script that
            says nothing gets.
        learning_rate: Adam's step size, positive; stated.
        weight_decay: Adam's L2 penalty, at least 0; not stated, 0 is torch's default.
        depth: Hidden layers, at least 1; stated.
        width: Units per hidden layer, at least 1; stated.
        skip: Whether every hidden layer but the first adds its input to its output; not in the
            study's main run, advised by it for very deep networks.
        points: Inputs, evenly spaced on [-pi, pi], at least 2; stated.
        noise_std: Standard deviation of the noise on the targets, at least 0; stated.
        drawn_in_order: Activations whose networks are drawn in this order from one random state,
            which is set to the member's seed once, whether or not all of them are trained; by
            default it is set again for each network; not stated.
        noise_seed: Seed of the noise, the same for every member; recovered from the study's
            losses of linear and sigmoid.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``; not stated.
        dtype: ``"float32"`` (torch's default, not stated) or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = STUDY_ACTIVATIONS
    seeds: int | Sequence[int] = 16
    epochs: int = 500
    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    depth: int = 10
    width: int = 64
    skip: bool = False
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    drawn_in_order: Sequence[str] = ()
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    @property
    def recorded_epochs(self) -> tuple[int, ...]:
        """Epochs at which gradients are kept: the study's, and always the last."""
        return tuple(sorted({e for e in _RECORDED_EPOCHS if e < self.epochs} | {self.epochs - 1}))

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """Hidden layers whose activations are kept: the study's, and always the last."""
        return tuple(sorted({n for n in _HIDDEN_LAYERS if n <= self.depth} | {self.depth}))

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            **super().fixed(),
            "construction": "all linear layers from input to output, then the initializer",
            "inputs": "evenly spaced on [-pi, pi], not scaled",
            "gradient_magnitude": "mean absolute value over one weight matrix, biases left out",
        }

    def architecture(self, key: str) -> Architecture:
        """Return the shape of an activation's networks."""
        return dataclasses.replace(super().architecture(key), skip=self.skip)

    def schedule(self, device: torch.device) -> Schedule:
        """Return how every network is trained."""
        return dataclasses.replace(super().schedule(device), weight_decay=self.weight_decay)


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Train every activation from every seed and label what came out.

    Args:
        config: The protocol.
        progress: Called now and then with the number of epochs x members done since the last
            call; they add up to activations x seeds x epochs.
        checkpoint: Keeps what is finished, one part per activation.

    Returns:
        Dataset with ``loss (activation, seed, epoch)``, ``final_mse``, ``final_mse_clean`` and
        ``diverged (activation, seed)``, ``gradient_magnitude (activation, seed, recorded_epoch,
        layer)``, ``prediction (activation, seed, x)``, ``hidden_activation (activation,
        hidden_layer, x, unit)``, ``target_noisy (x)`` and ``target_clean (x)``.

    Raises:
        ActbenchError: The device is not present.
    """
    labelled = partial(_dataset, config)
    return _noisy_sine.train_each("sine-regression", config, labelled, progress, checkpoint)


def _dataset(config: Config, key: str, target: targets.Target, training: Training) -> xr.Dataset:
    loss, prediction = training.loss[None], training.prediction[None]
    gradient_magnitude = training.recorded["gradient_magnitude"][None]
    kept = [number - 1 for number in config.hidden_layers]
    hidden = training.hidden_activation[None, kept]
    by_member = ("activation", "seed")
    return xr.Dataset(
        {
            "loss": ((*by_member, "epoch"), loss),
            "final_mse": (by_member, mean_square_error(prediction, target.noisy)),
            "final_mse_clean": (by_member, mean_square_error(prediction, target.clean)),
            "diverged": (by_member, first_non_finite(loss)),
            "gradient_magnitude": ((*by_member, "recorded_epoch", "layer"), gradient_magnitude),
            "weight_displacement": ((*by_member, "layer"), training.weight_displacement[None]),
            "prediction": ((*by_member, "x"), prediction),
            "hidden_activation": (("activation", "hidden_layer", "x", "unit"), hidden),
            "target_noisy": ("x", target.noisy),
            "target_clean": ("x", target.clean),
        },
        coords={
            **_noisy_sine.labels(config, key, target, config.hidden_layers),
            "unit": np.arange(config.width, dtype=np.int32),
        },
    )


def study_files(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the study's data files in its own shapes, for its seed.

    Args:
        dataset: As ``run`` returns it.

    Returns:
        File name to content: numbers and lists by activation, of seed 42, or of the first seed
        where 42 was not run. What is not finite becomes null when written.
    """
    ran = dataset["seed"].to_numpy().tolist()
    one = dataset.sel(seed=studies.FIRST_SEED if studies.FIRST_SEED in ran else ran[0])
    magnitude = one["gradient_magnitude"]
    names = [str(name) for name in one["activation"].to_numpy()]
    epochs = magnitude["recorded_epoch"].to_numpy().tolist()
    return {
        "final_losses.json": {a: one["final_mse"].sel(activation=a).item() for a in names},
        "loss_histories.json": {a: _floats(one["loss"].sel(activation=a)) for a in names},
        "gradient_magnitudes.json": {
            a: _floats(magnitude.sel(activation=a, recorded_epoch=0)) for a in names
        },
        "gradient_magnitudes_epochs.json": {
            a: {str(e): _floats(magnitude.sel(activation=a, recorded_epoch=e)) for e in epochs}
            for a in names
        },
    }


def _floats(values: xr.DataArray) -> list[float]:
    return [float(value) for value in values.to_numpy()]


def calibration(config: Config) -> Config:
    """Return the same members for few epochs, to estimate how long a run takes."""
    return dataclasses.replace(config, epochs=min(config.epochs, 20))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:  # noqa: ARG001 - one signature for all
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    return {
        "layer": (range(1, config.depth + 2), "depth"),
        "epoch": (range(config.epochs), "epochs"),
        "recorded_epoch": (config.recorded_epochs, "epochs"),
    }
