"""An output folder: what is in it, what can be reused, and writing the rest."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.store import checkpoints, datasets, environment, studies
from actbench.store.errors import ActbenchError, OtherSchemaError
from actbench.store.files import prepare_folder, write_atomic, write_json
from actbench.store.studies import Experiment

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from actbench.store.parallel import Progress

_WHERE = {"device", "threads"}


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment."""

    dataset: xr.Dataset
    reused: bool  # read from the folder rather than computed
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the user should know, a sentence each


def default_name(experiment: Experiment) -> str:
    """Return the name of an experiment's file in an output folder."""
    return f"{experiment.key.replace('-', '_')}.nc"


def fulfil(
    experiment: Experiment,
    config: Any,
    out: Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Bring an output folder to hold an experiment's data, study files and figures.

    With a name of its file it is a variant of the experiment, which has data alone. Results of
    another protocol or environment are an error, unless they may be overwritten.
    """
    here = _environment_of(config)  # first: a device that is not there leaves no empty folder
    prepare_folder(out)
    path = out / (name or default_name(experiment))
    notes: list[str] = []
    dataset = None
    if path.exists() and not overwrite:
        dataset = _reusable(path, config.protocol(), here, notes)
    if dataset is not None:
        rest = [] if name else _write_rest(experiment, dataset, out, replace=False)
        return Outcome(dataset, True, rest, notes)
    if experiment.resumable:
        parts = checkpoints.Folder(path, experiment.key, config.protocol(), here, progress)
        dataset = experiment.module().run(config, progress, parts)
        notes += parts.notes
        if parts.reused:
            there = "1 part was" if parts.reused == 1 else f"{parts.reused} parts were"
            notes.append(f"went on after an interrupted run: {there} there already")
    else:
        dataset = experiment.module().run(config, progress)
    datasets.save(dataset, path)
    if experiment.resumable:
        parts.discard()
    rest = [] if name else _write_rest(experiment, dataset, out, replace=True)
    return Outcome(dataset, False, [path, *rest], notes)


def is_there(experiment: Experiment, config: Any, out: Path, name: str | None = None) -> bool:
    """Tell whether a folder holds what ``fulfil`` would bring it to hold, whole."""
    path = out / (name or default_name(experiment))
    if not path.exists():
        return False
    return _reusable(path, config.protocol(), _environment_of(config), []) is not None


def _reusable(
    path: Path, protocol: dict[str, Any], here: dict[str, Any], notes: list[str]
) -> xr.Dataset | None:
    try:
        dataset = datasets.load(path)
    except OtherSchemaError:
        raise
    except ActbenchError as error:
        notes.append(f"recomputed, because {error}")
        return None
    # What was asked for ("auto") does not matter; the environment has what was used.
    changed = _differences(datasets.protocol_of(dataset), protocol, _WHERE)
    # A device or number of threads that is no part of the protocol is one that is not used.
    unused = {name for name in _WHERE if name not in protocol}
    unused |= {"device_name"} if "device" in unused else set()
    changed += _differences(datasets.environment_of(dataset), here, unused)
    if changed:
        raise ActbenchError(
            f"{path} holds results of other settings ({'; '.join(changed)}). "
            "Replace them with --overwrite, or choose another folder with --out"
        )
    return dataset


def _environment_of(config: Any) -> dict[str, Any]:
    devices = studies.own_part("devices")
    with devices.using_threads(config.threads) as threads:
        return environment.describe(str(devices.choose(config.device)), threads)


def _differences(
    stored: dict[str, Any], asked: dict[str, Any], ignored: Set[str] = frozenset()
) -> list[str]:
    return [
        f"{name}: {stored.get(name)!r} there, {asked.get(name)!r} now"
        for name in sorted((stored.keys() | asked.keys()) - ignored)
        if stored.get(name) != asked.get(name)
    ]


def _write_rest(
    experiment: Experiment, dataset: xr.Dataset, out: Path, *, replace: bool
) -> list[Path]:
    from actbench.pages import saving
    from actbench.store.parallel import side_by_side

    made = (out / default_name(experiment)).stat().st_mtime_ns

    def wanted(path: Path) -> bool:
        # Older than the dataset means drawn from another one: a run stopped in between.
        return replace or not path.exists() or path.stat().st_mtime_ns < made

    written = []
    study_files = getattr(experiment.module(), "study_files", None)
    for name, content in (study_files(dataset) if study_files else {}).items():
        if wanted(out / name):
            write_json(out / name, content)
            written.append(out / name)
    films = [
        partial(_animated, dataset, out / f"{name}.gif", draw)
        for name, draw in experiment.drawn("ANIMATIONS").items()
        if wanted(out / f"{name}.gif")
    ]
    pictures = [
        partial(_pictured, dataset, out / name, draw)
        for name, draw in experiment.drawn().items()
        if any(wanted(out / f"{name}.{suffix}") for suffix in saving.SUFFIXES)
    ]
    # A film takes longest, so it goes first.
    jobs: list[Callable[[Progress], list[Path]]] = [*films, *pictures]
    drawn = side_by_side(jobs, lambda done: None, studies.own_part("devices").default_threads())
    return [*written, *chain(*drawn[len(films) :], *drawn[: len(films)])]


def _pictured(
    dataset: xr.Dataset,
    path: Path,
    draw: Callable[[xr.Dataset], Figure],
    report: Progress,  # noqa: ARG001 - as every job
) -> list[Path]:
    from actbench.pages import saving

    return saving.save(draw(dataset), path.parent, path.name)


def _animated(
    dataset: xr.Dataset,
    path: Path,
    draw: Callable[[xr.Dataset], bytes],
    report: Progress,  # noqa: ARG001 - as every job
) -> list[Path]:
    write_atomic(path, draw(dataset))
    return [path]
