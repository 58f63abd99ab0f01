"""Commands that compute the study: reproduce, run, robustness."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.options import (
    Device,
    DryRun,
    Form,
    Out,
    Overwrite,
    Quiet,
    Seeds,
    Threads,
    Verbose,
    complete_claim,
    end,
    interruptible,
    require_form,
)
from actbench.store import terminal
from actbench.store.errors import require_positive_int
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.catalog.initializers import KEYS as INITIALIZER_KEYS
from actbench.study.commands.reading import load_own
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments import get as get_experiment

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment
    from actbench.study.robustness.maps import Robustness


def _complete_experiment(incomplete: str) -> list[tuple[str, str]]:
    return [(e.key, e.summary) for e in EXPERIMENTS.values() if e.key.startswith(incomplete)]


def _complete_initializer(incomplete: str) -> list[str]:
    return [key for key in INITIALIZER_KEYS if key.startswith(incomplete)]


def _complete_protocol(incomplete: str) -> list[str]:
    from actbench.claims import published

    return [name for name in published().protocol if name.startswith(incomplete)]


def _complete_target(incomplete: str) -> list[str]:
    from actbench.study.catalog.targets import TARGETS  # loads NumPy

    return [key for key in TARGETS if key.startswith(incomplete)]


def reproduce(
    out: Out = Path("results"),
    seeds: Seeds = 16,
    device: Device = "auto",
    threads: Threads = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="In about a minute: only what most claims rest on."),
    ] = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Run every experiment of the study at its settings and compare with what was published.

    Writes the study's data files (seed 42), one NetCDF file with everything, the figures, and a
    report of it all (report.html, report.md). Takes about three minutes on 2 cores; when it is
    interrupted, the same command goes on where it stopped.
    """
    with interruptible():
        require_positive_int("--seeds", seeds)
        from actbench import ledger
        from actbench.claims import published
        from actbench.study.commands.session import StudySession, study_jobs

        session = StudySession(out, quiet, overwrite, verbose)
        jobs = study_jobs(seeds, device, threads, quick=quick)
        if quick:
            session.say_left_out(jobs)
        if dry_run:
            session.estimate(jobs)
            return
        session.execute(jobs)
        results = ledger.Results(published(), out)
        judgments = results.judge()
        session.write_ledger(judgments)
        session.write_report(judgments, results)
        if verbose:
            session.show_ledger(judgments)
        session.conclude(judgments, _next_command(judgments, out, quick=quick))
    end(judgments)


def _next_command(judgments: Sequence[Judgment], out: Path, *, quick: bool) -> str:
    """What to type after reproduce: look at what changed, run enough seeds, or see all claims."""
    from actbench import ledger

    folder = "" if out == Path("results") else f" --out {shlex.quote(str(out))}"
    if changed := ledger.changed(judgments):
        return f"actbench claims show {changed[0].claim.id}{folder}"
    if short := ledger.lacking_seeds(judgments):
        seeds = max(judgment.seeds_needed for judgment in short)
        again = " --quick" if quick else ""
        return f"actbench reproduce{again} --seeds {seeds} --overwrite{folder}"
    return f"actbench claims{folder}"


def run(
    experiments: Annotated[
        list[str],
        typer.Argument(
            help="Which experiments, such as sine-regression.", autocompletion=_complete_experiment
        ),
    ],
    activation: Annotated[
        list[str] | None,
        typer.Option(
            "--activation",
            "-a",
            help="An activation, or one of yours, file.py:name, which runs as code; may be "
            "repeated.",
            show_default="the study's",
            autocompletion=lambda: list(ACTIVATIONS),
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Full-batch updates.", show_default="500")
    ] = None,
    initializer: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(INITIALIZER_KEYS)}, or one of yours, file.py:name.",
            show_default="torch_default",
            autocompletion=_complete_initializer,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="A function to learn, or one of yours, file.py:name; may be repeated (capacity).",
            show_default="the experiment's",
            autocompletion=_complete_target,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's step size.", show_default="0.001")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Adam's L2 penalty.", show_default="0.0")
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Hidden layers.", show_default="10")] = None,
    width: Annotated[
        int | None, typer.Option(help="Units per hidden layer.", show_default="64")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64.", show_default="float32")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="The settings of a protocol of the study's claims, such as as-run.",
            show_default="none",
            autocompletion=_complete_protocol,
        ),
    ] = None,
    out: Out = Path("results"),
    seeds: Annotated[
        int | None,
        typer.Option(help="How many seeds, from 42 on.", show_default="the experiment's"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="auto, cpu, cuda, mps or xpu; auto picks the best.",
            show_default="the experiment's",
        ),
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Run chosen experiments, with settings of your own.

    Example: actbench run sine-regression -a relu -a tanh --epochs 200 --out mine

    The network that the study ran: actbench run sine-regression --protocol as-run --seeds 1
    """
    with interruptible():
        if seeds is not None:
            require_positive_int("--seeds", seeds)
        chosen = [get_experiment(key) for key in dict.fromkeys(experiments)]
        asked: dict[str, Any] = {
            "activations": [load_own("activation", key) for key in activation or ()] or None,
            "targets": [load_own("target", key) for key in target or ()] or None,
            "epochs": epochs,
            "initializer": initializer and load_own("initializer", initializer),
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "depth": depth,
            "width": width,
            "dtype": dtype,
            "seeds": seeds,
            "device": device,
            "threads": threads,
        }
        # What was not asked for is left to each experiment's own defaults.
        settings = {name: value for name, value in asked.items() if value is not None}
        from actbench.cli.console import Session
        from actbench.runs.early import Job
        from actbench.study.commands.session import job_of_protocol, make_config
        from actbench.study.own.loading import blaming_own_code

        if protocol is None:
            jobs = [Job(e, make_config(e, settings)) for e in chosen]
        else:
            jobs = [job_of_protocol(protocol, chosen, settings)]
        session = Session(out, quiet, overwrite)
        with blaming_own_code():
            session.estimate(jobs) if dry_run else session.execute(jobs)


def robustness(
    claim_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLAIM]",
            help="One claim, told setting by setting.",
            show_default="all",
            autocompletion=complete_claim,
        ),
    ] = None,
    form: Form = "table",
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure the map anew; takes about half an hour on 2 cores."
        ),
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="The map to read or write.", show_default="baselines/robustness.json"),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Also draw a picture per claim into this folder.")
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a map of other settings.",
        ),
    ] = False,
) -> None:
    """Say in which settings that the study leaves open each claim holds, and where it flips.

    An interrupted measurement goes on where it stopped when the command is given again.
    """
    with interruptible():
        from actbench import ledger
        from actbench.claims import published
        from actbench.cli.console import progress_bar
        from actbench.store.files import strict_json
        from actbench.study.robustness import maps, sentences

        require_form(form, ledger.FORMATS)
        claims_file, path = published(), file or maps.path_of()
        if measure:
            grid = maps.Grid()
            bar = terminal.screen(stderr=True, quiet=quiet)
            with progress_bar(bar, "robustness", maps.steps(grid)) as progress:
                maps.run(grid, claims_file, path, progress, threads, overwrite)
        found = maps.load(path)
        rows = _robustness_rows(found, claims_file, claim_id)
        if form == "table":
            terminal.screen(quiet=quiet, whole=True).print(sentences.rows_as_table(rows))
        else:
            write = strict_json if form == "json" else sentences.rows_as_markdown
            terminal.say(write(rows))
        if pictures is not None:
            from actbench.study.robustness.figure import draw_all

            written = draw_all(found, claims_file, pictures)
            told = f"{terminal.plural(len(written), 'picture')} written to {pictures}/"
            if not quiet:
                terminal.say(told, err=form != "table")


def _robustness_rows(
    found: Robustness, file: ClaimsFile, claim_id: str | None
) -> list[dict[str, Any]]:
    from actbench.study.robustness import sentences
    from actbench.study.robustness.maps import mapped_claims

    mapped = mapped_claims(file)
    if claim_id is None:
        return sentences.map_rows(found, mapped)
    claim = file.get(claim_id)
    sentences.require_mapped(claim, mapped)
    return sentences.setting_rows(found, claim)
