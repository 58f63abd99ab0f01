"""What is stored of a protocol, computed from its dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actbench import datasets, metrics
from actbench.activations import ACTIVATIONS
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.measured.storing import SCHEMA_VERSION, Entry, Measured

if TYPE_CHECKING:
    import xarray as xr

# After some ten epochs rounding, and so the processor, decides on which side of the kink a unit is.
_KINKED = ("relu", "leaky_relu")


def from_dataset(protocol: str, claims: ClaimsFile, dataset: xr.Dataset) -> Measured:
    """Compute every metric that is stored for a protocol."""
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
        last = 10 if name in _KINKED else 30
        epochs = [e for e in (0, 1, 10, 30) if e <= last and e < dataset.sizes["epoch"]]
        layers = dataset["layer"].to_numpy().tolist()
        found += [{"name": "early_loss", "activation": name, "epoch": e} for e in epochs]
        found += [{"name": "first_gradient", "activation": name, "layer": n} for n in layers]
    return found


def entry_of(metric: Mapping[str, Any], exact: bool, dataset: xr.Dataset) -> Entry:
    """Compute a metric as it is stored."""
    return Entry(
        metric=dict(metric),
        definition=metrics.definition(str(metric["name"])),
        exact=exact,
        values=metrics.measure(metric, dataset).tolist(),
    )
