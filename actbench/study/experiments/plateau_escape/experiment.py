"""Which depth leaves the plateau of the best constant in time, and how Adam's eps decides it.

A hidden layer more lowers the gradients on the plateau by a constant factor; once they are below
Adam's eps, a step is in proportion to them and no longer of the size of the learning rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from actbench.store import datasets, environment
from actbench.store.checkpoints import Checkpoint, compute_now
from actbench.store.errors import require_positive_int
from actbench.study.catalog import activations, initializers, targets
from actbench.study.experiments import settings
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, Training, train

_LOOK_EPOCH = 50  # the output has settled on the mean by then, and no deep network has left it


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol: networks of which depths, trained with which eps of Adam.

    Args:
        activations: Keys of the activations.
        seeds: A count (then 42, 43, ...) or the seeds themselves.
        depths: Hidden layers, each at least 1 and named once.
        adam_epsilons: What Adam adds to the root of its second moment, each positive and named
            once; torch's default is 1e-8.
        epochs: Full-batch updates, at least 1.
        initializer: Key of the initializer.
        learning_rate: Adam's step size, positive.
        width: Units per hidden layer, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        noise_std: Standard deviation of the noise on the targets, at least 0.
        noise_seed: Seed of the noise, the same for every member.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = ("sigmoid",)
    seeds: int | Sequence[int] = 16
    depths: Sequence[int] = (8, 9, 10, 11, 12, 13)
    adam_epsilons: Sequence[float] = (1e-8,)
    epochs: int = 500
    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    width: int = 64
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    checked = settings.checks(
        depths=settings.each("depths", require_positive_int),
        adam_epsilons=settings.each("adam_epsilons", settings.positive),
    )

    @property
    def look_epoch(self) -> int:
        """The epoch whose gradients are kept, the last one of a short run."""
        return min(_LOOK_EPOCH, self.epochs - 1)

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members."""
        return super().steps * len(self.depths) * len(self.adam_epsilons)

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "optimizer": "Adam, betas 0.9 and 0.999, full batch",
            "objective": "mean squared error on the noisy targets",
            "random_state": "reset to the member's seed before each network",
            "plateau_gradient": f"layer 1, before the update of epoch {self.look_epoch}",
        }


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Train every depth with every eps and keep how each network's loss went.

    Args:
        config: The protocol.
        progress: Called now and then with the number of epochs x members done since the last
            call; they add up to ``config.steps``.
        checkpoint: Keeps what is finished, one part per activation, depth and eps.

    Returns:
        Dataset with ``loss (activation, depth, adam_eps, seed, epoch)`` and with ``final_mse``,
        ``plateau_gradient`` and ``diverged (activation, depth, adam_eps, seed)``.

    Raises:
        ActbenchError: The device is not present.
    """
    device = devices.choose(config.device)
    target = targets.noisy_sine(config.points, config.noise_std, config.noise_seed)
    initializer = initializers.get(config.initializer)
    members = [Member(seed, initializer) for seed in config.seed_list]
    with devices.using_threads(config.threads) as threads:

        def part(key: str, depth: int, eps: float) -> xr.Dataset:
            schedule = Schedule(
                epochs=config.epochs,
                learning_rate=config.learning_rate,
                adam_eps=eps,
                recorded_epochs=(config.look_epoch,),
                device=device,
                dtype=config.dtype,
            )
            architecture = Architecture(activations.get(key), depth, config.width)
            training = train(
                architecture, members, schedule, target.x, target.noisy, progress, threads
            )
            return _dataset(config, (key, depth, eps), target, training)

        along = {
            "activation": config.activations,
            "depth": config.depths,
            "adam_eps": config.adam_epsilons,
        }
        dataset = settings.in_parts(config, along, part, checkpoint, "{}, depth {}, eps {:g}")
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, "plateau-escape", config.protocol(), facts)


def _dataset(
    config: Config, cell: tuple[str, int, float], target: targets.Target, training: Training
) -> xr.Dataset:
    key, depth, eps = cell
    by_member = ("activation", "depth", "adam_eps", "seed")
    values = {
        "final_mse": mean_square_error(training.prediction, target.noisy),
        "plateau_gradient": training.recorded["gradient_magnitude"][:, 0, 0],
        "diverged": first_non_finite(training.loss),
    }
    return xr.Dataset(
        {
            "loss": ((*by_member, "epoch"), training.loss[None, None, None]),
            **{name: (by_member, value[None, None, None]) for name, value in values.items()},
        },
        coords={
            "activation": [key],
            "depth": np.array([depth], dtype=np.int32),
            "adam_eps": np.array([eps], dtype=np.float64),
            "seed": np.array(config.seed_list, dtype=np.int32),
            "epoch": np.arange(config.epochs, dtype=np.int32),
        },
    )


def calibration(config: Config) -> Config:
    """Return the same members for few epochs, to estimate how long a run takes."""
    return dataclasses.replace(config, epochs=min(config.epochs, 8))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:  # noqa: ARG001 - one signature for all
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    return dict.fromkeys(("adam_eps", "over_adam_eps"), (config.adam_epsilons, "adam_epsilons"))
