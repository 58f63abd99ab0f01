"""Whether the names in a claims file exist: protocols, experiments, metrics, their arguments.

Names are looked up in what studies register and nowhere else: nothing that a file says is imported
or run. An activation of one's own, ``path/to/file.py:name``, is checked when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from actbench.claims import metrics
from actbench.store import studies
from actbench.store.studies import experiment as get_experiment

if TYPE_CHECKING:
    from actbench.claims.claim import Claim
    from actbench.claims.claims_file import ClaimsFile, Protocol


@dataclass(frozen=True)
class _Coordinate:
    """The values that an argument can take, and the setting that decides them, if one does."""

    values: Sequence[Any]
    setting: str | None = None

    def __str__(self) -> str:
        """The values, for a sentence."""
        if isinstance(self.values, range) and self.values:
            return f"{self.values[0]} to {self.values[-1]}"
        return ", ".join(str(value) for value in self.values) or "none"


def metric_problems(metric: Mapping[str, Any], experiment: str, config: Any) -> Iterator[str]:
    """Look for arguments that name what the protocol's dataset will not have."""
    yield from _asked(experiment, "problems", metric, config)
    for argument, coordinate in of(metric, experiment, config).items():
        if metric[argument] not in coordinate.values:
            change = f"change its setting {coordinate.setting!r}, or " if coordinate.setting else ""
            remedy = f"{change}name one that it has"
            yield (
                f"{argument} is {metric[argument]!r}, but the claim's protocol has {coordinate}; "
                f"{remedy}"
            )


def of(metric: Mapping[str, Any], experiment: str, config: Any) -> dict[str, _Coordinate]:
    """List the values of each of a metric's arguments that a protocol decides.

    They are those of the setting of that name in the plural, unless the experiment says otherwise.
    """
    found = {}
    for argument in metric:
        of_what = "activation" if argument == "over" else argument.removeprefix("over_")
        values = getattr(config, f"{of_what}s", None)
        if isinstance(values, tuple | list):
            found[argument] = _Coordinate(values, f"{of_what}s")
    particular = dict(_asked(experiment, "coordinates", metric, config))
    found.update({argument: _Coordinate(*where) for argument, where in particular.items()})
    return {argument: values for argument, values in found.items() if argument in metric}


def _asked(experiment: str, what: str, metric: Mapping[str, Any], config: Any) -> Iterable[Any]:
    """Ask an experiment's module, where it has something to say."""
    ask = getattr(get_experiment(experiment).module(), what, None)
    return ask(metric, config) if ask else ()


_KINDS = {"str": (str, "a text"), "int": (int, "a whole number"), "float": (float, "a number")}


def problems(file: ClaimsFile) -> Iterator[str]:
    """Look for names that do not exist, and for metrics that their experiment can't give."""
    for name, protocol in file.protocol.items():
        for problem in _of_protocol(protocol):
            yield f"protocol {name!r}, {problem}"
    yield from _shared_files(file)
    seen: set[str] = set()
    for claim in file.claim:
        if claim.id in seen:
            yield f"claim {claim.id!r}, field 'id': stands there twice; give each claim its own"
        seen.add(claim.id)
        if (variant := _variant_problem(file, claim)) is not None:
            yield f"claim {claim.id!r}, field 'variant_of': {variant}"
        for problem in _of_claim(claim, file.protocol):
            yield f"claim {claim.id!r}, {problem}"
    # Last: a slip of the pen in a claim's protocol is told as such.
    used = {claim.protocol for claim in file.claim}
    for name in file.protocol:
        if name not in used:
            yield f"protocol {name!r} is used by no claim; use it in a claim or remove it"


def instead(given: object, known: Iterable[str]) -> str:
    """The nearest name, or all of them."""
    names = list(known)
    near = get_close_matches(str(given), names, n=1, cutoff=0.5)
    listed = f"known: {', '.join(names)}"
    return f"Did you mean {near[0]!r}? ({listed})" if near else f"Use one of these; {listed}"


def _of_protocol(protocol: Protocol) -> Iterator[str]:
    if not protocol.experiment:
        return
    known = studies.experiments()
    if protocol.experiment not in known:
        yield (
            f"field 'experiment': there is no experiment {protocol.experiment!r}. "
            f"{instead(protocol.experiment, known)}{studies.unusable()}"
        )
    for names in studies.parts("names"):
        yield from names.setting_problems(protocol.settings)


def _shared_files(file: ClaimsFile) -> Iterator[str]:
    """Protocols at an experiment's defaults share its file, so there can be one of each."""
    plain: dict[str, str] = {}
    for name, protocol in file.protocol.items():
        if not protocol.experiment:
            continue
        if not protocol.settings and plain.setdefault(protocol.experiment, name) != name:
            yield (
                f"protocol {name!r}, field 'experiment': {plain[protocol.experiment]!r} is "
                f"{protocol.experiment} without settings already. Let the claims of both name "
                "one protocol, or give this one settings of its own"
            )


def _variant_problem(file: ClaimsFile, claim: Claim) -> str | None:
    if claim.variant_of is None:
        return None
    first = next((c for c in file.claim if c.id == claim.variant_of), None)
    if first is None:
        others = [c.id for c in file.claim if c.id != claim.id]
        return f"no claim has the id {claim.variant_of!r}. {instead(claim.variant_of, others)}"
    if first.variant_of is not None or first is claim:
        return f"{first.id!r} is a variant itself; name the claim that states it first"
    if (first.ours, first.published) != (claim.ours, claim.published):
        return f"{first.id!r} differs in 'ours' or 'published', so it is another statement"
    return None


def _of_claim(claim: Claim, protocols: Mapping[str, Protocol]) -> Iterator[str]:
    if claim.protocol is None:
        return
    if claim.protocol not in protocols:
        yield (
            f"field 'protocol': {claim.protocol!r} is not one of {sorted(protocols)}. Add a table "
            f"[protocol.{claim.protocol}], or name one that is there"
        )
        return
    experiment = protocols[claim.protocol].experiment
    if not experiment:
        unpaired = claim.metric.get("paired") is False or "aggregate" in claim.metric
        if protocols[claim.protocol].runs_code and unpaired:
            yield (
                "field 'metric': 'aggregate' and paired = false are for tables; a function or a "
                "command has one row per run, whose columns pair"
            )
        return
    if "name" not in claim.metric:
        yield (
            f"field 'metric': {experiment} needs a metric with a name; 'actbench verify "
            "--metrics' lists what there is"
        )
        return
    name = str(claim.metric["name"])
    if name not in metrics.METRICS:
        near = get_close_matches(name, metrics.METRICS, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        yield (
            f"field 'metric': there is no metric {name!r}. {hint}"
            f"'actbench verify --metrics' lists what there is{studies.unusable()}"
        )
        return
    yield from _of_arguments(name, claim.metric)
    yield from _of_experiment(name, experiment)


def _of_arguments(name: str, metric: Mapping[str, Any]) -> Iterator[str]:
    wanted = studies.arguments(metrics.METRICS[name])
    form = f"{name} takes {', '.join(wanted) or 'no arguments'}"
    given = {key: value for key, value in metric.items() if key != "name"}
    for key in given.keys() - wanted.keys():
        yield f"field 'metric': {name} has no argument {key!r}; {form}"
    for key, kind in wanted.items():
        if key not in given:
            yield f"field 'metric': the argument {key!r} is missing; {form}"
            continue
        allowed, words = _KINDS[kind]
        value = given[key]
        fits = isinstance(value, allowed) or (allowed is float and isinstance(value, int))
        if not fits or isinstance(value, bool):
            yield f"field 'metric': {key} is {value!r}, but must be {words}"
            continue
        for names in studies.parts("names"):
            if problem := names.argument_problem(key, value):
                yield f"field 'metric': {problem}"


def _of_experiment(name: str, experiment: str) -> Iterator[str]:
    of = metrics.EXPERIMENTS_OF[name]
    if experiment not in of:
        others = [m for m, keys in metrics.EXPERIMENTS_OF.items() if experiment in keys]
        yield (
            f"field 'metric': {name!r} is computed from {' or '.join(of)}, but the claim's "
            f"protocol runs {experiment}, whose metrics are {', '.join(others)}"
        )
