"""Running a robustness map's grid; torch is loaded where networks are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from actbench.claims import metrics
from actbench.claims.claims_file import ClaimsFile
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder, write_json
from actbench.study.robustness.grid import (
    COMMAND,
    SCHEMA_VERSION,
    Cell,
    Grid,
    Robustness,
    Setting,
    load,
    mapped_claims,
    metric_key,
)

_ESCAPE = {"name": "escape_epoch", "activation": "sigmoid"}
_DIGITS = 6  # of a stored value; two processors part earlier


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
