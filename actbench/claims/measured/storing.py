"""Measurements of one protocol as they are stored and read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from actbench import stored
from actbench.errors import ActbenchError
from actbench.files import baselines_folder, write_json

SCHEMA_VERSION = 1


class Entry(BaseModel):
    """One metric's stored values.

    Args:
        metric: Name and arguments.
        definition: What the metric is.
        exact: Whether a fresh run must give the same values, seed by seed, up to rounding.
        values: One per seed, finite or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: stored.Metric
    definition: str
    exact: bool
    values: list[stored.Value] = Field(min_length=1)


class Measured(BaseModel):
    """What one protocol's run left behind.

    Args:
        schema_version: Of this file's shape.
        protocol: Name of the protocol.
        settings: Every setting of the run.
        environment: What it was computed with.
        entries: Metrics and their values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    protocol: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    entries: list[Entry]

    def has(self, metric: Mapping[str, Any]) -> bool:
        """Tell whether a metric's values are here."""
        return any(entry.metric == dict(metric) for entry in self.entries)

    def values(self, metric: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return a metric's stored values, as they were measured."""
        for entry in self.entries:
            if entry.metric == dict(metric):
                return np.array(entry.values)
        raise ActbenchError(
            f"no values of metric {dict(metric)!r} are stored for protocol {self.protocol!r}. "
            "Write them with: pytest --actbench-regenerate-baselines"
        )


def path_of(protocol: str, folder: Path | None = None) -> Path:
    """Return where a protocol's measurements are stored."""
    return (folder or baselines_folder() / "measured") / f"{protocol}.json"


def load(protocol: str, folder: Path | None = None) -> Measured:
    """Read a protocol's stored measurements."""
    path = path_of(protocol, folder)
    return _read(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Measured:  # noqa: ARG001 - a file that changed is another
    """Read a file once: every claim of its protocol asks for it."""
    remedy = "Write it with: pytest --actbench-regenerate-baselines"
    return stored.load(Measured, path, SCHEMA_VERSION, "the measurements", remedy)


def save(measured: Measured, folder: Path | None = None) -> Path:
    """Write measurements, whole or not at all."""
    path = path_of(measured.protocol, folder)
    write_json(path, measured.model_dump())
    return path
