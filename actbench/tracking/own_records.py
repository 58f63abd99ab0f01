"""A record of somebody's own claims: verdicts, values by seed, versions. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from actbench.claims import ClaimsFile
from actbench.runs import commands, evidence, kept
from actbench.store import environment
from actbench.store.errors import ActbenchError
from actbench.tracking.records import Chain, Distribution, Record, Verdict

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.verdicts import Judgment
    from actbench.runs.sources import Sources

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


def make(
    file: ClaimsFile,
    sources: Sources,
    package: str,
    trained: Mapping[str, xr.Dataset],
    chains: Sequence[Chain] = (),
) -> Record:
    """Judge every claim of a file, and write down what came out and on what."""
    judged = evidence.judge_all(file, trained.get, sources=sources)
    return Record(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment={**_environment(package), **code_of(file)},
        claims_sha256=hashlib.sha256(file.path.read_bytes() if file.path else b"").hexdigest(),
        protocols={
            name: protocol.model_dump(mode="json", exclude=_NOT_ASKED, exclude_defaults=True)
            for name, protocol in file.protocol.items()
        },
        verdicts=[verdict(j, file, file.protocol) for j in judged],
        distributions=[d for j in judged for d in _values(j, sources, trained)],
        chains=list(chains),
    )


def verdict(judgment: Judgment, file: ClaimsFile, fresh: Collection[str]) -> Verdict:
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
