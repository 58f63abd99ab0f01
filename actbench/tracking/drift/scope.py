"""Which parts of two records can be compared, and in one sentence each why the others can't."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from actbench.tracking.records import Record

_HARDWARE: Final = ("arithmetic", "system", "cpu", "cpu_capability", "device_name")
_HOW_RUN: Final = ("device", "threads")
_ABSENT: Final = "not stated"


_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class _Joined(NamedTuple, Generic[_T]):
    """Things of two records, by their names."""

    pairs: list[tuple[_T, _T]]  # of what both records have, in the order of the old one
    new: list[_T]  # what only the new record has
    missing: list[_T]  # what only the old record has


def join(old: Mapping[_K, _T], new: Mapping[_K, _T]) -> _Joined[_T]:
    """Find what two records have in common."""
    return _Joined(
        [(item, new[name]) for name, item in old.items() if name in new],
        [item for name, item in new.items() if name not in old],
        [item for name, item in old.items() if name not in new],
    )


@dataclass(frozen=True)
class Scope:
    """What can be compared."""

    claims: bool
    bits: bool
    speed: bool
    protocols: frozenset[str]  # names of those that both records ran, at different settings
    changed: frozenset[str]  # claims that ask something else in the new record than in the old
    left_out: tuple[str, ...]  # one sentence for each part that can't be compared
    notes: tuple[str, ...]  # what else a reader must know about the two records

    def same_claim(self, claim: str, protocols: Mapping[str, str | None]) -> bool:
        """Tell whether a claim asks the same in both records, of runs at the same settings."""
        if claim in self.changed:
            return False
        if claim not in protocols:
            return not self.protocols
        return protocols[claim] not in self.protocols


def scope_of(old: Record, new: Record) -> Scope:
    """Decide what two records allow to be compared."""
    claims = [*_empty("claims", bool(old.verdicts), bool(new.verdicts)), *_claims_file(old, new)]
    place = list(_elsewhere(old, new))
    bits = list(_empty("fingerprints", bool(old.chains), bool(new.chains)))
    speed = [*_empty("timings", bool(old.timings), bool(new.timings)), *_control(old, new)]
    told_of_study = (*bits, *speed) if old.of_study or new.of_study else ()
    metrics = list(_empty("metrics", bool(old.distributions), bool(new.distributions)))
    protocols = dict(_protocols(old, new))
    changed = sorted(_changed(old, new))
    told = "1 claim asks" if len(changed) == 1 else f"{len(changed)} claims ask"
    others = [f"{told} something else now: {', '.join(changed)}."] if changed else []
    return Scope(
        claims=not claims,
        bits=not (place or bits),
        speed=not (place or speed),
        protocols=frozenset(protocols),
        changed=frozenset(changed),
        left_out=(*claims, *others, *place, *metrics, *told_of_study, *protocols.values()),
        notes=tuple(_notes(old, new)),
    )


def _empty(part: str, in_old: bool, in_new: bool) -> Iterator[str]:
    if not (in_old or in_new):
        yield f"No {part}: neither record has any."
    elif not in_old or not in_new:
        yield f"No {part}: the {'new' if in_old else 'old'} record has none."


def _changed(old: Record, new: Record) -> Iterator[str]:
    before = {verdict.id: verdict.digest for verdict in old.verdicts}
    for verdict in new.verdicts:
        known = before.get(verdict.id)
        if known is not None and verdict.digest not in {None, known}:
            yield verdict.id


def _claims_file(old: Record, new: Record) -> Iterator[str]:
    named = all(verdict.digest for record in (old, new) for verdict in record.verdicts)
    if old.claims_sha256 != new.claims_sha256 and not named:
        yield (
            "Claims are left out: the records were judged by different claims files (SHA-256 "
            f"{old.claims_sha256[:8]} and {new.claims_sha256[:8]})."
        )


def _elsewhere(old: Record, new: Record) -> Iterator[str]:
    before, now = old.environment, new.environment
    if old.machine != new.machine:
        differing = _differences(before, now, _HARDWARE)
        where = "machines" if old.machine[:-1] != new.machine[:-1] else "modes of arithmetic"
        yield (
            f"Bits and speed are left out: they come from different {where} ({differing}). "
            "Metrics are compared by value up to the last digit, and else as distributions."
        )
    elif differing := _differences(before, now, ("device",)):
        yield f"Bits and speed are left out: {differing}."


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return "; ".join(
        f"{key} {old.get(key, _ABSENT)} in the old record, {new.get(key, _ABSENT)} in the new"
        for key in keys
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    )


def _control(old: Record, new: Record) -> Iterator[str]:
    if old.timings is None or new.timings is None:
        return
    if old.timings.control != new.timings.control:
        yield (
            f"Speed is left out: the controls are different work ({old.timings.control!r} and "
            f"{new.timings.control!r})."
        )
    elif old.timings.threads != new.timings.threads:
        yield (
            f"Speed is left out: timed on {old.timings.threads} threads in the old record, on "
            f"{new.timings.threads} in the new."
        )


def _protocols(old: Record, new: Record) -> Iterator[tuple[str, str]]:
    """Name each protocol whose settings differ, and the settings that do."""
    for name, before in old.protocols.items():
        now = new.protocols.get(name)
        if now is None:
            continue
        # Where and on how many threads is a matter of bits, and told apart.
        keys = [k for k in {**before, **now} if k not in _HOW_RUN and before.get(k) != now.get(k)]
        if keys:
            differing = "; ".join(
                f"{k} {_short(before.get(k))} in the old record, {_short(now.get(k))} in the new"
                for k in keys
            )
            yield name, f"Protocol {name}, its metrics and its claims are left out: {differing}."


def _short(value: object) -> str:
    return _ABSENT if value is None else reprlib.repr(value)


def _notes(old: Record, new: Record) -> Iterator[str]:
    before, now, package = old.environment, new.environment, new.package
    if before.get(package) == now.get(package):
        yield f"Both records are of {package} {now.get(package, _ABSENT)}."
    elif old.release == new.release:
        yield f"Both records are of {package} {new.release}, in two builds."
    if differing := _differences(before, now, ("threads",)):
        yield (
            f"Metrics may differ in their last digits for another reason than torch: {differing}. "
            "Fingerprints and timings take one thread each."
        )
    keys = [k for k in {**before, **now} if k not in {*_HARDWARE, *_HOW_RUN, package}]
    builds = tuple(k for k in keys if k.startswith("torch_") and k != "torch_commit")
    if differing := _differences(before, now, builds):
        yield f"The builds of torch differ: {differing}."
    others = tuple(k for k in keys if not k.startswith("torch_"))
    if differing := _differences(before, now, others):
        yield f"Not only {package} differs, and what drifts may be due to it: {differing}."
