"""Judging a claims file from Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from actbench import ledger
from actbench.claims import load
from actbench.runs import evidence
from actbench.runs.sources import Sources

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment


@dataclass(frozen=True)
class Ledger(Sequence["Judgment"]):
    """The verdicts on the claims of a file, which a notebook shows with a picture each.

    Args:
        claims: The file.
        judgments: One per claim, in the file's order.
        notes: On runs that gave no number, a sentence each.
    """

    claims: ClaimsFile
    judgments: tuple[Judgment, ...]
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, which: int) -> Judgment: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Judgment, ...]: ...
    def __getitem__(self, which: int | slice) -> Judgment | tuple[Judgment, ...]:
        return self.judgments[which]

    def __len__(self) -> int:
        return len(self.judgments)

    def __iter__(self) -> Iterator[Judgment]:
        return iter(self.judgments)

    @property
    def changed(self) -> list[Judgment]:
        """The judgments whose verdict is another than the expected one."""
        return ledger.changed(self.judgments)

    def __str__(self) -> str:
        return ledger.counts(self.judgments, self.claims)

    def _repr_html_(self) -> str:
        from actbench.claims.picture import cell

        return cell(self.judgments)


def verify(
    path: str | Path,
    *,
    out: str | Path | None = None,
    seeds: int = 16,
    device: str = "auto",
    threads: int | None = None,
    allow_code: bool = False,
    workers: int = 1,
    fresh: bool = False,
    until_decided: bool = False,
    max_seeds: int | None = None,
) -> Ledger:
    """Judge a file of claims, as ``actbench verify`` does.

    Args:
        path: The claims file.
        out: Folder for the data of experiments; ``results/`` and the file's name by default.
        seeds: How many runs, where a protocol does not state its own, at least 1.
        device: Where experiments train: ``auto``, ``cpu``, ``cuda``, ``mps`` or ``xpu``.
        threads: CPU threads of experiments; the physical cores, at most 8, by default.
        allow_code: Whether functions and commands that the file names may run.
        workers: How many of those side by side, at least 1.
        fresh: Whether to run anew what is kept.
        until_decided: Whether to make as many runs as each claim about a median or about every run
            takes, at its level, where a protocol states no number that is smaller.
        max_seeds: Most runs of that, at least 1; by default 100, and for ``every`` twice what shows
            its share.

    Returns:
        The verdicts.

    Raises:
        ActbenchError: The file or its numbers are wrong, or it names code that may not run; says
            what was given, what was expected and what to do.
    """
    claims = load(Path(path))
    folder = Path(out) if out is not None else Path("results") / Path(path).stem
    sources = Sources(claims, allow_code=allow_code, seeds=seeds, workers=workers, fresh=fresh)
    sources.load_own()
    evidence.check_settings(claims)
    sources.require_allowed()
    early: dict[str, Judgment] = {}
    if until_decided or evidence.experiments_of(claims):
        from actbench.runs.early import decide_jobs, jobs_of
        from actbench.runs.results import fulfil

        jobs = jobs_of(claims, seeds, device, threads)
        if until_decided:
            early, jobs = decide_jobs(
                claims, sources, jobs, folder, largest=max_seeds, seeds=seeds, workers=workers
            )
        for job in jobs:
            fulfil(job.experiment, job.config, folder, name=job.name)
    left = [claim for claim in claims.claim if claim.id not in early]
    later = {j.claim.id: j for j in ledger.from_results(claims, folder, left, sources)}
    judgments = tuple((early | later)[claim.id] for claim in claims.claim)
    return Ledger(claims, judgments, tuple(sources.notes))
