"""Stored measurements of a protocol, made and read."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from actbench.claims import metrics
from actbench.claims.claims_file import ClaimsFile
from actbench.store import datasets, stored
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder, write_json

if TYPE_CHECKING:
    import xarray as xr


SCHEMA_VERSION = 1

FALSE_ALARM = 1e-3
"""Probability that one clean comparison of all distributions of a protocol raises an alarm."""


class Entry(BaseModel):
    """One metric's stored values, one per seed, finite or not.

    Of an exact one a fresh run must give the same, seed by seed, up to rounding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: stored.Metric
    definition: str
    exact: bool
    values: list[stored.Value] = Field(min_length=1)


class Measured(BaseModel):
    """What one protocol's run left behind: all its settings, and the values of its metrics."""

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


def from_dataset(protocol: str, claims: ClaimsFile, dataset: xr.Dataset) -> Measured:
    """Compute every metric that is stored for a protocol."""
    wanted: list[tuple[dict[str, Any], bool]] = [
        (dict(claim.metric), claim.quantifier == "exact")
        for claim in claims.claim
        if claim.protocol == protocol
    ]
    wanted += [(metric, True) for metric in metrics.exact(dataset)]
    unique = {json.dumps(metric, sort_keys=True): (metric, exact) for metric, exact in wanted}
    return Measured(
        schema_version=SCHEMA_VERSION,
        protocol=protocol,
        settings=datasets.protocol_of(dataset),
        environment=datasets.environment_of(dataset),
        entries=[entry_of(metric, exact, dataset) for metric, exact in unique.values()],
    )


def entry_of(metric: Mapping[str, Any], exact: bool, dataset: xr.Dataset) -> Entry:
    """Compute a metric as it is stored."""
    return Entry(
        metric=dict(metric),
        definition=metrics.definition(str(metric["name"])),
        exact=exact,
        values=metrics.measure(metric, dataset).tolist(),
    )


def metric_title(metric: Mapping[str, Any]) -> str:
    """Write a metric as a call."""
    arguments = ", ".join(f"{k}={v}" for k, v in metric.items() if k != "name")
    return f"{metric['name']}({arguments})"
