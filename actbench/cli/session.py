"""What the commands that compute have in common: jobs, progress, and what is shown afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from actbench import claims, ledger
from actbench.cli import console
from actbench.cli.estimates import Estimator
from actbench.ledger import published_table
from actbench.ledger.judgments import counted
from actbench.runs import evidence
from actbench.runs.results import Outcome, fulfil, is_there
from actbench.store import terminal
from actbench.store.environment import duration
from actbench.store.errors import ActbenchError, unknown_name
from actbench.store.files import write_atomic
from actbench.store.terminal import plural
from actbench.study.experiments import EXPERIMENTS, Experiment
from actbench.study.experiments import get as get_experiment

if TYPE_CHECKING:
    from rich.console import Console

    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment
    from actbench.runs.sources import Sources


_OPTIONS = {
    "activations": "--activation",
    "targets": "--target",
    "epochs": "--epochs",
    "initializer": "--initializer",
    "learning_rate": "--learning-rate",
    "weight_decay": "--weight-decay",
    "depth": "--depth",
    "width": "--width",
    "dtype": "--dtype",
    "seeds": "--seeds",
    "device": "--device",
    "threads": "--threads",
}
"""Setting of an experiment to the option of ``actbench run`` that gives it."""


_SURPRISES = 5
"""How many changed verdicts are named at the end; the ledger has all."""


@dataclass(frozen=True)
class Job:
    """One run of an experiment.

    Args:
        experiment: What to run.
        config: With which settings.
        name: Dataset file, where it is a variant of the experiment.
    """

    experiment: Experiment
    config: Any
    name: str | None = None


def study_jobs(seeds: int, device: str, threads: int | None, *, quick: bool = False) -> list[Job]:
    """List what shows the study: what its claims need, then every other experiment."""
    jobs = []
    for name, protocol in claims.published().protocol.items():
        if not protocol.slow:
            config = evidence.config_for(protocol, seeds, device, threads)
            variant = evidence.file_name(name, protocol) if protocol.settings else None
            jobs.append(Job(get_experiment(protocol.experiment), config, variant))
    covered = {job.experiment.key for job in jobs}
    for key, experiment in EXPERIMENTS.items() if not quick else ():
        if key not in covered:
            config = experiment.module().Config(device=device, threads=threads)
            jobs.append(Job(experiment, config))
    return jobs


def jobs_of(file: ClaimsFile, seeds: int, device: str, threads: int | None) -> list[Job]:
    """List what the claims of a file need, slow protocols too."""
    jobs = []
    for name, protocol in evidence.experiments_of(file):
        config = evidence.config_for(protocol, seeds, device, threads)
        variant = evidence.file_name(name, protocol) if protocol.settings else None
        jobs.append(Job(get_experiment(protocol.experiment), config, variant))
    return jobs


def make_config(experiment: Experiment, settings: dict[str, Any]) -> Any:
    """Build an experiment's configuration from what was given on the command line."""
    factory = experiment.module().Config
    known = factory.__dataclass_fields__
    for name in settings:
        if name not in known:
            taken = ", ".join(option for key, option in _OPTIONS.items() if key in known)
            raise ActbenchError(
                f"{experiment.key} has no setting {_OPTIONS[name]}; it takes {taken}. Leave it "
                "out, or run each experiment by itself"
            )
    return factory(**settings)


def job_of_protocol(name: str, experiments: Sequence[Experiment], settings: dict[str, Any]) -> Job:
    """Prepare what a protocol of the study's claims runs, into the file they are judged from."""
    file = claims.published()
    if name not in file.protocol:
        raise unknown_name("protocol", name, file.protocol)
    protocol = file.protocol[name]
    if [e.key for e in experiments] != [protocol.experiment]:
        raise ActbenchError(
            f"protocol {name!r} runs {protocol.experiment}, but "
            f"{' and '.join(e.key for e in experiments)} was asked for. Give it: actbench run "
            f"{protocol.experiment} --protocol {name}"
        )
    for key in settings.keys() - {"seeds", "device", "threads"}:
        raise ActbenchError(
            f"protocol {name!r} decides every setting, but {_OPTIONS[key]} was given too. Leave it "
            "out, or leave out --protocol and give each setting"
        )
    seeds = {} if protocol.seeds is None else {"seeds": protocol.seeds}
    config = make_config(experiments[0], {**protocol.settings, **seeds, **settings})
    variant = evidence.file_name(name, protocol) if protocol.settings else None
    return Job(experiments[0], config, variant)


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
            with console.progress_bar(bar, title, max(1, steps)) as progress:
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
                self._show(outcome, file)
            for sentence in outcome.notes:
                self._tell(f"Note: {sentence}")
            if outcome.reused:
                self._tell(f"{title}: data reused from {self.out}; same settings.")
            if outcome.written and self.verbose:
                self._console.print("Written:")
                self._console.print(console.written_files(outcome.written), soft_wrap=True)

    def collect(self, sources: Sources) -> None:
        """Run the functions and commands of a claims file, showing progress."""
        bar = terminal.screen(stderr=True, quiet=self.quiet)
        sources.collect(partial(console.progress_bar, bar))

    def decide(
        self,
        file: ClaimsFile,
        sources: Sources,
        jobs: Sequence[Job],
        largest: int | None,
        **numbers: int,
    ) -> tuple[dict[str, Judgment], list[Job]]:
        """Make runs until the claims that can be looked at as they come are decided."""
        from actbench.runs.early import Batches, decide_all

        bar = partial(console.progress_bar, terminal.screen(stderr=True, quiet=self.quiet))
        named = dict(zip((name for name, _ in evidence.experiments_of(file)), jobs, strict=True))
        batches = {
            name: Batches(j.experiment, j.config, self.out, j.name, self.overwrite, bar)
            for name, j in named.items()
        }
        found = decide_all(file, sources, batches, self._tell, largest=largest, **numbers)
        return found, [job for name, job in named.items() if not batches[name].made]

    def _show(self, outcome: Outcome, file: ClaimsFile | None) -> None:
        from actbench.study.experiments.sine_regression.findings import (
            against_published,
            other_than_stated,
            protocol_of_run,
        )

        final = outcome.dataset.get("final_mse")
        # A grid over depths or targets has too many cells for a table; its figures show them.
        if final is None or set(final.dims) != {"activation", "seed"}:
            return
        study = file or claims.published()
        # Another file's networks are not the study's: nothing published stands beside them.
        about = (
            claims.final_loss_claims(study, protocol_of_run(outcome.dataset))
            if study.of_the_study
            else None
        )
        comparable = {} if other_than_stated(outcome.dataset) else about or {}
        screen = self._console
        screen.print(console.final_mse_table(outcome.dataset, comparable))
        for bars in console.gradient_bars(outcome.dataset, screen.width):
            screen.print(bars)
        for sentence in against_published(outcome.dataset, about):
            self._tell(f"Note: {sentence}")

    def say_left_out(self, jobs: Sequence[Job]) -> None:
        """Say which experiments some jobs leave out, and what becomes of their claims."""
        left = [key for key in EXPERIMENTS if key not in {job.experiment.key for job in jobs}]
        self._tell(
            f"Left out by --quick: {', '.join(left)}. Their claims are judged from stored "
            "measurements."
        )

    def estimate(self, jobs: Sequence[Job], sources: Sources | None = None) -> None:
        """Say what jobs would run and about how long they take."""
        total, estimator = 0.0, Estimator()
        for job in jobs:
            name = job.name or job.experiment.key
            there = not self.overwrite and is_there(job.experiment, job.config, self.out, job.name)
            if there:
                self._tell(f"{name}: there already, in {self.out}/")
                continue
            seconds = estimator.seconds(job.experiment, job.config)
            total += seconds
            self._tell(f"{name}: about {duration(seconds)}, into {self.out}/")
        for line in [] if sources is None else sources.outstanding():
            self._tell(line)
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

    def write_report(
        self, judgments: Sequence[Judgment], results: ledger.Results | None = None
    ) -> None:
        """Write the report beside the results and, if verbose, print where it is."""
        from actbench.study import report  # loads matplotlib

        written = report.write(self.out, claims.published(), judgments, results)
        if self.verbose:
            self._console.print(console.written_files(written), soft_wrap=True)

    def conclude(self, judgments: Sequence[Judgment], command: str) -> None:
        """Print what the study came to, on a few lines."""
        flipped = ledger.surprises(judgments)
        shown = ", ".join(flipped[:_SURPRISES])
        if len(flipped) > _SURPRISES:
            shown += f" and {len(flipped) - _SURPRISES} more"
        lines = [("The study", counted(claims.published(), judgments)[0])]
        lines += [("Beside it", text) for text in counted(claims.published(), judgments)[1:]]
        lines += [("Surprises", shown or "none: no verdict is other than expected")]
        lines += [("Undecided", text) for text in [ledger.more_seeds(judgments)] if text]
        lines += [("Page", str(self.out / "report.html")), ("Next", command)]
        table = Table.grid(padding=(0, 2))
        for name, text in lines:
            table.add_row(name, Text(text, overflow="fold"))
        self._console.print(table)
