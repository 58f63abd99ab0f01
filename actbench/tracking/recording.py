"""Makes a record: runs what a release is judged by, and puts it together."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from actbench import claims
from actbench.claims import ClaimsFile, measured
from actbench.runs import commands, evidence, kept
from actbench.store import environment, studies
from actbench.store.errors import ActbenchError
from actbench.tracking.records import (
    PARTS,
    Chain,
    Distribution,
    Record,
    Verdict,
    require_parts,
)

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.verdicts import Judgment
    from actbench.runs.sources import Sources

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
    file: ClaimsFile | None = None,
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
) -> Record:
    """Make a record of this release of torch on this machine."""
    from actbench.store import datasets

    require_parts(only)
    devices = studies.own_part("devices")
    place = devices.choose(device)
    file = claims.published()
    data: Mapping[str, xr.Dataset] = {}
    chains: list[Chain] = []
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
    return Record(
        made_at=_now(),
        environment=here,
        claims_sha256=_checksum(file),
        protocols={name: datasets.protocol_of(d) for name, d in data.items()},
        verdicts=[_verdict(j, file, data) for j in judged],
        distributions=[d for name, dataset in data.items() for d in _metrics(name, dataset, file)],
        chains=[_with_spread(chain, data) for chain in chains],
        timings=durations,
    )


def _metrics(name: str, dataset: xr.Dataset, file: ClaimsFile) -> list[Distribution]:
    return [
        Distribution(
            protocol=name, metric=entry.metric, definition=entry.definition, values=entry.values
        )
        for entry in measured.from_dataset(name, file, dataset).entries
    ]


def _with_spread(chain: Chain, data: Mapping[str, xr.Dataset]) -> Chain:
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


_NOT_ASKED = {"seeds", "slow", "as_run", "timeout_s"}


def require_installed(package: str) -> str:
    """Return the release of a package that is installed here, without its build."""
    version = environment.installed_version(package)
    if version == "not installed":
        raise ActbenchError(
            f"{package} is not installed here, so that nothing can be recorded of it. Install it, "
            "or name the package that is followed: --package NAME"
        )
    return version.partition("+")[0]


def of_claims(
    file: ClaimsFile,
    sources: Sources,
    package: str,
    trained: Mapping[str, xr.Dataset],
    chains: Sequence[Chain] = (),
) -> Record:
    """Judge every claim of a file, and write down what came out and on what."""
    judged = evidence.judge_all(file, trained.get, sources=sources)
    return Record(
        made_at=_now(),
        environment={**_environment(package), **code_of(file)},
        claims_sha256=_checksum(file),
        protocols={
            name: protocol.model_dump(mode="json", exclude=_NOT_ASKED, exclude_defaults=True)
            for name, protocol in file.protocol.items()
        },
        verdicts=[_verdict(j, file, file.protocol) for j in judged],
        distributions=[d for j in judged for d in _values(j, sources, trained)],
        chains=list(chains),
    )


def _verdict(judgment: Judgment, file: ClaimsFile, fresh: Collection[str]) -> Verdict:
    """Write down a judgment; protocols that are not among the fresh ones were not measured now."""
    claim, interval = judgment.claim, judgment.interval
    return Verdict(
        id=claim.id,
        verdict=str(judgment.verdict),
        expected=str(claim.expected or ""),
        measured=_finite(judgment.measured),
        interval=None if interval is None else (_finite(interval[0]), _finite(interval[1])),
        margin=_finite(judgment.margin),
        seeds=judgment.seeds,
        fresh=claim.protocol in fresh,
        digest=file.digest(claim),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checksum(file: ClaimsFile) -> str:
    return hashlib.sha256(file.path.read_bytes() if file.path else b"").hexdigest()


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _values(
    judgment: Judgment, sources: Sources, trained: Mapping[str, xr.Dataset]
) -> Iterator[Distribution]:
    claim, values, seeds = judgment.claim, judgment.values, None
    if claim.protocol is None or values is None:
        return
    if claim.protocol not in trained:
        taken = sources.take(claim)
        seeds, values = taken.runs, taken.values
    yield Distribution(
        protocol=claim.protocol,
        metric={"name": "values", "claim": claim.id},
        definition=claim.statement,
        values=values.tolist(),
        seeds=seeds,
    )


def _environment(package: str) -> dict[str, str | int]:
    """Versions of all that is installed; what is named here as well goes before."""
    installed = {
        canonicalize_name(found.name): found.version
        for found in metadata.distributions()
        if found.name  # a folder that is damaged has none
    }
    mode = {"arithmetic": environment.arithmetic()} if environment.arithmetic() else {}
    return {
        **dict(sorted(installed.items())),
        **environment.versions(),
        package: environment.installed_version(package),
        "package": package,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": environment.cpu_model(),
        "commit": environment.own_commit(),
        **mode,
    }


def code_of(file: ClaimsFile) -> dict[str, str]:
    """Name the code that the functions and commands of a file are written in."""
    found = {}
    models = {f"fingerprint {name}": m.as_protocol() for name, m in file.fingerprint.items()}
    for name, protocol in (file.protocol | models).items():
        if not protocol.runs_code or file.path is None:
            continue
        base, words = file.path.parent.resolve(), []
        with suppress(ValueError):  # running it will tell
            words = shlex.split(protocol.command)
        filled = [commands.filled(word, protocol.settings) for word in words]
        sources = kept.of_code(protocol.function, filled, base)
        sources |= kept.of_inputs(protocol.inputs, base)
        own = {path: said for path, said in sources.items() if not Path(path).is_absolute()}
        told = json.dumps(own, sort_keys=True).encode()
        found[f"code of {name}"] = hashlib.sha256(told).hexdigest()[:16]
    return found
