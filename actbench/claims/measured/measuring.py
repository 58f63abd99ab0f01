"""What is stored of a protocol, computed from its dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actbench import datasets, metrics
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.measured.storing import SCHEMA_VERSION, Entry, Measured

if TYPE_CHECKING:
    import xarray as xr


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
