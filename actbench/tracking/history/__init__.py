"""The history over torch releases: what the records of one machine say, as tables."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.claims import ClaimsFile
from actbench.pages.wording import listed, words
from actbench.tracking.history.changes import (
    ChainRow,
    ClaimRow,
    Pairs,
    SpeedRow,
    chain_rows,
    claim_rows,
    speed_rows,
)
from actbench.tracking.records import Record


@dataclass(frozen=True)
class Release:
    """One torch release.

    Args:
        name: Such as ``"2.13.0"``.
        file: Name of its record's file.
        made_at: When, UTC, ISO 8601.
        environment: Versions and hardware.
        fresh: How many claims were measured for the record.
        stored: How many were judged from stored values, which say nothing about the release.
        as_expected: How many of the fresh ones have the verdict that their claims file pins.
        first_parting: At which operation its numbers part from those of the release before; empty
            where they do not.
    """

    name: str
    file: str
    made_at: str
    environment: dict[str, str | int]
    fresh: int
    stored: int
    as_expected: int
    first_parting: str


@dataclass(frozen=True)
class History:
    """What the records of one machine say, oldest release first.

    Args:
        machine: What they were measured on, in words.
        releases: At least one.
        claims: Those that were measured for a record, by experiment.
        chains: The numeric fingerprints.
        speeds: The workloads.
        notes: What was left out or must be kept in mind, a sentence each.
    """

    machine: str
    releases: tuple[Release, ...]
    claims: tuple[ClaimRow, ...]
    chains: tuple[ChainRow, ...]
    speeds: tuple[SpeedRow, ...]
    notes: tuple[str, ...]


def of(
    found: Sequence[tuple[Path, Record]], claims: ClaimsFile, refused: Sequence[str] = ()
) -> History:
    """Lay the records of one machine out over their releases."""
    ours, of_others = _one_machine(found)
    kept, superseded = _newest(ours)
    records = [record for _, record in kept]
    pairs = Pairs(records, {claim.id: claim.protocol for claim in claims.claim})
    notes = [*(f"Left out: {why}" for why in refused), *of_others, *superseded, *pairs.remarks()]
    notes += _besides_torch(records)
    if len(records) == 1:
        notes.append(
            f"There is one release only, torch {records[0].torch}, and nothing to compare it "
            "with. Add a record of another release: actbench record --out FILE"
        )
    return History(
        machine=_in_words(records[-1].machine),
        releases=tuple(
            _release(path, record, pairs.drift(number - 1, number).first_parting if number else "")
            for number, (path, record) in enumerate(kept)
        ),
        claims=claim_rows(pairs, claims),
        chains=chain_rows(pairs),
        speeds=speed_rows(pairs),
        notes=tuple(notes),
    )


def _one_machine(
    found: Sequence[tuple[Path, Record]],
) -> tuple[list[tuple[Path, Record]], list[str]]:
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


def _newest(
    found: Sequence[tuple[Path, Record]],
) -> tuple[list[tuple[Path, Record]], list[str]]:
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


def _release(path: Path, record: Record, first_parting: str) -> Release:
    fresh = [verdict for verdict in record.verdicts if verdict.fresh]
    return Release(
        name=record.torch,
        file=path.name,
        made_at=record.made_at,
        environment=dict(record.environment),
        fresh=len(fresh),
        stored=len(record.verdicts) - len(fresh),
        as_expected=sum(verdict.verdict == verdict.expected for verdict in fresh),
        first_parting=first_parting,
    )
