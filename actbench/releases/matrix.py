"""A folder with one record for each of several releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import ActbenchError
from actbench.records import PARTS, load
from actbench.releases.measuring import Progress, parse_release, record_release
from actbench.releases.subject import STUDY, Subject


@dataclass(frozen=True)
class Outcome:
    """What became of one release.

    Args:
        release: Such as ``"2.13.0"``.
        path: Its record's file.
        made: Whether the record is new.
        missing: Why there is no record; empty if there is one.
        package: Of which it is one.
    """

    release: str
    path: Path
    made: bool
    missing: str = ""
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
