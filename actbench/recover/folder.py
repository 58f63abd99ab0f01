"""An output folder of a search: what is reused, what is refused, and writing the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from actbench import devices, environment
from actbench.errors import ActbenchError
from actbench.files import prepare_folder
from actbench.recover import outcome, report, search
from actbench.recover.outcome import Result
from actbench.recover.space import Plan


@dataclass(frozen=True)
class Kept:
    """What became of a search.

    Args:
        result: What was found.
        written: Files that were written now.
        notes: What the user should know, a sentence each.
    """

    result: Result
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fulfil(
    plan: Plan,
    out: Path,
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
    *,
    overwrite: bool = False,
) -> Kept:
    """Bring a folder to hold the result of a search."""
    here = environment.describe("cpu", 1)  # each part on one thread, however many there are
    prepare_folder(out)
    path = out / report.RESULT
    if path.exists() and not overwrite:
        stored = outcome.load(path)
        if stored.search == plan.search.model_dump(mode="json") and stored.environment == here:
            return Kept(stored)
        raise ActbenchError(
            f"{path} holds the result of another search or environment. Replace it with "
            "--overwrite, or choose another folder with --out"
        )
    searched = search.run(plan, progress, threads, path)
    result = outcome.summarize(searched, here)
    notes = []
    if searched.reused:
        there = "1 part was" if searched.reused == 1 else f"{searched.reused} parts were"
        notes.append(f"went on after an interrupted search: {there} there already")
    return Kept(result, report.write(result, out), notes)


def estimate(plan: Plan, threads: int | None) -> str:
    """Say how large a space is and how long a search of it takes."""
    with devices.using_threads(threads) as count:
        pass
    with devices.using_threads(1):
        seconds = search.estimated_seconds(plan)
    return report.plan_sentence(plan.search.size, len(plan.outers), plan.size, seconds, count)
