"""What the commands that compute the study have in common: its jobs, and what they end with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from actbench import claims, ledger
from actbench.cli import console
from actbench.cli.session import Session
from actbench.ledger.judgments import counted
from actbench.runs import evidence
from actbench.runs.early import Job, job_of
from actbench.store.errors import ActbenchError, unknown_name
from actbench.study.experiments import EXPERIMENTS, Experiment

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment


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


def study_jobs(seeds: int, device: str, threads: int | None, *, quick: bool = False) -> list[Job]:
    """List what shows the study: what its claims need, then every other experiment."""
    jobs = [
        job_of(name, protocol, seeds, device, threads)
        for name, protocol in claims.published().protocol.items()
        if not protocol.slow
    ]
    covered = {job.experiment.key for job in jobs}
    for key, experiment in EXPERIMENTS.items() if not quick else ():
        if key not in covered:
            config = experiment.module().Config(device=device, threads=threads)
            jobs.append(Job(experiment, config))
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


def show(
    dataset: xr.Dataset, file: ClaimsFile | None, screen: Console, tell: Callable[[str], None]
) -> None:
    """Show the losses and gradients of a run, beside what was published of it."""
    from actbench.study.experiments.sine_regression.findings import (
        against_published,
        other_than_stated,
        protocol_of_run,
    )

    final = dataset.get("final_mse")
    # A grid over depths or targets has too many cells for a table; its figures show them.
    if final is None or set(final.dims) != {"activation", "seed"}:
        return
    study = file or claims.published()
    # Another file's networks are not the study's: nothing published stands beside them.
    about = (
        claims.final_loss_claims(study, protocol_of_run(dataset)) if study.of_the_study else None
    )
    comparable = {} if other_than_stated(dataset) else about or {}
    screen.print(console.final_mse_table(dataset, comparable))
    for bars in console.gradient_bars(dataset, screen.width):
        screen.print(bars)
    for sentence in against_published(dataset, about):
        tell(f"Note: {sentence}")


class StudySession(Session):
    """One invocation of a command that computes the study."""

    def say_left_out(self, jobs: Sequence[Job]) -> None:
        """Say which experiments some jobs leave out, and what becomes of their claims."""
        left = [key for key in EXPERIMENTS if key not in {job.experiment.key for job in jobs}]
        self._tell(
            f"Left out by --quick: {', '.join(left)}. Their claims are judged from stored "
            "measurements."
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
