"""The history over torch releases: what the records of one machine say, as tables."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar

from actbench.claims import Claim, ClaimsFile
from actbench.pages.wording import listed, words
from actbench.store.errors import ActbenchError
from actbench.tracking.drift.chains import ENGINES, ChainDrift
from actbench.tracking.drift.comparing import NOT_TESTABLE, Drift, Flip, Ratio, compare
from actbench.tracking.records import Record, Verdict

_T = TypeVar("_T")
_Stored = Sequence[tuple[Path, Record]]


@dataclass(frozen=True)
class Release:
    """One torch release."""

    name: str
    file: str  # name of its record's
    made_at: str
    environment: dict[str, str | int]
    fresh: int  # claims measured for the record
    stored: int  # judged from stored values, which say nothing about the release
    as_expected: int  # of the fresh ones
    first_parting: str  # where its numbers part from those of the release before; may be empty


@dataclass(frozen=True)
class Row(Generic[_T]):
    """One fingerprint or workload over the releases."""

    name: str
    first: int  # number of the first release that has it
    # Per release, against the last one before that has it, and against the first; None where there
    # is nothing to compare.
    since_previous: tuple[_T | None, ...]
    since_first: tuple[_T | None, ...]

    @property
    def group(self) -> str:
        """The engine, such as ``"initial weights"``."""
        return self.name.partition("/")[0].replace("-", " ")


class ChainRow(Row[ChainDrift]):
    """One fingerprint over the releases."""

    @property
    def changed_at(self) -> tuple[int, ...]:
        """Numbers of the releases whose bits are not those of the release before."""
        return tuple(n for n, found in enumerate(self.since_previous) if found and found.differing)

    @property
    def back_at(self) -> tuple[int, ...]:
        """Numbers of the releases that changed the bits back to those of the first."""
        since_first = ((n, self.since_first[n]) for n in self.changed_at)
        return tuple(n for n, found in since_first if found is not None and not found.differing)


SpeedRow: TypeAlias = Row[Ratio]
"""One workload over the releases."""

_Unit = Literal["tolerances", "factor"]

_NO_GROUP = "not in the claims file"
"""Where a claim stands that today's claims file does not have."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim that was measured for a record at least once."""

    id: str
    group: str  # key of the experiment that decides it
    unit: _Unit | None  # of the margins; None where that is not known
    expected: str  # by the newest record's claims file
    # Per release: the verdict, None where it was not measured for that record; how far it is from
    # flipping; whether it can be compared with the one measured last, which was perhaps by other
    # settings or another claims file; and what changed since then.
    verdicts: tuple[str | None, ...]
    margins: tuple[float | None, ...]
    compared: tuple[bool, ...]
    flips: tuple[Flip | None, ...]

    @property
    def smallest_margin(self) -> float | None:
        """The smallest over all releases."""
        return min((margin for margin in self.margins if margin is not None), default=None)


@dataclass(frozen=True)
class History:
    """What the records of one machine say, oldest release first."""

    machine: str  # in words
    releases: tuple[Release, ...]
    claims: tuple[ClaimRow, ...]  # by experiment
    chains: tuple[ChainRow, ...]
    speeds: tuple[SpeedRow, ...]
    notes: tuple[str, ...]  # what was left out or must be kept in mind

    def mean_since_first(self, number: int) -> float | None:
        """How long the work takes at a release on average, relative to the first timed one."""
        first = min((row.first for row in self.speeds), default=None)
        if number == first:
            return 1.0
        since = [row.since_first[number] for row in self.speeds if row.first == first]
        ratios = [found.ratio for found in since if found is not None]
        return statistics.geometric_mean(ratios) if ratios else None


def of(found: _Stored, claims: ClaimsFile, refused: Sequence[str] = ()) -> History:
    """Lay the records of one machine out over their releases."""
    followed, elsewhere = _of_torch(found)
    ours, of_others = _one_machine(followed)
    kept, superseded = _newest(ours)
    records = [record for _, record in kept]
    pairs = _Pairs(records, {claim.id: claim.protocol for claim in claims.claim})
    notes = [
        *(f"Left out: {why}" for why in refused),
        *elsewhere,
        *of_others,
        *superseded,
        *pairs.remarks(),
    ]
    notes += _besides_torch(records)
    if len(records) == 1:
        notes.append(
            f"There is one release only, torch {records[0].torch}, and nothing to compare it "
            "with. Add a record of another release: actbench record --out FILE"
        )
    return History(
        machine=_in_words(records[-1].machine),
        releases=tuple(_release(*item, pairs, number) for number, item in enumerate(kept)),
        claims=_claim_rows(pairs, claims),
        chains=_chain_rows(pairs),
        speeds=_speed_rows(pairs),
        notes=tuple(notes),
    )


def _of_torch(found: _Stored) -> tuple[_Stored, list[str]]:
    kept = [item for item in found if item[1].package == "torch"]
    others = [f"{path.name} ({r.package})" for path, r in found if r.package != "torch"]
    if not others:
        return kept, []
    why = f"{listed(others)}: a history is torch's. Compare two records with: actbench drift"
    if not kept:
        raise ActbenchError(f"there is no record of torch, but {why} OLD NEW")
    return kept, [f"Left out: {why} OLD NEW"]


def _one_machine(found: _Stored) -> tuple[list[tuple[Path, Record]], list[str]]:
    counts = Counter(record.machine for _, record in found)
    # Of two machines with as many records the one that was used last counts.
    last = {record.machine: record.made_at for _, record in sorted(found, key=_made_at)}
    chosen = max(counts, key=lambda machine: (counts[machine], last[machine]))
    notes = []
    for machine in counts:
        files = ", ".join(path.name for path, record in found if record.machine == machine)
        if machine != chosen:
            notes.append(
                f"Left out: {files}, of another machine ({_in_words(machine)}); bits and durations "
                "of two machines can't be compared."
            )
    return [item for item in found if item[1].machine == chosen], notes


def _newest(found: _Stored) -> tuple[list[tuple[Path, Record]], list[str]]:
    kept, notes = [], []
    for release, group in itertools.groupby(found, key=lambda item: item[1].torch):
        *older, newest = sorted(group, key=_made_at)
        kept.append(newest)
        if older:
            files = ", ".join(path.name for path, _ in older)
            notes.append(
                f"Of torch {release} the newest record counts, {newest[0].name}; left out: {files}."
            )
    return kept, notes


def _besides_torch(records: Sequence[Record]) -> Iterator[str]:
    """Name what else than torch differs, because what drifts may be due to it."""
    keys = dict.fromkeys(key for record in records for key in record.environment)
    differing = [
        key
        for key in keys
        # What a release was built with belongs to it.
        if key != "torch"
        and not key.startswith("torch_")
        and len({record.environment.get(key) for record in records}) > 1
    ]
    if differing:
        yield (
            f"Between the records differ, besides torch itself: {listed(map(words, differing))} "
            "(see the environment on the page); what drifts may be due to that."
        )


def _made_at(item: tuple[Path, Record]) -> str:
    return item[1].made_at


def _in_words(machine: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(machine))


def _release(path: Path, record: Record, pairs: _Pairs, number: int) -> Release:
    fresh = [verdict for verdict in record.verdicts if verdict.fresh]
    return Release(
        name=record.torch,
        file=path.name,
        made_at=record.made_at,
        environment=dict(record.environment),
        fresh=len(fresh),
        stored=sum(not v.fresh and v.verdict != NOT_TESTABLE for v in record.verdicts),
        as_expected=sum(verdict.verdict == verdict.expected for verdict in fresh),
        first_parting=pairs.drift(number - 1, number).chains.first_parting if number else "",
    )


@dataclass(frozen=True)
class _Pairs:
    """Comparisons of records with one another, each made when it is first asked for."""

    records: Sequence[Record]
    protocols: Mapping[str, str | None]  # by the claim's id
    _made: dict[tuple[int, int], Drift] = field(default_factory=dict, repr=False)

    def drift(self, old: int, new: int) -> Drift:
        """Compare two releases."""
        if (old, new) not in self._made:
            self._made[old, new] = compare(self.records[old], self.records[new], self.protocols)
        return self._made[old, new]

    def since(
        self,
        partner: Literal["previous", "first"],
        name: str,
        held: Sequence[Collection[str]],
        pick: Callable[[Drift, str], _T | None],
    ) -> tuple[_T | None, ...]:
        """Compare one thing, over all releases that hold it, with what it was before."""
        there = [number for number, names in enumerate(held) if name in names]
        found: list[_T | None] = [None] * len(held)
        for place, number in enumerate(there[1:]):
            old = there[place] if partner == "previous" else there[0]
            found[number] = pick(self.drift(old, number), name)
        return tuple(found)

    def parts(
        self, held: Sequence[Collection[str]], pick: Callable[[Drift, str], _T | None]
    ) -> Iterator[tuple[str, int, tuple[_T | None, ...], tuple[_T | None, ...]]]:
        """Give what makes a row of each thing that a release holds."""
        for name in dict.fromkeys(name for names in held for name in names):
            first = next(number for number, names in enumerate(held) if name in names)
            previous = self.since("previous", name, held, pick)
            yield name, first, previous, self.since("first", name, held, pick)

    def remarks(self) -> Iterator[str]:
        """Say what neighboring releases do not allow to be compared."""
        about: dict[str, list[str]] = {}
        for number in range(1, len(self.records)):
            found = self.drift(number - 1, number)
            for sentence in found.scope.left_out:
                pair = f"{found.old.torch} and {found.new.torch}"
                about.setdefault(sentence, []).append(pair)
        for sentence, pairs in about.items():
            everywhere = len(pairs) == len(self.records) - 1
            who = "every two neighbors" if everywhere else ", ".join(pairs)
            yield f"Comparing {who}: {sentence}"


def _chain_rows(pairs: _Pairs) -> tuple[ChainRow, ...]:
    def pick(drift: Drift, name: str) -> ChainDrift | None:
        return next((chain for chain in drift.chains.chains if chain.name == name), None)

    held = [[chain.name for chain in record.chains] for record in pairs.records]
    rows = (ChainRow(*parts) for parts in pairs.parts(held, pick))
    return tuple(sorted(rows, key=lambda row: ENGINES.index(row.group)))


def _speed_rows(pairs: _Pairs) -> tuple[SpeedRow, ...]:
    def pick(drift: Drift, name: str) -> Ratio | None:
        return next((ratio for ratio in drift.speed.workloads if ratio.name == name), None)

    timed = [record.timings.workloads if record.timings else [] for record in pairs.records]
    held = [[workload.name for workload in workloads] for workloads in timed]
    return tuple(Row(*parts) for parts in pairs.parts(held, pick))


def _claim_rows(pairs: _Pairs, claims: ClaimsFile) -> tuple[ClaimRow, ...]:
    """Lay out what was judged for the records themselves, not from stored values."""

    def comparable(drift: Drift, claim: str) -> bool:
        return drift.scope.claims and drift.scope.same_claim(claim, pairs.protocols)

    def flip(drift: Drift, claim: str) -> Flip | None:
        return next((flip for flip in drift.claims.flips if flip.id == claim), None)

    fresh = [{v.id: v for v in record.verdicts if v.fresh} for record in pairs.records]
    known = {claim.id: claim for claim in claims.claim}
    rows = [
        _claim_row(
            [said.get(name) for said in fresh],
            known.get(name),
            claims,
            pairs.since("previous", name, fresh, comparable),
            pairs.since("previous", name, fresh, flip),
        )
        for name in dict.fromkeys([*known, *(name for said in fresh for name in said)])
        if any(name in said for said in fresh)
    ]
    groups = list(dict.fromkeys(row.group for row in rows))
    return tuple(sorted(rows, key=lambda row: groups.index(row.group)))


def _claim_row(
    said: Sequence[Verdict | None],
    claim: Claim | None,
    claims: ClaimsFile,
    compared: tuple[bool | None, ...],
    flips: tuple[Flip | None, ...],
) -> ClaimRow:
    newest = next(v for v in reversed(said) if v is not None)
    unit = _unit(claim, newest.expected)
    group = _NO_GROUP
    if claim is not None and claim.protocol is not None:
        group = claims.protocol[claim.protocol].experiment
    return ClaimRow(
        id=newest.id,
        group=group,
        unit=unit,
        expected=newest.expected,
        verdicts=tuple(None if v is None else v.verdict for v in said),
        # A margin to another bound, that of another verdict, may be in another unit.
        margins=tuple(
            None if v is None or _unit(claim, v.verdict) != unit else v.margin for v in said
        ),
        compared=tuple(map(bool, compared)),
        flips=flips,
    )


def _unit(claim: Claim | None, verdict: str) -> _Unit | None:
    relation = None if claim is None else claim.decisive(verdict)
    if relation is None:
        return None
    return "tolerances" if relation.kind == "equals" else "factor"
