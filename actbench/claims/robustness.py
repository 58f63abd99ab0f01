"""The robustness map: in which settings that the study leaves open does a claim hold?

A grid of settings around the stated protocol is run with a few seeds each; ``baselines`` keeps
every metric's values, so that a claim whose bounds change needs no new run. A relation holds in a
setting when the median over the seeds satisfies it (for the quantifier ``every``: when all seeds
do). That is the typical seed, without an interval: a map needs many settings rather than many
seeds, and the verdict itself rests on many seeds at the stated protocol.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actbench import metrics
from actbench.claims.claim import Claim, ClaimsFile, Relation
from actbench.claims.verdicts import judge_values
from actbench.errors import ActbenchError, require_schema
from actbench.files import baselines_folder, prepare_folder, write_json

SCHEMA_VERSION = 1
PROTOCOL = "stated"
COMMAND = "actbench robustness"
_ESCAPE = {"name": "escape_epoch", "activation": "sigmoid"}
_MODEL = ConfigDict(extra="forbid", frozen=True)
_DIGITS = 6  # of a stored value; two processors part earlier


class Setting(BaseModel):
    """One choice of what the study leaves open or might have chosen otherwise.

    Args:
        initializer: Key of the initializer.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        epochs: Full-batch updates.
    """

    model_config = _MODEL

    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    epochs: int = 500

    def but(self, **changes: str | float) -> Setting:
        """Return the same setting but for some changes.

        Args:
            changes: Field names and values.

        Returns:
            The other setting.
        """
        return self.model_copy(update=changes)


class Grid(BaseModel):
    """The settings of a map: initializers times learning rates, the rest one at a time.

    Args:
        stated: Where everything starts: what the study states, else torch's defaults.
        initializers: Keys of the initializers.
        learning_rates: All are combined with all initializers.
        weight_decays: Variations of the stated setting.
        epochs: Variations of the stated setting.
        seeds: Seeds per setting, 42 and on.
        escape_initializers: Where sigmoid's escape from its plateau is measured.
        escape_seeds: Seeds of each of these distributions, 42 and on.
    """

    model_config = _MODEL

    stated: Setting = Setting()
    initializers: tuple[str, ...] = Field(
        default=(
            *("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"),
            *("normal(0.03)", "normal(0.05)", "normal(0.07)", "normal(0.1)", "normal(0.15)"),
        ),
        min_length=1,
    )
    learning_rates: tuple[float, ...] = Field(default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), min_length=1)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3)
    epochs: tuple[int, ...] = (250, 1000, 2000)
    seeds: int = Field(default=5, ge=1)
    escape_initializers: tuple[str, ...] = ("torch_default", "xavier_normal", "he_normal")
    escape_seeds: int = Field(default=200, ge=1)

    @property
    def product(self) -> tuple[Setting, ...]:
        """Every initializer with every learning rate."""
        pairs = itertools.product(self.initializers, self.learning_rates)
        return tuple(self.stated.but(initializer=i, learning_rate=rate) for i, rate in pairs)

    @property
    def variations(self) -> tuple[Setting, ...]:
        """The stated setting with one other weight decay or number of epochs."""
        return (
            *(self.stated.but(weight_decay=decay) for decay in self.weight_decays),
            *(self.stated.but(epochs=epochs) for epochs in self.epochs),
        )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, each once."""
        return tuple(dict.fromkeys((*self.product, *self.variations)))


class Cell(BaseModel):
    """What the seeds of one setting came to.

    Args:
        setting: The setting.
        values: Metric, as ``metric_key`` writes it, to one value per seed; ``None`` where it is
            not finite.
    """

    model_config = _MODEL

    setting: Setting
    values: dict[str, Annotated[list[float | None], Field(min_length=1)]]


class Robustness(BaseModel):
    """A map as it is stored.

    Args:
        schema_version: Of the file's shape.
        command: What writes it.
        grid: What was asked for; fewer cells are there while a run is under way.
        environment: What it was computed with.
        cells: One per setting.
        escape_epochs: Initializer to the epoch at which each seed's sigmoid network left the
            plateau within the stated epochs; ``None`` for one that did not.
    """

    model_config = _MODEL

    schema_version: int
    command: str
    grid: Grid
    environment: dict[str, str | int]
    cells: list[Cell]
    escape_epochs: dict[str, list[float | None]]

    def outcomes(self, claim: Claim, relation: Relation | None = None) -> dict[Setting, Outcome]:
        """Say for every setting whether a claim holds there.

        Args:
            claim: One of ``mapped_claims``.
            relation: What must hold instead of the claim's own relation.

        Returns:
            Setting to outcome.

        Raises:
            ActbenchError: The map lacks the claim's metric.
        """
        key = metric_key(claim.metric)
        if any(key not in cell.values for cell in self.cells):
            raise ActbenchError(
                f"the robustness map lacks {key} of claim {claim.id!r}. Complete it with: {COMMAND}"
            )
        judged = claim if relation is None else claim.model_copy(update={"relation": relation})
        return {cell.setting: _outcome(judged, _floats(cell.values[key])) for cell in self.cells}


@dataclass(frozen=True)
class Outcome:
    """What came out for one claim in one setting.

    Args:
        holds: Whether the relation holds for the typical seed; for ``every``, for all seeds.
        share: Share of the seeds inside the relation.
        median: Of the metric over the seeds; infinite where it is not finite.
    """

    holds: bool
    share: float
    median: float


def metric_key(metric: Mapping[str, Any]) -> str:
    """Write a metric as one word.

    Args:
        metric: Name and arguments.

    Returns:
        Such as ``"final_mse(activation=relu)"``.
    """
    arguments = ", ".join(f"{key}={metric[key]}" for key in sorted(metric) if key != "name")
    return f"{metric['name']}({arguments})"


def _floats(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([math.inf if value is None else value for value in values])


def _outcome(claim: Claim, values: NDArray[np.float64]) -> Outcome:
    if claim.relation is None:
        raise ValueError(f"claim {claim.id!r} is not testable")
    share = float(np.mean([claim.relation.contains(float(value)) for value in values]))
    # The judge's own median, so that a run that is not finite counts here as it does there.
    typical = claim.model_copy(update={"quantifier": "median"})
    median = judge_values(typical, values, alpha=0.5).measured
    if median is None:
        raise ValueError(f"claim {claim.id!r} has no values")
    holds = share == 1 if claim.quantifier == "every" else claim.relation.contains(median)
    return Outcome(holds, share, median)


def mapped_claims(claims: ClaimsFile) -> list[Claim]:
    """Pick the claims that the map is about.

    Args:
        claims: A claims file.

    Returns:
        The claims of the stated protocol that speak of seeds.
    """
    return [c for c in claims.claim if c.protocol == PROTOCOL and c.quantifier != "exact"]


def path_of(folder: Path | None = None) -> Path:
    """Return where the map is stored.

    Args:
        folder: Another folder than the shipped ``baselines``.

    Returns:
        The path.
    """
    return (folder or baselines_folder()) / "robustness.json"


def load(path: Path | None = None) -> Robustness:
    """Read a stored map.

    Args:
        path: Another file than the shipped one.

    Returns:
        The map.

    Raises:
        ActbenchError: It is missing, damaged or of another schema.
    """
    path = path or path_of()
    try:
        loaded = Robustness.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ActbenchError(f"no robustness map is stored in {path}. Run: {COMMAND}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ActbenchError(f"{path} is not a robustness map: {where}: {first['msg']}") from error
    require_schema(path, loaded.schema_version, SCHEMA_VERSION, f"Run: {COMMAND} --overwrite")
    return loaded


def steps(grid: Grid) -> int:
    """Return how many steps of progress ``run`` reports for a whole grid.

    Args:
        grid: The settings.

    Returns:
        Epochs x members of all trainings.
    """
    from actbench.experiments.sine_regression import STUDY_ACTIVATIONS

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
    """Run what a stored map lacks of a grid, and store after every setting. Loads torch.

    Args:
        grid: The settings.
        claims: Whose metrics are kept.
        path: Where the map is stored; a part of the same grid that is there already is kept.
        progress: Called now and then with the epochs x members done since the last call.
        threads: CPU threads.
        overwrite: Whether a stored map is replaced.

    Returns:
        The whole map.

    Raises:
        ActbenchError: A map of another grid or environment is stored there, or a setting is out
            of range.
    """
    from actbench import devices, environment

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
        stored = load(path)
        if stored.grid != grid or stored.environment != environment:
            raise ActbenchError(
                f"{path} is of another grid or environment. Replace it with: {COMMAND} --overwrite"
            )
        return stored
    return Robustness(
        schema_version=SCHEMA_VERSION,
        command=COMMAND,
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
    """Train the networks of one setting and compute its metrics. Loads torch.

    Args:
        setting: The setting.
        seeds: How many seeds, from 42 on.
        wanted: Metrics by the name under which to keep them.
        progress: Told about every few epochs.
        threads: CPU threads.

    Returns:
        The setting's cell.

    Raises:
        ActbenchError: The setting is out of range, or a metric can't be computed.
    """
    from actbench.experiments import sine_regression

    used = {str(m[k]) for m in wanted.values() for k in ("activation", "over") if k in m}
    names = [name for name in sine_regression.STUDY_ACTIVATIONS if name in used]
    config = sine_regression.Config(
        activations=names, seeds=seeds, device="cpu", threads=threads, **setting.model_dump()
    )
    dataset = sine_regression.run(config, progress)
    values = {key: metrics.measure(metric, dataset) for key, metric in wanted.items()}
    return Cell(setting=setting, values={key: _rounded(array) for key, array in values.items()})


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [float(f"{v:.{_DIGITS}g}") if math.isfinite(v) else None for v in values]
