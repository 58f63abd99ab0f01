"""Finished parts of a long run, kept so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder
from actbench.store.parallel import Progress, side_by_side

if TYPE_CHECKING:
    import xarray as xr


class Checkpoint:
    """How a long run asks for one of its parts and has it kept; this one keeps nothing.

    A part is named by a key, which distinguishes it from the others of the run.
    """

    def find(self, key: str, steps: int) -> xr.Dataset | None:  # noqa: ARG002 - see Folder
        """Return a part that is there already, which counts as so many steps of progress."""
        return None

    def keep(self, key: str, part: xr.Dataset) -> xr.Dataset:  # noqa: ARG002 - see Folder
        """Keep a part, and return it as ``find`` will."""
        return part

    def __call__(self, key: str, steps: int, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """Return a part, computed and kept where it is not there yet."""
        found = self.find(key, steps)
        return self.keep(key, compute()) if found is None else found


compute_now = Checkpoint()


def gather(
    checkpoint: Checkpoint,
    parts: Mapping[str, tuple[int, Callable[[Progress], xr.Dataset]]],
    progress: Progress,
    workers: int,
) -> list[xr.Dataset]:
    """Return parts, of which those that are not there yet are computed side by side."""
    found = {key: checkpoint.find(key, steps) for key, (steps, _) in parts.items()}
    left = [key for key, part in found.items() if part is None]
    jobs = [parts[key][1] for key in left]
    made = side_by_side(
        jobs, progress, workers, lambda number, part: checkpoint.keep(left[number], part)
    )
    found |= dict(zip(left, made, strict=True))
    return [part for part in found.values() if part is not None]


class Folder(Checkpoint):
    """Keeps parts in a hidden folder beside the dataset that they will become.

    Parts of other settings or another environment lie in folders of their own, so that none is
    ever taken for one of this run.
    """

    def __init__(
        self,
        path: Path,
        experiment: str,
        protocol: Mapping[str, Any],
        environment: Mapping[str, Any],
        progress: Progress,
    ) -> None:
        run = json.dumps([experiment, protocol, environment], sort_keys=True)
        self._all = path.with_name(f".{path.stem}.parts")
        self._folder = self._all / _digest(run)
        self._finish = (experiment, protocol, environment)
        self._progress = progress
        self.reused = 0  # so many parts were there already
        self.notes: list[str] = []  # what the user should know, a sentence each

    def find(self, key: str, steps: int) -> xr.Dataset | None:
        """Read a part that is there and whole."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            part = datasets.load(path)
        except ActbenchError as error:
            self.notes.append(f"part {key!r} recomputed, because {error}")
            return None
        self.reused += 1
        self._progress(steps)
        return part

    def keep(self, key: str, part: xr.Dataset) -> xr.Dataset:
        """Write a part, whole or not at all."""
        part = datasets.finish(part, *self._finish)
        prepare_folder(self._folder)
        datasets.save(part, self._path(key))
        return part

    def _path(self, key: str) -> Path:
        return self._folder / f"{_digest(key)}.nc"

    def discard(self) -> None:
        """Delete the parts of this run, once the whole is saved."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._all.exists() and not any(self._all.iterdir()):
            self._all.rmdir()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
