"""Distributions of pre-activations and activations, sparsity, dead and saturated units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from actbench.store import datasets, environment
from actbench.store.checkpoints import Checkpoint, compute_now
from actbench.store.errors import unknown_name
from actbench.store.parallel import Progress, side_by_side
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.activations import Activation
from actbench.study.experiments import settings
from actbench.study.experiments._losses import mean_square_error
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import DTYPES, Member, Schedule, Task, Training, train_all

_STAGES = ("initial", "trained")
LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Probabilities of the quantiles."""

# Drawing a network and looking at all its layers takes about as long as this many of its epochs.
_STEPS_PER_LOOK = 6
_STACK_MEMBERS = 16


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol: what is looked at, and how the trained networks were trained.

    Args:
        activations: Keys of the activations.
        seeds: A count (then 42, 43, ...) or the seeds themselves, looked at where they start.
        initializers: Keys of the initializers.
        trained_initializers: Those of them from which networks are trained.
        trained_seeds: How many of the seeds are trained, the first ones; all where there are no
            more, at least 0.
        epochs: Full-batch updates, at least 1.
        learning_rate: Adam's step size, positive.
        depth: Hidden layers, at least 1.
        width: Units per hidden layer, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        noise_std: Standard deviation of the noise on the targets, at least 0.
        noise_seed: Seed of the noise, the same for every member.
        epsilon: An activation of a smaller absolute value counts as near zero; positive.
        saturation: Where the activation's derivative is smaller than this share of its largest
            one, a unit counts as saturated; positive.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    seeds: int | Sequence[int] = 16
    initializers: Sequence[str] = (
        "torch_default",
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
    )
    trained_initializers: Sequence[str] = ("torch_default", "he_normal")
    trained_seeds: int = 4
    epochs: int = 500
    learning_rate: float = 1e-3
    depth: int = 10
    width: int = 64
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    epsilon: float = 0.01
    saturation: float = 0.01
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    checked = settings.checks(
        trained_seeds=settings.zero_or_positive_int,
        epsilon=settings.positive,
        saturation=settings.positive,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in self.trained_initializers:
            if key not in self.initializers:
                raise unknown_name("trained initializer", key, self.initializers)

    @property
    def members(self) -> tuple[Member, ...]:
        """Every network that is looked at where it starts, initializer by initializer."""
        return _members(self.initializers, self.seed_list)

    @property
    def trained_members(self) -> tuple[Member, ...]:
        """Those of them that are trained."""
        return _members(self.trained_initializers, self.seed_list[: self.trained_seeds])

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members, a look counted as several."""
        looks = _STEPS_PER_LOOK * len(self.members)
        return len(self.activations) * (looks + self.epochs * len(self.trained_members))

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "optimizer": "Adam, betas 0.9 and 0.999, eps 1e-8, full batch",
            "objective": "mean squared error on the noisy targets",
            "random_state": "reset to the member's seed before each network",
            "pooling": "over the inputs and the units of one layer of one network",
            "quantiles": "order statistics of nearest rank, not interpolated",
            "near_zero": "absolute value below epsilon",
            "saturated": "|derivative| of the activation below saturation x its largest value",
            "dead": "output exactly zero on every input",
        }


def _members(keys: Sequence[str], chosen: Sequence[int]) -> tuple[Member, ...]:
    return tuple(Member(seed, initializers.get(key)) for key in keys for seed in chosen)


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
    x = torch.tensor(target.x, dtype=DTYPES[config.dtype], device=device)[:, None]
    schedule = Schedule(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        recorded_epochs=(config.epochs,),
        device=device,
        dtype=config.dtype,
    )

    def look(stack: Stack, x: Tensor, output_gradient: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG001 - the signature of every recorder
        return statistics(stack, x, config.epsilon, config.saturation)

    members = config.trained_members
    with devices.using_threads(config.threads) as threads:

        def part(key: str) -> xr.Dataset:
            architecture = Architecture(activations.get(key), config.depth, config.width)
            initial = _initial(config, architecture, x, progress, threads)
            task = Task(architecture, members, schedule, target.x, target.noisy, look)
            trainings = train_all([task], progress, threads) if members else [None]
            return _dataset(config, key, target, initial, *trainings)

        along = {"activation": config.activations}
        dataset = settings.in_parts(config, along, part, checkpoint)
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, "activation-statistics", config.protocol(), facts)


def _initial(
    config: Config, architecture: Architecture, x: Tensor, progress: Progress, threads: int
) -> dict[str, NDArray[Any]]:
    def look(members: Sequence[Member], report: Progress) -> dict[str, Tensor]:
        networks = (seeded_network(architecture, m.initializer, m.seed) for m in members)
        stack = Stack(architecture, networks, len(members), len(x), x.device, x.dtype)
        stack.forward(x)
        found = statistics(stack, x, config.epsilon, config.saturation)
        report(_STEPS_PER_LOOK * len(members))
        return {name: values.cpu() for name, values in found.items()}

    starts = range(0, len(config.members), _STACK_MEMBERS)
    jobs = [partial(look, config.members[start : start + _STACK_MEMBERS]) for start in starts]
    found = side_by_side(jobs, progress, threads if x.device.type == "cpu" else 1)
    return {name: torch.cat([part[name] for part in found]).numpy() for name in found[0]}


def statistics(stack: Stack, x: Tensor, epsilon: float, saturation: float) -> dict[str, Tensor]:
    """Describe every hidden layer of every member, pooled over inputs and units.

    After a forward pass, of shape ``(member, hidden layer)``, quantiles ``(..., level)``; NaN where
    a member's numbers are not finite.
    """
    activation = stack.architecture.activation
    bound = saturation * max(abs(limit) for limit in activation.derivative_bounds)
    layers = []
    for number, a in enumerate(stack.activations):
        z = stack.pre_activation(x, number + 1)
        zero = a == 0
        saturated = _derivative(activation, z).abs() < bound
        found = {
            **_moments("pre_activation", z),
            **_moments("activation", a),
            "zero_share": _mean(zero),
            "near_zero_share": _mean(a.abs() < epsilon),
            "dead_unit_share": _mean(zero.all(1)),
            "saturated_share": _mean(saturated),
            "saturated_unit_share": _mean(saturated.all(1)),
        }
        finite = (z.isfinite() & a.isfinite()).all(2).all(1)
        layers.append({name: _only(finite, values.to(z)) for name, values in found.items()})
    return {name: torch.stack([layer[name] for layer in layers], 1) for name in layers[0]}


def _moments(name: str, values: Tensor) -> dict[str, Tensor]:
    """Of ``(member, points, unit)``."""
    pooled = values.flatten(1)
    # NumPy sorts rows of this length twenty times faster than torch.
    ordered = np.sort(pooled.cpu().numpy(), axis=1)
    ranks = [round(level * (ordered.shape[1] - 1)) for level in LEVELS]
    return {
        f"{name}_mean": pooled.mean(1),
        f"{name}_std": pooled.std(1, correction=0),
        f"{name}_quantile": torch.from_numpy(ordered[:, ranks]),
    }


def _derivative(activation: Activation, z: Tensor) -> Tensor:
    leaf = z.detach().requires_grad_()
    # A module made with inplace=True must not overwrite a leaf.
    (derivative,) = torch.autograd.grad(activation.module()(leaf.clone()).sum(), leaf)
    return derivative


def _mean(condition: Tensor) -> Tensor:
    return condition.flatten(1).float().mean(1)


def _only(finite: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(~finite.view(-1, *[1] * (values.dim() - 1)), torch.nan)


def _dataset(
    config: Config,
    key: str,
    target: targets.Target,
    initial: Mapping[str, NDArray[Any]],
    training: Training | None,
) -> xr.Dataset:
    chosen = config.seed_list
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
        both = np.full((1, len(_STAGES), *networks, *values.shape[1:]), np.nan, values.dtype)
        both[0, 0] = values.reshape(*networks, *values.shape[1:])
        if training is not None:
            both[0, 1][where] = training.recorded[name][:, 0]
        variables[name] = (dims[: both.ndim], both)
    return xr.Dataset(
        variables,
        coords={
            "activation": [key],
            "stage": list(_STAGES),
            "initializer": list(config.initializers),
            "seed": np.array(chosen, dtype=np.int32),
            "hidden_layer": np.arange(1, config.depth + 1, dtype=np.int32),
            "level": np.array(LEVELS),
        },
    )


def calibration(config: Config) -> Config:
    """Return a few seeds and epochs, to estimate how long a run takes."""
    few = config.seed_list[: max(2, config.trained_seeds)]
    return dataclasses.replace(config, seeds=few, epochs=min(config.epochs, 20))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    if metric["name"] not in ("dead_share", "dead_share_ratio", "saturated_share"):
        return {}
    if not config.trained_seeds:
        return {"initializer": ((), "trained_seeds")}
    return {"initializer": (tuple(config.trained_initializers), "trained_initializers")}
