"""Stored measurements of a protocol, made, read, and compared with a fresh run."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from actbench.claims import metrics
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.statistics import never_below
from actbench.store import datasets, stored
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder, write_json

if TYPE_CHECKING:
    import xarray as xr


SCHEMA_VERSION = 1


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


# Two processors round differently; over the first epochs that stays below 1e-5, while one per
# cent in a derivative moves a gradient by at least 1e-3.
_EXACT_TOLERANCE = 1e-4

# Probability that one clean comparison of all distributions of a protocol raises an alarm.
FALSE_ALARM = 1e-3


@dataclass(frozen=True)
class Difference:
    """One metric that is not what was stored: both medians, and what the comparison found."""

    metric: Mapping[str, Any]
    stored: float
    fresh: float
    how: str

    def __str__(self) -> str:
        return (
            f"{metric_title(self.metric)}: stored {self.stored:.6g}, now {self.fresh:.6g} "
            f"({self.how})"
        )


def metric_title(metric: Mapping[str, Any]) -> str:
    """Write a metric as a call."""
    arguments = ", ".join(f"{k}={v}" for k, v in metric.items() if k != "name")
    return f"{metric['name']}({arguments})"


def compare(stored: Measured, fresh: Measured) -> list[Difference]:
    """Compare a fresh run with what is stored."""
    both = [entry for entry in stored.entries if fresh.has(entry.metric)]
    tested = max(1, sum(not entry.exact for entry in both))
    differences = [
        *(_of_one(e, "no claim asks for it any more") for e in stored.entries if e not in both),
        *(_of_one(e, "not stored yet") for e in fresh.entries if not stored.has(e.metric)),
    ]
    for entry in both:
        old, new = stored.values(entry.metric), fresh.values(entry.metric)
        ceiling = metrics.rounding_ceiling(entry.metric, fresh.settings)
        if ceiling is not None:
            how = _below(new, ceiling)
        elif entry.exact:  # seed by seed, so of the seeds that both have
            old, new = old[: len(new)], new[: len(old)]
            how = _exact(old, new)
        else:
            how = _by_test(old, new, FALSE_ALARM / tested)
        if how:
            medians = float(np.median(old)), float(np.median(new))
            differences.append(Difference(entry.metric, *medians, how))
    return differences


def _of_one(entry: Entry, how: str) -> Difference:
    median = float(np.median(entry.values))
    return Difference(entry.metric, median, median, how)


def _exact(old: NDArray[np.float64], new: NDArray[np.float64]) -> str | None:
    # Infinite, or not a number, only if both are.
    same = np.isclose(new, old, rtol=_EXACT_TOLERANCE, atol=0, equal_nan=True)
    if same.all():
        return None
    with np.errstate(all="ignore"):
        worst = float(np.fmax.reduce(np.abs(new / old - 1)))
    return f"{(~same).sum()} of {len(old)} values differ, by up to {worst:.2g} relative"


def _below(new: NDArray[np.float64], ceiling: float) -> str | None:
    above = ~(new <= ceiling)
    if not above.any():
        return None
    return (
        f"{above.sum()} of {len(new)} values are above {ceiling:.2g}, the most that rounding makes"
    )


def _by_test(old: NDArray[np.float64], new: NDArray[np.float64], alpha: float) -> str | None:
    """Test in both directions, after each value has taken a step of rounding back."""
    step = np.where(np.isfinite(new), _EXACT_TOLERANCE * np.abs(new), 0)  # an infinite one stays
    p = 2 * min(never_below(new + step, old), never_below(old, new - step))
    return None if p >= alpha else f"two-sample test, p = {p:.2g}"
