"""Records of one machine, by release: those that are there, and those that can be made."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from actbench.store.environment import cpu_model
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder
from actbench.tracking.records import PARTS, Record, load, load_folder
from actbench.tracking.releases.measuring import (
    Progress,
    parse_release,
    record_release,
    release_name,
)
from actbench.tracking.releases.subject import STUDY, Subject

_Value = TypeVar("_Value")
Stored = list[tuple[Path, Record]]


@dataclass
class Shelf:
    """Records of one machine, by release, and how to get further ones."""

    records: dict[str, tuple[Path, Record]]
    make: Callable[[str], tuple[Path, Record]] | None  # None where they are of another machine
    made: list[str] = field(default_factory=list)  # releases whose records were made
    refused: dict[str, str] = field(default_factory=dict)  # why a record can't be had or used

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


@dataclass(frozen=True)
class Outcome:
    """What became of one release."""

    release: str
    path: Path
    made: bool  # whether the record is new
    missing: str = ""  # why there is none
    package: str = "torch"

    @property
    def sentence(self) -> str:
        """One line on it."""
        if self.missing:
            return f"{self.package} {self.release}: missing: {self.missing}"
        how = "recorded in" if self.made else "kept, recorded before in"
        return f"{self.package} {self.release}: {how} {self.path}"


def track(
    releases: Sequence[str],
    folder: Path,
    only: Sequence[str] = (),
    overwrite: bool = False,
    progress_of: Callable[[str], Progress] = lambda release: lambda phase: None,
    subject: Subject = STUDY,
) -> Iterator[Outcome]:
    """Make the record of each release that has none, and go on with the others when one fails."""
    for release in dict.fromkeys(releases):
        path = folder / f"{subject.package}-{release}.json"
        try:
            made = overwrite or not path.exists()
            if made:
                record_release(release, path, only, progress_of(release), subject)
            else:
                _require_whole(path, release, only, subject)
        except ActbenchError as error:
            yield Outcome(release, path, made=False, missing=str(error), package=subject.package)
        else:
            yield Outcome(release, path, made, package=subject.package)


def _require_whole(path: Path, release: str, only: Sequence[str], subject: Subject) -> None:
    """Refuse a file that is there but is not the record that was asked for; it stays untouched."""
    record = load(path)
    if not subject.fits(record):
        raise ActbenchError(
            f"{path} is a record of another package, or of other claims, code, seeds or needs. "
            "Replace it: --overwrite"
        )
    if parse_release(record.release) != parse_release(release):
        named = f"{record.package} {record.release}"
        raise ActbenchError(f"{path} is a record of {named}. Replace it: --overwrite")
    lacking = set(only or (PARTS if subject.file is None else ["verdicts"])) - record.parts
    if lacking:
        raise ActbenchError(
            f"{path} has no {' and no '.join(sorted(lacking))}. Make it anew with --overwrite"
        )
