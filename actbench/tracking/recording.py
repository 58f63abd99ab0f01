"""Makes a record: runs what a release of torch is judged by, and puts it together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actbench import claims
from actbench.claims import measured
from actbench.runs import evidence
from actbench.store import datasets, environment, studies
from actbench.store.errors import unknown_name
from actbench.tracking import own_records, records
from actbench.tracking.records import PARTS

if TYPE_CHECKING:
    import xarray as xr

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with what begins and its number of steps; gives what is told about steps done."""

_ROUNDS = 9


def _no_bar(title: str, steps: int) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG001
    return nullcontext(lambda done: None)


def run_protocols(
    seeds: int,
    device: str,
    threads: int | None,
    bar: Bar = _no_bar,
    file: claims.ClaimsFile | None = None,
) -> dict[str, xr.Dataset]:
    """Run every experiment of a file of claims; of the study's those that take no minutes."""
    found = {}
    for name, protocol in evidence.experiments_of(file or claims.published()):
        if file is not None or not protocol.slow:
            config = evidence.config_for(protocol, seeds, device, threads)
            with bar(name, config.steps) as progress:
                module = studies.experiment(protocol.experiment).module()
                found[name] = module.run(config, progress)
    return found


def make(
    seeds: int = 16,
    device: str = "cpu",
    threads: int | None = None,
    only: Collection[str] = PARTS,
    bar: Bar = _no_bar,
    already: Mapping[str, xr.Dataset] | None = None,
) -> records.Record:
    """Make a record of this release of torch on this machine."""
    for part in only:
        if part not in PARTS:
            raise unknown_name("part of a record", part, PARTS)
    devices = studies.own_part("devices")
    place = devices.choose(device)
    file = claims.published()
    data: Mapping[str, xr.Dataset] = {}
    chains: list[records.Chain] = []
    durations = None
    with devices.using_threads(threads) as used:
        if "verdicts" in only:
            data = run_protocols(seeds, str(place), used, bar) if already is None else already
        if "fingerprints" in only:
            fingerprints = studies.own_part("fingerprints")
            with bar("fingerprints", len(fingerprints.jobs())) as progress:
                chains = fingerprints.take(threads=used, progress=progress)
    if "timings" in only:
        timings = studies.own_part("timings")
        with bar("timings", _ROUNDS * len(timings.works(place))) as progress:
            durations = timings.measure(place, _ROUNDS, progress)
    judged = evidence.judge_all(file, data.get) if "verdicts" in only else []
    here = environment.describe(str(place), used) | environment.describe_build(str(place))
    return records.Record(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=here,
        claims_sha256=hashlib.sha256(file.path.read_bytes() if file.path else b"").hexdigest(),
        protocols={name: datasets.protocol_of(d) for name, d in data.items()},
        verdicts=[own_records.verdict(j, file, data) for j in judged],
        distributions=[d for name, dataset in data.items() for d in _values(name, dataset, file)],
        chains=[_with_spread(chain, data) for chain in chains],
        timings=durations,
    )


def _values(name: str, dataset: xr.Dataset, file: claims.ClaimsFile) -> list[records.Distribution]:
    return [
        records.Distribution(
            protocol=name, metric=entry.metric, definition=entry.definition, values=entry.values
        )
        for entry in measured.from_dataset(name, file, dataset).entries
    ]


def _with_spread(chain: records.Chain, data: Mapping[str, xr.Dataset]) -> records.Chain:
    """Say how much a loss varies over the seeds, so that a difference can be told from that."""
    dataset = data.get("stated")
    if (
        dataset is None
        or chain.engine != "stack"
        or chain.dtype != "float32"
        or chain.activation not in dataset["activation"].to_numpy()
    ):
        return chain
    losses = dataset["loss"].sel(activation=chain.activation)
    steps = [
        step.model_copy(update={"spread": _range(losses.sel(epoch=step.epoch))})
        if step.name == "loss"
        else step
        for step in chain.steps
    ]
    return chain.model_copy(update={"steps": steps})


def _range(losses: xr.DataArray) -> tuple[float, float] | None:
    low, high = float(losses.min()), float(losses.max())
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
