"""From claims to the datasets that decide them: which to run, where to keep them, what to judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.claims import measured, references
from actbench.claims.claim import Claim, Verdict
from actbench.claims.claims_file import ClaimsFile, Protocol
from actbench.claims.redraws import flip_probability
from actbench.claims.verdicts import Judgment, judge, judge_values, seeds_needed
from actbench.runs.comparing import judge_taken
from actbench.runs.sources import Sources, metric_of
from actbench.store import datasets
from actbench.store.errors import ActbenchError, MissingPackageError, needing_extras
from actbench.store.studies import experiment as get_experiment

if TYPE_CHECKING:
    import xarray as xr

# Of every experiment's Config, but not a protocol's to set among its settings.
_NOT_SETTINGS = ("seeds", "device", "threads")


def config_for(
    protocol: Protocol, seeds: int, device: str = "auto", threads: int | None = None
) -> Any:
    """Build the configuration of a protocol. Loads torch."""
    factory = get_experiment(protocol.experiment).module().Config
    known = [f.name for f in dataclasses.fields(factory) if f.name not in _NOT_SETTINGS]
    unknown = set(protocol.settings) - set(known)
    if unknown:
        given = sorted(unknown)[0]
        near = get_close_matches(given, known, n=1, cutoff=0.5)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise ActbenchError(
            f"{protocol.experiment} has no setting {given!r}; it has {', '.join(known)}{hint}"
        )
    return factory(
        **protocol.settings, seeds=protocol.seeds or seeds, device=device, threads=threads
    )


def experiments_of(claims: ClaimsFile) -> list[tuple[str, Protocol]]:
    """List the protocols of a file that an experiment decides, with their names."""
    return [(name, protocol) for name, protocol in claims.protocol.items() if protocol.experiment]


def check_settings(claims: ClaimsFile) -> None:
    """Build every protocol's configuration, so that a mistake is told before anything runs.

    Loads torch where a protocol names an experiment.
    """
    configs = _checked_configs(claims)
    for claim in claims.claim:
        if claim.protocol in configs:
            experiment = claims.protocol[claim.protocol].experiment
            for problem in references.metric_problems(
                claim.metric, experiment, configs[claim.protocol]
            ):
                raise ActbenchError(f"{claims.path}: claim {claim.id!r}, field 'metric': {problem}")
        if claim.protocol is not None:
            _require_seeds(claims, claim, claims.protocol[claim.protocol].seeds)


def _require_seeds(claims: ClaimsFile, claim: Claim, seeds: int | None) -> None:
    """Refuse a number of seeds, fixed in the file, on which the expected verdict can't rest."""
    needed = seeds_needed(claim, claims.level(claim))
    undecided = claim.expected in (None, Verdict.INCONCLUSIVE)
    if seeds is not None and seeds < needed and not undecided:
        raise ActbenchError(
            f"{claims.path}: claim {claim.id!r} needs {needed} seeds for {str(claim.expected)!r} "
            f"with quantifier {claim.quantifier!r}, but protocol {claim.protocol!r} fixes "
            f"{seeds}; raise its seeds, or leave them out for --seeds (pytest's "
            "--actbench-seeds) to decide"
        )


def _checked_configs(claims: ClaimsFile) -> dict[str, Any]:
    configs = {}
    for name, protocol in experiments_of(claims):
        try:
            with needing_extras(f"{claims.path}: protocol {name!r} ({protocol.experiment})"):
                configs[name] = config_for(protocol, 1, "cpu")
        except MissingPackageError:
            raise
        except ActbenchError as error:
            raise ActbenchError(
                f"{claims.path}: protocol {name!r}, field 'settings': {error}"
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            given = ", ".join(f"{key} = {value!r}" for key, value in protocol.settings.items())
            defaults = get_experiment(protocol.experiment).module().Config()
            values = {key: getattr(defaults, key) for key in protocol.settings}
            usual = ", ".join(
                f"{key} = {list(v) if isinstance(v, tuple) else v}" for key, v in values.items()
            )
            raise ActbenchError(
                f"{claims.path}: protocol {name!r}, field 'settings': {given}: one of these is of "
                f"another kind than {protocol.experiment} takes ({error}). By default: {usual}"
            ) from error
    return configs


def file_name(name: str, protocol: Protocol) -> str:
    """Return the dataset file of a protocol in an output folder."""
    stem = protocol.experiment.replace("-", "_")
    return f"{stem}.nc" if not protocol.settings else f"{stem}-{name}.nc"


def judge_all(
    claims: ClaimsFile,
    dataset_of: Callable[[str], xr.Dataset | None],
    chosen: Iterable[Claim] | None = None,
    sources: Sources | None = None,
) -> list[Judgment]:
    """Judge claims, each from its protocol's numbers or, where there are none, what is stored."""
    sources = sources or Sources(claims)
    return [
        judge_one(claims, claim, dataset_of, sources)
        for claim in (claims.claim if chosen is None else chosen)
    ]


def judge_one(
    claims: ClaimsFile,
    claim: Claim,
    dataset_of: Callable[[str], xr.Dataset | None],
    sources: Sources | None = None,
) -> Judgment:
    """Judge one claim; arguments and errors as of ``judge_all``."""
    level = claims.level(claim)
    judgment = _judged(claims, claim, dataset_of, sources or Sources(claims), level)
    if judgment.values is None:
        return judgment
    flips = flip_probability(claim, judgment.values, level)
    return dataclasses.replace(judgment, flip_probability=flips)


def _judged(
    claims: ClaimsFile,
    claim: Claim,
    dataset_of: Callable[[str], xr.Dataset | None],
    sources: Sources,
    level: float,
) -> Judgment:
    if claim.protocol is None:
        return judge(claim, None, level)
    protocol = claims.protocol[claim.protocol]
    if not protocol.experiment:
        judgment = judge_taken(claim, sources.take(claim), level)
        return dataclasses.replace(judgment, runs_given=bool(protocol.table))
    dataset = dataset_of(claim.protocol)
    if dataset is not None:
        with metric_of(claims, claim):
            return judge(claim, dataset, level)
    stored = measured.load(claim.protocol, claims.measured_folder)
    return judge_values(claim, stored.values(claim.metric), level)


def stored_dataset(folder: Path, name: str, protocol: Protocol) -> xr.Dataset:
    """Read the dataset of a protocol from a folder of results. Loads torch."""
    path = folder / file_name(name, protocol)
    dataset = datasets.load(path)
    differing = other_settings(dataset, name, protocol)
    if differing is not None:
        raise ActbenchError(f"{path} {differing}. Run it again with --overwrite")
    return dataset


def other_settings(dataset: xr.Dataset, name: str, protocol: Protocol) -> str | None:
    """Say by which setting a dataset differs from a protocol. Loads torch."""
    stored = datasets.protocol_of(dataset)
    for key, value in config_for(protocol, 1).protocol().items():
        if key not in _NOT_SETTINGS and stored.get(key) != value:
            given = stored.get(key)
            return f"was made with {key}={given!r}, but protocol {name!r} states {value!r}"
    return None
