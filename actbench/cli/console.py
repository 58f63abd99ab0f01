"""What the commands that compute show: progress, what was written, and the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from actbench import claims, ledger
from actbench.ledger import published_table
from actbench.runs.results import fulfil, is_there
from actbench.store import studies, terminal
from actbench.store.environment import duration
from actbench.store.files import write_atomic
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment
    from actbench.runs.early import Job
    from actbench.runs.sources import Sources


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with the time left while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task(title, total=total)

    def advance(done: int) -> None:
        # Shown with the first step: what is reused from disk, or refused, takes none.
        progress.start()
        progress.update(task, advance=done)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


def written_files(paths: Sequence[Path]) -> str:
    """List files with their sizes, a line each."""
    return "\n".join(f"  {path}  ({math.ceil(path.stat().st_size / 1000)} kB)" for path in paths)


@dataclass(frozen=True)
class Session:
    """One invocation of a command that computes.

    Args:
        out: Where results go.
        quiet: Whether to print errors only.
        overwrite: Whether results of other settings may be replaced.
        verbose: Whether each experiment's losses, gradients and files are listed.
    """

    out: Path
    quiet: bool
    overwrite: bool
    verbose: bool = True

    @property
    def _console(self) -> Console:
        return terminal.screen(quiet=self.quiet, whole=True)

    def _tell(self, text: str) -> None:
        terminal.tell(text, quiet=self.quiet)

    def execute(self, jobs: Sequence[Job], file: ClaimsFile | None = None) -> None:
        """Run jobs one after another, showing progress and, if verbose, what came out."""
        keys = list(dict.fromkeys(job.experiment.key for job in jobs))
        for job in jobs:
            bar = terminal.screen(stderr=True, quiet=self.quiet)
            title = (job.name or job.experiment.key).removesuffix(".nc")
            if len(keys) > 1:
                title = f"{keys.index(job.experiment.key) + 1}/{len(keys)} {title}"
            steps = job.config.steps
            with progress_bar(bar, title, max(1, steps)) as progress:
                outcome = fulfil(
                    job.experiment,
                    job.config,
                    self.out,
                    name=job.name,
                    overwrite=self.overwrite,
                    progress=progress,
                )
                if not (outcome.reused or steps):
                    progress(1)  # it is counted as the others are
            if self.verbose:
                for part in studies.parts("screen"):
                    part.show(outcome.dataset, file, self._console, self._tell)
            for sentence in outcome.notes:
                self._tell(f"Note: {sentence}")
            if outcome.reused:
                self._tell(f"{title}: data reused from {self.out}; same settings.")
            if outcome.written and self.verbose:
                self._console.print("Written:")
                self._console.print(written_files(outcome.written), soft_wrap=True)

    def collect(self, sources: Sources) -> None:
        """Run the functions and commands of a claims file, showing progress."""
        bar = terminal.screen(stderr=True, quiet=self.quiet)
        sources.collect(partial(progress_bar, bar))

    def decide(
        self,
        file: ClaimsFile,
        sources: Sources,
        jobs: Sequence[Job],
        largest: int | None,
        **numbers: int,
    ) -> tuple[dict[str, Judgment], list[Job]]:
        """Make runs until the claims that can be looked at as they come are decided."""
        from actbench.runs.early import decide_jobs

        bar = partial(progress_bar, terminal.screen(stderr=True, quiet=self.quiet))
        how: dict[str, Any] = {
            "overwrite": self.overwrite,
            "bar": bar,
            "tell": self._tell,
            **numbers,
        }
        return decide_jobs(file, sources, jobs, self.out, largest=largest, **how)

    def estimate(self, jobs: Sequence[Job], sources: Sources | None = None) -> None:
        """Say what jobs would run and about how long they take."""
        total, estimator = 0.0, studies.own_part("estimates").Estimator()
        for job in jobs:
            name = job.name or job.experiment.key
            there = not self.overwrite and is_there(job.experiment, job.config, self.out, job.name)
            if there:
                self._tell(f"{name}: there already, in {self.out}/")
                continue
            seconds = estimator.seconds(job.experiment, job.config)
            total += seconds
            self._tell(f"{name}: about {duration(seconds)}, into {self.out}/")
        outstanding = [] if sources is None else [*sources.outstanding()]
        for line in outstanding:
            self._tell(line)
        if not jobs and not outstanding:
            self._tell("Nothing would run: what the claims rest on is there.")
        if len(jobs) > 1:
            self._tell(f"In all about {duration(total)}, and seconds for figures.")

    def show_ledger(self, judgments: Sequence[Judgment], file: ClaimsFile | None = None) -> None:
        """Print the ledger."""
        screen = self._console
        screen.print(ledger.table(judgments, screen.width))
        for line in published_table.sentences(judgments):
            self._tell(line)
        if file is not None and (pinned := file.pinned):
            self._tell(
                f"Each of {plural(pinned, 'pinned claim')} is judged at a level of "
                f"{file.level_in_words}, its part of {file.alpha:.2g}."
            )
        self._tell(ledger.counts(judgments, file or claims.published()))

    def write_ledger(self, judgments: Sequence[Judgment], file: ClaimsFile | None = None) -> None:
        """Write the ledger beside the results."""
        about = file or claims.published()
        sentences = ledger.elsewhere(about, judgments)
        legend = (*ledger.LEGEND, *(ledger.STUDY_LEGEND if about.of_the_study else ()))
        write_atomic(self.out / "ledger.json", f"{ledger.as_json(judgments, sentences)}\n".encode())
        write_atomic(
            self.out / "ledger.md", ledger.markdown(judgments, sentences, legend, about).encode()
        )
