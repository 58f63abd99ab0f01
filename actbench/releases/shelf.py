"""Records of one machine, by release: those that are there, and those that can be made."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from actbench.environment import cpu_model
from actbench.errors import ActbenchError
from actbench.files import baselines_folder
from actbench.records import Record, load_folder
from actbench.releases.measuring import release_name
from actbench.releases.subject import STUDY, Subject

_Value = TypeVar("_Value")
Stored = list[tuple[Path, Record]]


@dataclass
class Shelf:
    """Records of one machine, by release, and how to get further ones.

    Args:
        records: Those that are there.
        make: Makes one; ``None`` where the records are of another machine than this.
        made: Releases whose records were made.
        refused: Why the record of a release can't be had or used.
    """

    records: dict[str, tuple[Path, Record]]
    make: Callable[[str], tuple[Path, Record]] | None
    made: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def get(self, release: str) -> Record:
        """Return a release's record, made if need be."""
        if release not in self.records:
            if self.make is None:
                raise ActbenchError("it has no record, and the others are of another machine")
            self.records[release] = self.make(release)
            self.made.append(release)
        return self.records[release][1]

    def value(self, of: Callable[[Record], _Value], release: str) -> _Value | None:
        """Return a release's value, or ``None`` (and keep the reason) where it has none."""
        try:
            return of(self.get(release))
        except ActbenchError as error:
            self.refused[release] = str(error)
            return None


def stored_records(folder: Path | None, made: Path) -> tuple[Stored, list[str]]:
    """Read the records that are there."""
    if folder is not None and not folder.is_dir():
        raise ActbenchError(f"{folder} is no folder. Name one with records, or an empty one")
    found: Stored = []
    refused: list[str] = []
    for place in (folder or baselines_folder() / "records", made):
        if any(place.glob("*.json")):
            records, sentences = load_folder(place)
            found += records
            refused += sentences
    return found, refused


def choose(
    found: Iterable[tuple[Path, Record]],
    part: str,
    ends: Sequence[str],
    subject: Subject = STUDY,
) -> tuple[dict[str, tuple[Path, Record]], bool]:
    """Choose the records of one machine: bits are compared on one machine only."""
    machines: dict[tuple[str, ...], dict[str, tuple[Path, Record]]] = {}
    for path, record in sorted(found, key=lambda item: item[1].made_at):
        if part in record.parts and subject.fits(record):
            release = release_name(record.release)
            machines.setdefault(record.machine, {})[release] = (path, record)
    here = (f"{platform.system()} {platform.machine()}", cpu_model())
    ordered = sorted(machines, key=lambda machine: machine[:2] != here)
    for machine in ordered:
        if set(ends) <= machines[machine].keys():
            return machines[machine], machine[:2] == here
    if ordered and ordered[0][:2] == here:
        return machines[ordered[0]], True
    return {}, True
