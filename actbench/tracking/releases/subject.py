"""What is followed over releases: of which package, and which claims."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from actbench import claims
from actbench.claims import ClaimsFile
from actbench.runs import evidence
from actbench.runs.sources import Sources
from actbench.store.errors import ActbenchError, require_positive_int
from actbench.tracking import fingerprinting, recording
from actbench.tracking.recording import Bar
from actbench.tracking.records import Record
from actbench.tracking.releases.environments import ends_as_interruption

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Subject:
    """What a record of a release is about; by default torch and the claims of the study."""

    package: str = "torch"
    file: ClaimsFile | None = None  # claims of one's own
    needs: tuple[str, ...] = ()  # what pip is asked for besides, because the claims need it
    seeds: int = 16  # runs of functions and commands
    workers: int = 1
    allow_code: bool = False  # whether they may run

    @property
    def light(self) -> bool:
        """Whether nothing is trained by actbench, so that it needs no torch there."""
        return self.file is not None and not evidence.experiments_of(self.file)

    @property
    def sources(self) -> Sources:
        """The numbers of its own claims."""
        assert self.file is not None  # noqa: S101 - asked for with claims of one's own only
        return Sources(
            self.file, allow_code=self.allow_code, seeds=self.seeds, workers=self.workers
        )

    def record(self, device: str, threads: int | None, bar: Bar) -> tuple[Record, list[str]]:
        """Measure its own claims here."""
        assert self.file is not None  # noqa: S101 - asked for with claims of one's own only
        trained: Mapping[str, xr.Dataset] = {}
        sources = self.sources
        with ends_as_interruption():
            with bar("fingerprints", len(self.file.fingerprint)) as progress:
                chains, notes = fingerprinting.take(self.file, progress)
            sources.collect(bar)
            if not self.light:
                trained = recording.run_protocols(self.seeds, device, threads, bar, self.file)
        made = recording.of_claims(self.file, sources, self.package, trained, chains)
        return made, [*notes, *sources.notes]

    def options(self) -> list[str]:
        """Return what ``actbench record`` is given in the environment of a release."""
        if self.file is None or self.file.path is None:
            return [] if self.seeds == STUDY.seeds else ["--seeds", str(self.seeds)]
        words = ["--claims", str(self.file.path.resolve()), "--package", self.package]
        words += ["--seeds", str(self.seeds), "--workers", str(self.workers)]
        return [*words, "--allow-code"] if self.allow_code else words

    def fits(self, record: Record) -> bool:
        """Tell whether a record answers what is asked: the same claims, code, seeds and needs."""
        if self.file is None:
            return record.of_study
        asked = {claim.id: self.file.digest(claim) for claim in self.file.claim}
        marks = {**recording.code_of(self.file), **self.marks}
        return (
            (record.of_study, record.package) == (False, self.package)
            and {v.id: v.digest for v in record.verdicts} == asked
            and {k: v for k, v in record.environment.items() if k == "with" or " " in k} == marks
            and all(
                len(d.values) == (protocol.seeds or self.seeds)
                for name, protocol in self.sources.code
                for d in record.distributions
                if d.protocol == name
            )
        )

    @property
    def marks(self) -> dict[str, str]:
        """What a record can't know where it is made: what was installed on purpose."""
        return {"with": " ".join(self.needs)} if self.needs else {}

    def pinned_apart(self) -> set[str]:
        """Name the packages that are not held at the version that is installed here."""
        return {self.package, *map(canonicalize_name, _names(self.needs))}


STUDY = Subject()


def subject_of(
    path: Path | None,
    package: str,
    only: Collection[str],
    needs: Collection[str] = (),
    requirements: Path | None = None,
    *,
    seeds: int = 16,
    workers: int = 1,
    allow_code: bool = False,
) -> Subject:
    """Read what the options of a command ask for."""
    require_positive_int("--seeds", seeds)
    if path is None:
        if package != "torch" or needs or requirements or allow_code:
            raise ActbenchError(
                "--package, --with, --requirements and --allow-code are for claims of your own: "
                "name their file with --claims"
            )
        return Subject(seeds=seeds)
    if only:
        raise ActbenchError(
            "--only chooses parts of the study's record; with --claims leave it out"
        )
    require_positive_int("--workers", workers)
    if requirements is not None and not requirements.is_file():
        raise ActbenchError(f"--requirements: there is no file {requirements}")
    words = [*(() if requirements is None else ("-r", str(requirements.resolve())))]
    words += map(_absolute, needs)
    file = claims.load(path)
    evidence.check_settings(file)
    subject = Subject(
        canonicalize_name(package), file, tuple(words), seeds, workers, allow_code=allow_code
    )
    subject.sources.require_allowed()
    fingerprinting.require_allowed(file, allow_code=allow_code)
    return subject


def _absolute(word: str) -> str:
    """Folders and wheels are seen from here, but pip works elsewhere."""
    is_path = word.startswith(".") or os.sep in word
    return str(Path(word).resolve()) if is_path and Path(word).exists() else word


def _names(words: Collection[str]) -> Iterator[str]:
    """Name what requirements are of; a folder, an address or an option names nothing here."""
    for word in words:
        path = Path(word)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else [word]
        for line in lines:
            try:
                yield Requirement(line.partition(" #")[0].strip()).name
            except InvalidRequirement:
                continue
