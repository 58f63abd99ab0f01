"""The study's experiment 3: which learning rates train which depths, and with which outcome."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench.store import datasets, environment
from actbench.store.checkpoints import Checkpoint, compute_now
from actbench.store.errors import ActbenchError, require_positive_int
from actbench.study.catalog import activations, initializers, targets
from actbench.study.experiments import settings
from actbench.study.experiments._losses import first_non_finite, mean_square_error
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, Task, Training, train_all

OUTCOMES = ("converged", "stuck", "unstable", "diverged")
"""What can become of a training, from best to worst."""

_LATE = 0.2  # of the curve, at its end
_WORSE = 2.0  # times the start
_RISE = 0.1  # of the variance, or of the lowest loss where that is larger
_OFTEN = 0.1  # of the late losses
_LEARNED = 0.95  # of the variance; below it a network has learned something

_RULES = (
    "The curve is the loss before each update and after the last; 'late' is its last fifth, "
    "'variance' the error of the best constant, 'start' the larger of variance and first loss. In "
    "this order: diverged, if a loss is not finite or all late losses are above twice the start; "
    "unstable, if more than a tenth of the late losses are above the lowest loss before them by "
    "more than a tenth of that loss or of the variance, whichever is larger; stuck, if no late "
    "loss is below 0.95 variance, which means within these epochs; converged otherwise: the loss "
    "may still be falling, and rises that are early, rare or small are no fault"
)


def classify(curve: NDArray[np.floating[Any]], variance: float) -> NDArray[np.str_]:
    """Say what became of trainings, from their loss curves alone; ``_RULES`` says how.

    Where a training ends decides, as in maps of trainability (Sohl-Dickstein 2024, section 2):
    it may pass through a catapult (Lewkowycz et al. 2020) or run at the edge of stability, where
    a loss falls over long times and not from step to step (Cohen et al. 2021; for Adam, 2022).

    Of losses before each update and after the last, shape ``(..., epochs + 1)``, and the mean
    squared error of the best constant; one of ``OUTCOMES`` for each curve, shape ``(...)``.
    """
    finite = np.isfinite(curve).all(-1)
    known = np.where(finite[..., None], curve, 0).astype(np.float64)
    late = slice(-math.ceil(_LATE * curve.shape[-1]), None)
    lowest = np.minimum.accumulate(known, -1)
    risen = known - lowest > _RISE * np.maximum(lowest, variance)
    worse = known > _WORSE * np.maximum(known[..., :1], variance)
    diverged = ~finite | worse[..., late].all(-1)
    unstable = risen[..., late].mean(-1) > _OFTEN
    stuck = (known[..., late] >= _LEARNED * variance).all(-1)
    converged, *others = OUTCOMES
    return np.select([diverged, unstable, stuck], others[::-1], converged)


def border(converged: NDArray[np.bool_], learning_rates: Sequence[float]) -> NDArray[np.float64]:
    """Find the largest learning rate that converges, 0 if none, shape ``(..., seed)``.

    From what converged, shape ``(..., learning_rate, seed)``.
    """
    rates = np.array(learning_rates, dtype=np.float64)[:, None]
    largest: NDArray[np.float64] = np.where(converged, rates, 0.0).max(-2)
    return largest


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol: every setting on which a number of this experiment depends.

    The study names this experiment and its figure and states none of its settings: the main
    run's are taken where they can be, the rest is chosen here.

    Args:
        activations: Keys of the activations.
        depths: Hidden layers, each at least 1; those of the study's experiment 1.
        learning_rates: Adam's step sizes, each positive.
        skip: Without (``False``) and with (``True``) skip connections: whether every hidden layer
            but the first adds its input to its output.
        seeds: A count (then 42, 43, ...) or the seeds themselves.
        epochs: Full-batch updates, at least 1.
        initializer: Key of the initializer; torch's default is what a script that says nothing
            gets.
        width: Units per hidden layer, at least 1; the study's.
        points: Inputs, evenly spaced on [-pi, pi], at least 2; fewer than the study's 200, which
            makes a training three times faster: the loss is a mean over the same interval.
        noise_std: Standard deviation of the noise on the targets, at least 0; the study's.
        noise_seed: Seed of the noise; the study's.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    depths: Sequence[int] = (5, 10, 20, 50)
    learning_rates: Sequence[float] = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
    skip: Sequence[bool] = (False, True)
    seeds: int | Sequence[int] = 2
    epochs: int = 120
    initializer: str = "torch_default"
    width: int = 64
    points: int = 64
    noise_std: float = 0.1
    noise_seed: int = 42
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    checked = settings.checks(
        depths=settings.each("depth", require_positive_int),
        learning_rates=settings.each("learning_rate", settings.positive),
        skip=settings.each_once,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(with_skip, bool) for with_skip in self.skip):
            raise ActbenchError(f"skip is {list(self.skip)!r}, but must hold False, True or both")

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members x hidden layers."""
        return super().steps * len(self.skip) * len(self.learning_rates) * sum(self.depths)

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "optimizer": "Adam, betas 0.9 and 0.999, eps 1e-8, full batch, no weight decay",
            "objective": "mean squared error on the noisy sine",
            "random_state": "reset to the member's seed before each network",
            "rules": _RULES,
        }


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Train every cell of the grid and say what became of it.

    Args:
        config: The protocol.
        progress: Called now and then with the number of epochs x members x hidden layers done
            since the last call; they add up to the config's ``steps``.
        checkpoint: Keeps what is finished, one part per activation without and one with skips.

    Returns:
        Dataset with ``outcome``, ``loss_peak``, ``final_mse`` and ``diverged (activation, skip,
        depth, learning_rate, seed)``, ``loss (..., epoch)``, ``stability_border (activation,
        skip, depth, seed)``, and the targets ``target_noisy`` and ``target_clean (x)``.

    Raises:
        ActbenchError: The device is not present.
    """
    device = devices.choose(config.device)
    target = targets.noisy_sine(config.points, config.noise_std, config.noise_seed)
    initializer = initializers.get(config.initializer)
    members = [Member(seed, initializer) for seed in config.seed_list]
    with devices.using_threads(config.threads) as threads:

        def part(key: str, with_skip: bool) -> xr.Dataset:
            tasks = [
                Task(
                    Architecture(activations.get(key), depth, config.width, with_skip),
                    members,
                    Schedule(config.epochs, rate, device=device, dtype=config.dtype),
                    target.x,
                    target.noisy,
                    weight=depth,
                )
                for depth, rate in itertools.product(config.depths, config.learning_rates)
            ]
            trainings = train_all(tasks, progress, threads)
            return _dataset(config, key, with_skip, target, trainings)

        along = {"activation": config.activations, "skip": config.skip}
        dataset = settings.in_parts(config, along, part, checkpoint, "{}, skip {}")
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, "stability", config.protocol(), facts)


def _dataset(
    config: Config,
    key: str,
    with_skip: bool,
    target: targets.Target,
    trainings: Sequence[Training],
) -> xr.Dataset:
    members = (1, 1, len(config.depths), len(config.learning_rates), len(trainings[0].loss))
    loss = np.stack([t.loss for t in trainings]).reshape(*members, -1)
    prediction = np.stack([t.prediction for t in trainings]).reshape(*members, -1)
    final = mean_square_error(prediction, target.noisy)
    curve = np.concatenate([loss, final[..., None]], -1)
    variance = float(np.var(target.noisy))
    outcome = classify(curve, variance)
    by_cell = ("activation", "skip", "depth")
    by_member = (*by_cell, "learning_rate", "seed")
    return xr.Dataset(
        {
            "outcome": (by_member, outcome),
            "stability_border": (
                (*by_cell, "seed"),
                border(outcome == "converged", config.learning_rates),
            ),
            "loss_peak": (by_member, curve.max(-1) / np.maximum(curve[..., 0], variance)),
            "final_mse": (by_member, final),
            "diverged": (by_member, first_non_finite(curve)),
            "loss": ((*by_member, "epoch"), loss),
            "target_noisy": ("x", target.noisy),
            "target_clean": ("x", target.clean),
        },
        coords={
            "activation": [key],
            "skip": np.array([with_skip], dtype=np.int32),
            "depth": np.array(config.depths, dtype=np.int32),
            "learning_rate": np.array(config.learning_rates, dtype=np.float64),
            "seed": np.array(config.seed_list, dtype=np.int32),
            "epoch": np.arange(config.epochs, dtype=np.int32),
            "x": target.x,
        },
    )


def calibration(config: Config) -> Config:
    """Return the same grid from one seed for few epochs, to estimate how long a run takes."""
    return dataclasses.replace(config, seeds=config.seed_list[:1], epochs=min(config.epochs, 6))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:  # noqa: ARG001 - one signature for all
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    return {"skip": (tuple(map(int, config.skip)), "skip")}
