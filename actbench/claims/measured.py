"""Stored measurements: per protocol, each metric's values over many seeds and how they were made.

They serve twice: claims that need long runs are judged from them in a fast run, and a fresh run is
compared with them, exactly where nothing but rounding may differ and as a distribution elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from actbench import datasets, metrics
from actbench.activations import ACTIVATIONS
from actbench.claims.claim import ClaimsFile
from actbench.errors import ActbenchError, require_schema
from actbench.files import baselines_folder, write_json
from actbench.statistics import same_distribution

SCHEMA_VERSION = 1

# Two processors round differently; over the first epochs that stays below 1e-5, while one per
# cent in a derivative moves a gradient by at least 1e-3.
EXACT_TOLERANCE = 1e-4

# Probability that one clean comparison of all distributions of a protocol raises an alarm.
FALSE_ALARM = 1e-3


class Entry(BaseModel):
    """One metric's stored values.

    Args:
        metric: Name and arguments.
        definition: What the metric is.
        exact: Whether a fresh run must give the same values, seed by seed, up to rounding.
        values: One per seed; ``None`` for what is not finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: dict[str, str | int | float]
    definition: str
    exact: bool
    values: list[float | None]


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

    def values(self, metric: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return a metric's stored values, infinite where a run was not finite.

        Args:
            metric: Name and arguments.

        Returns:
            One value per seed.

        Raises:
            ActbenchError: The metric is not stored.
        """
        for entry in self.entries:
            if entry.metric == dict(metric):
                return np.array([math.inf if v is None else v for v in entry.values])
        raise ActbenchError(
            f"no values of metric {dict(metric)!r} are stored for protocol {self.protocol!r}. "
            "Write them with: pytest --regenerate-baselines"
        )


@dataclass(frozen=True)
class Difference:
    """One metric that is not what was stored.

    Args:
        metric: Name and arguments.
        stored: Median of the stored values.
        fresh: Median of the new ones.
        how: What the comparison found.
    """

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
    """Write a metric as a call.

    Args:
        metric: Name and arguments.

    Returns:
        Such as ``"final_mse(activation=relu)"``.
    """
    arguments = ", ".join(f"{k}={v}" for k, v in metric.items() if k != "name")
    return f"{metric['name']}({arguments})"


def path_of(protocol: str, folder: Path | None = None) -> Path:
    """Return where a protocol's measurements are stored.

    Args:
        protocol: Its name.
        folder: Another folder than the shipped ``baselines/measured``.

    Returns:
        The path.
    """
    return (folder or baselines_folder() / "measured") / f"{protocol}.json"


def load(protocol: str, folder: Path | None = None) -> Measured:
    """Read a protocol's stored measurements.

    Args:
        protocol: Its name.
        folder: Another folder than the shipped one.

    Returns:
        The measurements.

    Raises:
        ActbenchError: They are missing, damaged or of another schema.
    """
    path = path_of(protocol, folder)
    try:
        loaded = Measured.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ActbenchError(
            f"no measurements are stored in {path}. Write them with: pytest --regenerate-baselines"
        ) from error
    except ValidationError as error:
        raise ActbenchError(f"{path} is not a file of measurements: {error.errors()[0]}") from error
    remedy = "Write it anew with: pytest --regenerate-baselines"
    require_schema(path, loaded.schema_version, SCHEMA_VERSION, remedy)
    return loaded


def from_dataset(protocol: str, claims: ClaimsFile, dataset: xr.Dataset) -> Measured:
    """Compute every metric that is stored for a protocol.

    Args:
        protocol: Its name.
        claims: The file whose claims' metrics are stored.
        dataset: Of that protocol.

    Returns:
        The measurements.
    """
    wanted: list[tuple[dict[str, Any], bool]] = [
        (dict(claim.metric), claim.quantifier == "exact")
        for claim in claims.claim
        if claim.protocol == protocol
    ]
    wanted += [(metric, True) for metric in _early_metrics(dataset)]
    unique = {json.dumps(metric, sort_keys=True): (metric, exact) for metric, exact in wanted}
    return Measured(
        schema_version=SCHEMA_VERSION,
        protocol=protocol,
        settings=datasets.protocol_of(dataset),
        environment=datasets.environment_of(dataset),
        entries=[entry_of(metric, exact, dataset) for metric, exact in unique.values()],
    )


def _early_metrics(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """What is deterministic up to rounding: derivatives, the first gradients and early losses."""
    names = [str(a) for a in dataset["activation"].to_numpy() if str(a) in ACTIVATIONS]
    found: list[dict[str, Any]] = []
    for name in names if "derivative" in dataset else ():
        found += [{"name": "derivative_at", "activation": name, "z": z} for z in (-1.0, 0.0, 1.0)]
    for name in names if "gradient_ratio" in dataset else ():
        # Rounding decides more kinks in deeper networks.
        depths = [d for d in dataset["depth"].to_numpy().tolist() if d <= 10]
        found += [{"name": "recovered_ratio", "activation": name, "depth": d} for d in depths]
        if 10 in depths and "he_normal" in dataset["initializer"]:
            # In float64, and He's wider weights reach where an activation bends. (Gradients of odd
            # activations cancel over the inputs here, and only rounding is left of them.)
            place = {"initializer": "he_normal", "depth": 10}
            found.append({"name": "error_share", "activation": name, **place})
    for name in names if "loss" in dataset and "gradient_magnitude" in dataset else ():
        epochs = [e for e in (0, 1, 10, 30) if e < dataset.sizes["epoch"]]
        layers = dataset["layer"].to_numpy().tolist()
        found += [{"name": "early_loss", "activation": name, "epoch": e} for e in epochs]
        found += [{"name": "first_gradient", "activation": name, "layer": n} for n in layers]
    return found


def entry_of(metric: Mapping[str, Any], exact: bool, dataset: xr.Dataset) -> Entry:
    """Compute a metric as it is stored.

    Args:
        metric: Name and arguments.
        exact: Whether a fresh run must give the same values up to rounding.
        dataset: To compute it from.

    Returns:
        The entry.
    """
    values = metrics.measure(metric, dataset)
    return Entry(
        metric=dict(metric),
        definition=metrics.definition(str(metric["name"])),
        exact=exact,
        values=[float(v) if math.isfinite(v) else None for v in values],
    )


def save(measured: Measured, folder: Path | None = None) -> Path:
    """Write measurements, whole or not at all.

    Args:
        measured: What to write.
        folder: Another folder than the shipped one.

    Returns:
        Where they were written.
    """
    path = path_of(measured.protocol, folder)
    write_json(path, measured.model_dump())
    return path


def compare(stored: Measured, fresh: Measured) -> list[Difference]:
    """Compare a fresh run with what is stored.

    Args:
        stored: The baseline.
        fresh: The new run; its seeds must begin as the baseline's do where values are exact.

    Returns:
        The metrics that differ: by more than rounding where values are exact, and elsewhere by a
        two-sample test that raises a false alarm in one of 1000 clean comparisons of all.
    """
    tested = max(1, sum(not entry.exact for entry in stored.entries))
    differences = []
    for entry in stored.entries:
        old, new = stored.values(entry.metric), fresh.values(entry.metric)
        if entry.exact:  # seed by seed, so of the seeds that both have
            old, new = old[: len(new)], new[: len(old)]
        how = _exact(old, new) if entry.exact else _by_test(old, new, FALSE_ALARM / tested)
        if how:
            medians = float(np.median(old)), float(np.median(new))
            differences.append(Difference(entry.metric, *medians, how))
    return differences


def _exact(old: NDArray[np.float64], new: NDArray[np.float64]) -> str | None:
    same = np.isclose(new, old, rtol=EXACT_TOLERANCE, atol=0)  # infinite only if both are
    if same.all():
        return None
    with np.errstate(all="ignore"):
        worst = float(np.nanmax(np.abs(new / old - 1)))
    return f"{(~same).sum()} of {len(old)} values differ, by up to {worst:.2g} relative"


def _by_test(old: NDArray[np.float64], new: NDArray[np.float64], alpha: float) -> str | None:
    p = same_distribution(old, new)
    return None if p >= alpha else f"two-sample test, p = {p:.2g}"
