"""Distributions of pre-activations and activations, sparsity, dead and saturated units.

Every network is looked at where it starts, under each initializer; some are trained on the study's
noisy sine and looked at again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench import activations, datasets, devices, environment, seeds, targets
from actbench.checkpoints import Checkpoint, compute_now
from actbench.experiments._activation_statistics_protocol import STEPS_PER_LOOK, Config
from actbench.experiments._layer_statistics import LEVELS, statistics
from actbench.experiments._losses import mean_square_error
from actbench.networks import Architecture, seeded_network
from actbench.parallel import Progress, side_by_side
from actbench.stacks import Stack
from actbench.torch_state import pinned_state
from actbench.training import DTYPES, Member, Schedule, Training, train

__all__ = ["STAGES", "Config", "calibration", "coordinates", "run", "study_files"]

STAGES = ("initial", "trained")
_STACK_MEMBERS = 16


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Look at every network where it starts, and at some of them after training.

    Args:
        config: The protocol.
        progress: Called now and then with the number of steps done since the last call.
        checkpoint: Keeps what is finished, one part per activation.

    Returns:
        Dataset whose variables have the dimensions ``(activation, stage, initializer, seed,
        hidden_layer)``, those named ``..._quantile`` also ``level``; ``trained (initializer,
        seed)`` tells which networks were trained (the others are NaN at that stage), and
        ``trained_mse (activation, initializer, seed)`` how well these fit.

    Raises:
        ActbenchError: The device is not present.
    """
    device = devices.choose(config.device)
    target = targets.noisy_sine(config.points, config.noise_std, config.noise_seed)
    with devices.using_threads(config.threads) as threads:

        def part(key: str) -> xr.Dataset:
            architecture = Architecture(activations.get(key), config.depth, config.width)
            initial = _initial(config, architecture, target, device, progress, threads)
            training = _trained(config, architecture, target, device, progress, threads)
            return _dataset(config, key, target, initial, training)

        steps = config.steps // len(config.activations)
        parts = [checkpoint(key, steps, partial(part, key)) for key in config.activations]
    dataset = datasets.join(parts, "activation")
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, "activation-statistics", config.protocol(), facts)


def _initial(
    config: Config,
    architecture: Architecture,
    target: targets.Target,
    device: torch.device,
    progress: Progress,
    threads: int,
) -> dict[str, NDArray[Any]]:
    x = torch.tensor(target.x, dtype=DTYPES[config.dtype], device=device)[:, None]

    def look(members: Sequence[Member], report: Progress) -> dict[str, Tensor]:
        networks = (seeded_network(architecture, m.initializer, m.seed) for m in members)
        stack = Stack(architecture, networks, len(members), len(x), device, x.dtype)
        stack.forward(x)
        found = statistics(stack, x, config.epsilon, config.saturation)
        report(STEPS_PER_LOOK * len(members))
        return {name: values.cpu() for name, values in found.items()}

    jobs = [partial(look, members) for members in _parts(config.members)]
    found = side_by_side(jobs, progress, threads if device.type == "cpu" else 1)
    return {name: torch.cat([part[name] for part in found]).numpy() for name in found[0]}


def _parts(members: Sequence[Member]) -> Iterator[Sequence[Member]]:
    for start in range(0, len(members), _STACK_MEMBERS):
        yield members[start : start + _STACK_MEMBERS]


def _trained(
    config: Config,
    architecture: Architecture,
    target: targets.Target,
    device: torch.device,
    progress: Callable[[int], None],
    threads: int,
) -> Training | None:
    if not config.trained_members:
        return None
    schedule = Schedule(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        recorded_epochs=(config.epochs,),
        device=device,
        dtype=config.dtype,
    )

    def look(stack: Stack, x: Tensor, output_gradient: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG001 - the signature of every recorder
        return statistics(stack, x, config.epsilon, config.saturation)

    return train(
        architecture,
        config.trained_members,
        schedule,
        target.x,
        target.noisy,
        progress,
        threads,
        recorder=look,
    )


def _dataset(
    config: Config,
    key: str,
    target: targets.Target,
    initial: Mapping[str, NDArray[Any]],
    training: Training | None,
) -> xr.Dataset:
    chosen = seeds.expand(config.seeds)
    networks = (len(config.initializers), len(chosen))
    trained = np.zeros(networks, dtype=np.int32)
    rows = [config.initializers.index(name) for name in config.trained_initializers]
    count = min(config.trained_seeds, len(chosen))
    where = (np.repeat(rows, count), np.tile(np.arange(count), len(rows)))  # as trained_members
    trained[where] = 1
    mse = np.full(networks, np.nan)
    if training is not None:
        mse[where] = mean_square_error(training.prediction, target.noisy)
    variables: dict[str, Any] = {
        "trained": (("initializer", "seed"), trained),
        "trained_mse": (("activation", "initializer", "seed"), mse[None]),
    }
    dims = ("activation", "stage", "initializer", "seed", "hidden_layer", "level")
    for name, values in initial.items():
        both = np.full((1, len(STAGES), *networks, *values.shape[1:]), np.nan, values.dtype)
        both[0, 0] = values.reshape(*networks, *values.shape[1:])
        if training is not None:
            both[0, 1][where] = training.recorded[name][:, 0]
        variables[name] = (dims[: both.ndim], both)
    return xr.Dataset(
        variables,
        coords={
            "activation": [key],
            "stage": list(STAGES),
            "initializer": list(config.initializers),
            "seed": np.array(chosen, dtype=np.int32),
            "hidden_layer": np.arange(1, config.depth + 1, dtype=np.int32),
            "level": np.array(LEVELS),
        },
    )


def study_files(dataset: xr.Dataset) -> dict[str, Any]:  # noqa: ARG001 - one signature for all
    """Return the study's data files, of which this experiment has none.

    Args:
        dataset: Not used.

    Returns:
        Nothing: the study documents figures alone.
    """
    return {}


def calibration(config: Config) -> Config:
    """Return a short run of the same shape, from which to estimate how long a run takes.

    Args:
        config: The run to be estimated.

    Returns:
        A few seeds for a few epochs.
    """
    few = seeds.expand(config.seeds)[: max(2, config.trained_seeds)]
    return dataclasses.replace(config, seeds=few, epochs=min(config.epochs, 20))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    if metric["name"] not in ("dead_share", "dead_share_ratio", "saturated_share"):
        return {}
    if not config.trained_seeds:
        return {"initializer": ((), "trained_seeds")}
    return {"initializer": (tuple(config.trained_initializers), "trained_initializers")}
