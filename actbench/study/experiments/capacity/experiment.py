"""The study's experiment 4: which functions shallow and deep networks of one size can be taught."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator, make_smoothing_spline

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

_Array = NDArray[np.float64]

REFERENCES: Mapping[str, str] = {
    "best_constant": "mean of the noisy points",
    "best_line": "least-squares line",
    "smoothing_spline": "natural cubic smoothing spline, its penalty by generalized cross-"
    "validation (Wahba 1990, section 4.3; scipy's make_smoothing_spline)",
    "kernel_ridge": "ridge regression in the space of Gaussian kernels, with a free constant; "
    "width and penalty by leaving one point out (Allen 1974; scipy's RBFInterpolator)",
}
"""Key of each reference, and what it is."""

_FEWEST_POINTS = 5
"""A smoothing spline needs as many."""

_WIDTHS = np.geomspace(0.03, 3, 9)  # of the kernel, in units of x
_PENALTIES = np.geomspace(1e-4, 10, 6)


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol: every setting on which a number of this experiment depends.

    The study names this experiment and its figures and states none of its settings: the main
    run's are taken where they can be, the rest is chosen here. Two hidden layers of 192 units
    have exactly as many parameters as the study's ten of 64: 37,633.

    Args:
        activations: Keys of the activations.
        targets: Keys of the functions to learn.
        depths: Hidden layers of each shape, each at least 1.
        widths: Units per hidden layer of each shape, each at least 1; as many as depths.
        seeds: A count (then 42, 43, ...) or the seeds themselves.
        epochs: Full-batch updates, at least 1; the study's.
        initializer: Key of the initializer; torch's default is what a script that says nothing
            gets.
        learning_rate: Adam's step size, positive; the study's.
        points: Inputs, evenly spaced on [-pi, pi], at least 5; the study's.
        noise_std: Standard deviation of the noise on the targets, at least 0; the study's.
        noise_seed: Seed of the noise, the same for every target; the study's.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    targets: Sequence[str] = tuple(targets.TARGETS)
    depths: Sequence[int] = (2, 10)
    widths: Sequence[int] = (192, 64)
    seeds: int | Sequence[int] = 3
    epochs: int = 500
    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    checked = settings.checks(depths=settings.each_once, points=settings.at_least(_FEWEST_POINTS))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != len(self.depths):
            raise ActbenchError(
                f"widths are {list(self.widths)!r}, but must be one for each of the depths "
                f"{list(self.depths)!r}"
            )
        for name in ("depth", "width"):
            for size in getattr(self, f"{name}s"):
                require_positive_int(name, size)

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members."""
        return super().steps * len(self.targets) * len(self.depths)

    def architecture(self, activation: str, depth: int) -> Architecture:
        """Return the shape of one of the depths, of the width that belongs to it."""
        width = self.widths[tuple(self.depths).index(depth)]
        return Architecture(activations.get(activation), depth, width)

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "optimizer": "Adam, betas 0.9 and 0.999, eps 1e-8, full batch, no weight decay",
            "objective": "mean squared error on the noisy targets",
            "random_state": "reset to the member's seed before each network",
            "formulas": {key: targets.get(key).formula for key in self.targets},
            "references": dict(REFERENCES),
        }


@pinned_state()
def run(
    config: Config,
    progress: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint = compute_now,
) -> xr.Dataset:
    """Train every activation and shape on every target, and fit the references to them.

    Args:
        config: The protocol.
        progress: Called now and then with the number of epochs x members done since the last
            call; they add up to the config's ``steps``.
        checkpoint: Keeps what is finished, one part per activation.

    Returns:
        Dataset with ``final_mse``, ``final_mse_clean`` and ``diverged (activation, target, depth,
        seed)``, ``prediction (..., x)``, ``target_noisy`` and ``target_clean (target, x)``,
        ``width`` and ``parameters (depth)``, ``reference_mse`` and ``reference_mse_clean
        (reference, target)``, ``reference_prediction (reference, target, x)`` and
        ``kernel_ridge_freedom (target)``.

    Raises:
        ActbenchError: The device is not present.
    """
    device = devices.choose(config.device)
    data = {
        key: targets.noisy(key, config.points, config.noise_std, config.noise_seed)
        for key in config.targets
    }
    initializer = initializers.get(config.initializer)
    members = [Member(seed, initializer) for _ in data for seed in config.seed_list]
    schedule = Schedule(config.epochs, config.learning_rate, device=device, dtype=config.dtype)
    x = next(iter(data.values())).x
    y = np.repeat(_stacked(data, "noisy"), len(config.seed_list), axis=0)
    with devices.using_threads(config.threads) as threads:

        def part(key: str) -> xr.Dataset:
            shapes = [config.architecture(key, depth) for depth in config.depths]
            tasks = [Task(shape, members, schedule, x, y) for shape in shapes]
            return _dataset(config, key, data, train_all(tasks, progress, threads))

        along = {"activation": config.activations}
        dataset = settings.in_parts(config, along, part, checkpoint)
    dataset = dataset.merge(_references(config, data))
    facts = environment.describe(str(device), threads)
    return datasets.finish(dataset, "capacity", config.protocol(), facts)


def _dataset(
    config: Config,
    key: str,
    data: dict[str, targets.Target],
    trainings: Sequence[Training],
) -> xr.Dataset:
    shape = (len(data), len(config.seed_list), -1)

    def by_cell(name: str) -> NDArray[Any]:
        """Return ``(activation, target, depth, seed, ...)``."""
        return np.stack([getattr(t, name).reshape(shape) for t in trainings], 1)[None]

    loss, prediction = by_cell("loss"), by_cell("prediction")
    noisy, clean = (_stacked(data, name)[:, None, None] for name in ("noisy", "clean"))
    by_member = ("activation", "target", "depth", "seed")
    return xr.Dataset(
        {
            "final_mse": (by_member, mean_square_error(prediction, noisy)),
            "final_mse_clean": (by_member, mean_square_error(prediction, clean)),
            "diverged": (by_member, first_non_finite(loss)),
            "prediction": ((*by_member, "x"), prediction),
        },
        coords={
            "activation": [key],
            "target": list(data),
            "depth": np.array(config.depths, dtype=np.int32),
            "seed": np.array(config.seed_list, dtype=np.int32),
            "x": next(iter(data.values())).x,
        },
    )


def _references(config: Config, data: dict[str, targets.Target]) -> xr.Dataset:
    x = next(iter(data.values())).x
    ridge = KernelRidge(x)
    found = [fit_all(x, target.noisy, ridge) for target in data.values()]
    fits = np.array([[fit[key] for fit, _ in found] for key in REFERENCES])
    shapes = [config.architecture(config.activations[0], depth) for depth in config.depths]
    by_reference = ("reference", "target")
    return xr.Dataset(
        {
            "target_noisy": (("target", "x"), _stacked(data, "noisy")),
            "target_clean": (("target", "x"), _stacked(data, "clean")),
            "reference_prediction": ((*by_reference, "x"), fits),
            "reference_mse": (by_reference, mean_square_error(fits, _stacked(data, "noisy"))),
            "reference_mse_clean": (by_reference, mean_square_error(fits, _stacked(data, "clean"))),
            "kernel_ridge_freedom": ("target", [freedom for _, freedom in found]),
            "width": ("depth", np.array(config.widths, dtype=np.int32)),
            "parameters": (
                "depth",
                np.array([shape.parameter_count for shape in shapes], dtype=np.int32),
            ),
        },
        coords={"reference": list(REFERENCES), "target": list(data), "x": x},
    )


def _stacked(data: dict[str, targets.Target], name: str) -> _Array:
    return np.stack([getattr(target, name) for target in data.values()])


class KernelRidge:
    """Kernel ridge regression on fixed points, all different, for any targets on them."""

    def __init__(self, x: _Array) -> None:
        column, unit = x[:, None], np.eye(len(x))
        # The fit is linear in the targets: row i of the matrix says how fit i is made of them.
        self._fits = [
            RBFInterpolator(column, unit, kernel="gaussian", epsilon=1 / width, smoothing=penalty)(
                column
            )
            for width, penalty in itertools.product(_WIDTHS, _PENALTIES)
        ]

    def fit(self, y: _Array) -> tuple[_Array, float]:
        """Fit targets with the width and penalty that predict points left out best.

        The error at a point that was left out follows from the full fit: its residual over one
        minus its own weight in its fit (Allen 1974, eq. 3). Returned with the fit is its effective
        number of parameters, the trace of the matrix that maps targets to fits.
        """
        best = min(self._fits, key=lambda matrix: float(np.mean(left_out_errors(matrix, y) ** 2)))
        return best @ y, float(np.trace(best))


def left_out_errors(matrix: _Array, y: _Array) -> _Array:
    """Return how far each point is from the fit to all others; the matrix maps targets to fits."""
    errors: _Array = (y - matrix @ y) / (1 - np.diag(matrix))
    return errors


def fit_all(x: _Array, y: _Array, ridge: KernelRidge) -> tuple[dict[str, _Array], float]:
    """Fit points in increasing order by every reference, with the ridge made for these points.

    Beside the fits: the effective number of parameters of the kernel ridge regression.
    """
    kernel, freedom = ridge.fit(y)
    fits = {
        "best_constant": np.full_like(y, y.mean()),
        "best_line": np.polynomial.Polynomial.fit(x, y, 1)(x),
        "smoothing_spline": np.asarray(make_smoothing_spline(x, y)(x), dtype=np.float64),
        "kernel_ridge": kernel,
    }
    return fits, freedom


def calibration(config: Config) -> Config:
    """Return the same networks from two seeds for few epochs, to estimate how long a run takes."""
    return dataclasses.replace(config, seeds=config.seed_list[:2], epochs=min(config.epochs, 14))


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:  # noqa: ARG001 - one signature for all
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    return {"reference": (tuple(REFERENCES),)}
