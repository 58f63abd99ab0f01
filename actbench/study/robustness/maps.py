"""A robustness map: what it varies, which claims it is about, and the map as it is stored.

Torch is loaded where networks are trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from actbench.claims import metrics
from actbench.claims.claim import Claim, Relation
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.verdicts import center
from actbench.store import stored
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder, prepare_folder, write_json

SCHEMA_VERSION = 1
_PROTOCOL = "stated"
_COMMAND = "actbench robustness"
_MEASURE = f"{_COMMAND} --measure"
_ESCAPE = {"name": "escape_epoch", "activation": "sigmoid"}
_DIGITS = 6  # of a stored value; two processors part earlier


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Stored):
    """One choice of what the study leaves open or might have chosen otherwise."""

    initializer: str = "torch_default"
    learning_rate: float = 1e-3  # Adam's step size
    weight_decay: float = 0.0  # Adam's L2 penalty
    epochs: int = 500  # full-batch updates
    depth: int = 10  # hidden layers

    def but(self, **changes: str | float) -> Setting:
        """Return the same setting but for some changes."""
        return self.model_copy(update=changes)


class Grid(_Stored):
    """The settings of a map: initializers times learning rates, the rest one at a time."""

    # Where everything starts: what the study states, else torch's defaults.
    stated: Setting = Setting()
    initializers: tuple[str, ...] = Field(
        default=(
            *("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"),
            *("normal(0.03)", "normal(0.05)", "normal(0.07)", "normal(0.1)", "normal(0.15)"),
        ),
        min_length=1,
    )
    # All are combined with all initializers.
    learning_rates: tuple[float, ...] = Field(default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), min_length=1)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3)  # of the stated setting, as below
    epochs: tuple[int, ...] = (250, 1000, 2000)
    depths: tuple[int, ...] = (8, 9, 11, 12)
    seeds: int = Field(default=5, ge=1)  # seeds per setting, 42 and on
    # Where sigmoid's escape from its plateau is measured.
    escape_initializers: tuple[str, ...] = ("torch_default", "xavier_normal", "he_normal")
    escape_seeds: int = Field(default=200, ge=1)  # seeds of each of these distributions, 42 and on

    @property
    def product(self) -> tuple[Setting, ...]:
        """Every initializer with every learning rate."""
        pairs = itertools.product(self.initializers, self.learning_rates)
        return tuple(self.stated.but(initializer=i, learning_rate=rate) for i, rate in pairs)

    @property
    def variations(self) -> tuple[Setting, ...]:
        """The stated setting with one other weight decay, number of epochs or depth."""
        return (
            *(self.stated.but(weight_decay=decay) for decay in self.weight_decays),
            *(self.stated.but(epochs=epochs) for epochs in self.epochs),
            *(self.stated.but(depth=depth) for depth in self.depths),
        )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, each once."""
        return tuple(dict.fromkeys((*self.product, *self.variations)))


@dataclass(frozen=True)
class Outcome:
    """What came out for one claim in one setting."""

    holds: bool  # whether the relation holds for the typical seed; for `every`, for all seeds
    share: float  # share of the seeds inside the relation
    median: float  # of the metric over the seeds; infinite where it is not finite


def metric_key(metric: Mapping[str, Any]) -> str:
    """Write a metric as one word."""
    arguments = ", ".join(f"{key}={metric[key]}" for key in sorted(metric) if key != "name")
    return f"{metric['name']}({arguments})"


def _outcome(claim: Claim, values: NDArray[np.float64]) -> Outcome:
    """Say whether a claim holds for the seeds of one setting."""
    if claim.relation is None:
        raise ValueError(f"claim {claim.id!r} is not testable")
    share = float(np.mean([claim.relation.contains(float(value)) for value in values]))
    # The judge's own median, so that a run that is not finite counts here as it does there.
    median = center("median", claim.relation, values)
    holds = share == 1 if claim.quantifier == "every" else claim.relation.contains(median)
    return Outcome(holds, share, median)


def mapped_claims(claims: ClaimsFile) -> list[Claim]:
    """Pick the claims that the map is about."""
    return [c for c in claims.claim if c.protocol == _PROTOCOL and c.quantifier != "exact"]


class Cell(_Stored):
    """What the seeds of one setting came to."""

    setting: Setting
    # Metric, as `metric_key` writes it, to one value per seed, finite or not.
    values: dict[str, Annotated[list[stored.Value], Field(min_length=1)]]


class Robustness(_Stored):
    """A map as it is stored."""

    schema_version: int  # of the file's shape
    command: str  # what writes it
    grid: Grid  # what was asked for; fewer cells are there while a run is under way
    environment: dict[str, str | int]
    cells: list[Cell]
    # Initializer to the epoch at which each seed's sigmoid network left the plateau within the
    # stated epochs; infinite for one that did not.
    escape_epochs: dict[str, list[stored.Value]]

    def has(self, claim: Claim) -> bool:
        """Whether a claim's metric was measured in every setting."""
        return all(metric_key(claim.metric) in cell.values for cell in self.cells)

    def outcomes(self, claim: Claim, relation: Relation | None = None) -> dict[Setting, Outcome]:
        """Say for every setting whether a claim holds there."""
        key = metric_key(claim.metric)
        if not self.has(claim):
            raise ActbenchError(
                f"the robustness map lacks {key} of claim {claim.id!r}. Complete it with: "
                f"{_MEASURE}"
            )
        judged = claim if relation is None else claim.model_copy(update={"relation": relation})
        return {cell.setting: _outcome(judged, np.array(cell.values[key])) for cell in self.cells}


def path_of(folder: Path | None = None) -> Path:
    """Return where the map is stored."""
    return (folder or baselines_folder()) / "robustness.json"


def load(path: Path | None = None) -> Robustness:
    """Read a stored map."""
    path = path or path_of()
    remedy = f"Run: {_MEASURE} --overwrite"
    return stored.load(Robustness, path, SCHEMA_VERSION, "the robustness map", remedy)


def steps(grid: Grid) -> int:
    """Return how many steps of progress ``run`` reports for a whole grid."""
    from actbench.study.experiments.sine_regression import STUDY_ACTIVATIONS

    trained = sum(s.epochs for s in grid.settings) * grid.seeds * len(STUDY_ACTIVATIONS)
    escapes = len(grid.escape_initializers) * grid.escape_seeds * grid.stated.epochs
    return trained + escapes


def run(
    grid: Grid,
    claims: ClaimsFile,
    path: Path,
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
    overwrite: bool = False,
) -> Robustness:
    """Run what a stored map lacks of a grid, and store after every setting. Loads torch."""
    from actbench.store import environment
    from actbench.study.nets import devices

    with devices.using_threads(threads) as count:
        robustness = _begun(grid, environment.describe("cpu", count), path, overwrite)
    wanted = {metric_key(claim.metric): claim.metric for claim in mapped_claims(claims)}
    known = {c.setting: c for c in robustness.cells if wanted.keys() <= c.values.keys()}
    for setting in grid.settings:
        if setting not in known:
            known[setting] = measure(setting, grid.seeds, wanted, progress, threads)
            cells = [known[each] for each in grid.settings if each in known]
            robustness = _store(robustness, path, cells=cells)
    for initializer in grid.escape_initializers:
        if initializer not in robustness.escape_epochs:
            setting = grid.stated.but(initializer=initializer)
            cell = measure(setting, grid.escape_seeds, {"escape": _ESCAPE}, progress, threads)
            escapes = {**robustness.escape_epochs, initializer: cell.values["escape"]}
            robustness = _store(robustness, path, escape_epochs=escapes)
    return robustness


def _begun(
    grid: Grid, environment: dict[str, str | int], path: Path, overwrite: bool
) -> Robustness:
    """Return what is stored of a grid, else a map without a cell."""
    prepare_folder(path.parent)
    if path.exists() and not overwrite:
        found = load(path)
        if found.grid != grid or found.environment != environment:
            raise ActbenchError(
                f"{path} is of another grid or environment. Replace it with: {_MEASURE} --overwrite"
            )
        return found
    return Robustness(
        schema_version=SCHEMA_VERSION,
        command=_COMMAND,
        grid=grid,
        environment=environment,
        cells=[],
        escape_epochs={},
    )


def _store(robustness: Robustness, path: Path, **changes: object) -> Robustness:
    changed = robustness.model_copy(update=changes)
    write_json(path, changed.model_dump())
    return changed


def measure(
    setting: Setting,
    seeds: int,
    wanted: Mapping[str, Mapping[str, Any]],
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
) -> Cell:
    """Train the networks of one setting and compute its metrics. Loads torch."""
    from actbench.study.experiments import sine_regression

    used = {str(m[k]) for m in wanted.values() for k in ("activation", "over") if k in m}
    names = [name for name in sine_regression.STUDY_ACTIVATIONS if name in used]
    config = sine_regression.Config(
        activations=names, seeds=seeds, device="cpu", threads=threads, **setting.model_dump()
    )
    dataset = sine_regression.run(config, progress)
    values = {key: metrics.measure(metric, dataset) for key, metric in wanted.items()}
    return Cell(setting=setting, values={key: _rounded(array) for key, array in values.items()})


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{v:.{_DIGITS}g}") for v in values]
