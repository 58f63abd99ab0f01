"""Finished parts of a long run, kept so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

from actbench import datasets
from actbench.errors import ActbenchError
from actbench.files import prepare_folder

Progress = Callable[[int], None]


class Checkpoint(Protocol):
    """How an experiment asks for one of its parts.

    Args:
        key: What distinguishes this part from the others of the run.
        steps: Steps of progress that computing it reports.
        compute: Computes it; called only where the part is not there yet.
    """

    def __call__(self, key: str, steps: int, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """Return the part."""


def compute_now(key: str, steps: int, compute: Callable[[], xr.Dataset]) -> xr.Dataset:  # noqa: ARG001 - the signature of every checkpoint
    """Keep nothing: compute every part.

    Args:
        key: Not used.
        steps: Not used.
        compute: Computes the part.

    Returns:
        What it computed.
    """
    return compute()


class Folder:
    """Keeps parts in a hidden folder beside the dataset that they will become.

    Parts of other settings or another environment lie in folders of their own, so that none is
    ever taken for one of this run.

    Args:
        path: File of the dataset, which names the folder.
        experiment: Key of the experiment.
        protocol: Every setting of the run.
        environment: What computes it.
        progress: Told about the steps of parts that were there already.

    Attributes:
        reused: How many parts were there already.
        notes: What the user should know, a sentence each.
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
        self.reused = 0
        self.notes: list[str] = []

    def __call__(self, key: str, steps: int, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """Read a part, or compute it and keep it.

        Args:
            key: What distinguishes this part from the others of the run.
            steps: Steps of progress that it stands for.
            compute: Computes it.

        Returns:
            The part.

        Raises:
            ActbenchError: The folder can't be written.
        """
        path = self._folder / f"{_digest(key)}.nc"
        if path.exists():
            try:
                part = datasets.load(path)
            except ActbenchError as error:
                self.notes.append(f"part {key!r} recomputed, because {error}")
            else:
                self.reused += 1
                self._progress(steps)
                return part
        part = datasets.finish(compute(), *self._finish)
        prepare_folder(self._folder)
        datasets.save(part, path)
        return part

    def discard(self) -> None:
        """Delete the parts of this run, once the whole is saved."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._all.exists() and not any(self._all.iterdir()):
            self._all.rmdir()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
