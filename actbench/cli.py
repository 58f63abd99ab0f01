"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from actbench import __version__
from actbench.activations import ACTIVATIONS
from actbench.errors import ActbenchError, require_positive_int, unknown_name
from actbench.experiments import EXPERIMENTS
from actbench.experiments import get as get_experiment
from actbench.initializers import KEYS as INITIALIZER_KEYS

EXIT_CHANGED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Measure and judge the claims of a study of activation functions.\n\n"
    "Start with [bold]actbench reproduce[/bold]: it runs every experiment and writes data and "
    "figures to results/. [bold]actbench list[/bold] names what can be run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete_experiment(incomplete: str) -> list[tuple[str, str]]:
    return [(e.key, e.summary) for e in EXPERIMENTS.values() if e.key.startswith(incomplete)]


def _complete_initializer(incomplete: str) -> list[str]:
    return [key for key in INITIALIZER_KEYS if key.startswith(incomplete)]


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for data and figures.")]
Seeds = Annotated[int, typer.Option(help="How many seeds, from 42 on.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or xpu; auto picks the best.")]
Threads = Annotated[
    int | None,
    typer.Option(help="CPU threads.", show_default="physical cores, at most 8"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
DryRun = Annotated[
    bool, typer.Option(help="Say what would run and how long it takes; run nothing.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace results of other settings in the folder.")]


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except ActbenchError as error:
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"actbench: error: {message}\n")
    sys.exit(code)


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\nactbench: interrupted; finished files are whole, others untouched\n")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"actbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
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
) -> None:
    """Run every experiment of the study at its settings and compare with what was published.

    Writes the study's data files (seed 42), one NetCDF file with everything, the figures, and a
    report of it all (report.html, report.md). Takes about five minutes on 2 cores; when it is
    interrupted, the same command goes on where it stopped.
    """
    with _interruptible():
        require_positive_int("--seeds", seeds)
        from actbench.session import Session, ledger_of, study_jobs

        session = Session(out, quiet, overwrite)
        jobs = study_jobs(seeds, device, threads, quick=quick)
        if quick:
            session.say_left_out(jobs)
        if dry_run:
            session.estimate(jobs)
            return
        session.execute(jobs)
        judgments = ledger_of(out)
        session.show_report(judgments)
        changed = session.show_ledger(judgments)
    if changed:
        raise typer.Exit(EXIT_CHANGED)


@app.command()
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
            help="An activation; may be repeated.",
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
            help=f"One of {', '.join(INITIALIZER_KEYS)}.",
            show_default="torch_default",
            autocompletion=_complete_initializer,
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
    """
    with _interruptible():
        if seeds is not None:
            require_positive_int("--seeds", seeds)
        chosen = [get_experiment(key) for key in dict.fromkeys(experiments)]
        asked: dict[str, Any] = {
            "activations": activation or None,
            "epochs": epochs,
            "initializer": initializer,
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
        from actbench.session import Job, Session, make_config

        jobs = [Job(e, make_config(e, settings)) for e in chosen]
        session = Session(out, quiet, overwrite)
        session.estimate(jobs) if dry_run else session.execute(jobs)


@app.command("list")
def list_() -> None:
    """Name the experiments, activations and initializers."""
    typer.echo("experiments")
    for experiment in EXPERIMENTS.values():
        typer.echo(f"  {experiment.key:18} {experiment.summary}")
    typer.echo("activations")
    for activation in ACTIVATIONS.values():
        low, high = activation.derivative_bounds
        bounds = f"slope in [{low:.4g}, {high:.4g}]"
        typer.echo(f"  {activation.key:12} {activation.formula:29} {bounds}")
    typer.echo("initializers")
    for key in INITIALIZER_KEYS:
        typer.echo(f"  {key}")


@app.command()
def doctor(out: Out = Path("results")) -> None:
    """Say what this machine has, what would be slow or missing, and how to get it."""
    from actbench.doctor import examine

    with _interruptible():
        findings = examine(out)
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.good else 'look'} {finding.text}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


claims_app = typer.Typer(
    help="The ledger: every claim of the study with its verdict.", invoke_without_command=True
)
app.add_typer(claims_app, name="claims")


@claims_app.callback()
def claims(
    context: typer.Context,
    form: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
    verdict: Annotated[
        str | None, typer.Option(help="Only claims with this verdict.", show_default="all")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Only claims of this experiment.", show_default="all")
    ] = None,
    out: Out = Path("results"),
) -> None:
    """Print the ledger, judged from the results in --out or from stored measurements."""
    if context.invoked_subcommand is not None:
        context.obj = out
        return
    from actbench import ledger
    from actbench.claims import Verdict, published

    with _interruptible():
        if form not in ledger.FORMATS:
            raise unknown_name("format", form, ledger.FORMATS)
        verdicts = [str(known) for known in Verdict]
        if verdict is not None and verdict not in verdicts:
            raise unknown_name("verdict", verdict, verdicts)
        if experiment is not None:
            get_experiment(experiment)
        file = published()
        judgments = ledger.from_results(file, out)
    chosen = [
        j
        for j in judgments
        if verdict in {None, str(j.verdict)}
        and (
            experiment is None
            or (j.claim.protocol and file.protocol[j.claim.protocol].experiment == experiment)
        )
    ]
    if form == "table":
        screen = Console()
        screen.print(ledger.table(chosen, screen.width))
        typer.echo(ledger.counts(chosen))
    else:
        write = ledger.as_json if form == "json" else ledger.markdown
        typer.echo(write(chosen, ledger.elsewhere(file, chosen)))
    if ledger.changed(judgments):
        raise typer.Exit(EXIT_CHANGED)


def _complete_claim(incomplete: str) -> list[str]:
    from actbench.claims import published

    return [claim.id for claim in published().claim if claim.id.startswith(incomplete)]


@claims_app.command("show")
def claims_show(
    context: typer.Context,
    claim_id: Annotated[str, typer.Argument(help="The claim.", autocompletion=_complete_claim)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for data and figures.", show_default="results"),
    ] = None,
) -> None:
    """Print one claim with its source, protocol and evidence, and how to rerun just it."""
    from actbench import ledger
    from actbench.claims import published

    with _interruptible():
        file = published()
        claim = file.get(claim_id)
        folder: Path = out or context.obj
        (judgment,) = ledger.from_results(file, folder, [claim])
        stored = not ledger.results_hold(file, claim.protocol, folder)
        typer.echo(ledger.in_full(judgment, file, stored=stored))


@app.command()
def report(out: Out = Path("results"), quiet: Quiet = False) -> None:
    """Write report.html and report.md into a folder of results, without computing anything anew.

    The page holds its figures and needs no network: open it, send it, print it. It has the ledger,
    each experiment with figures and findings, and why some claims do not reproduce. Claims whose
    experiment the folder lacks are judged from stored measurements, and say so.

    Example: actbench run sine-regression --out mine && actbench report --out mine
    """
    with _interruptible():
        from actbench import ledger
        from actbench.session import Session, ledger_of

        judgments = ledger_of(out)
        Session(out, quiet, overwrite=False).show_report(judgments)
    if ledger.changed(judgments):
        raise typer.Exit(EXIT_CHANGED)


@app.command()
def robustness(
    measure: Annotated[
        bool, typer.Option(help="Measure the map anew; takes about half an hour on 2 cores.")
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
    overwrite: Annotated[bool, typer.Option(help="Replace a map of other settings.")] = False,
) -> None:
    """Say in which settings that the study leaves open each claim holds, and where it flips.

    An interrupted measurement goes on where it stopped when the command is given again.
    """
    with _interruptible():
        from actbench import robustness as maps
        from actbench.claims import published
        from actbench.console import progress_bar
        from actbench.robustness_sentence import sentence

        claims_file, path = published(), file or maps.path_of()
        if measure:
            grid = maps.Grid()
            bar = Console(stderr=True, quiet=quiet)
            with progress_bar(bar, "robustness", maps.steps(grid)) as progress:
                maps.run(grid, claims_file, path, progress, threads, overwrite)
        found = maps.load(path)
        screen = Console(quiet=quiet)
        for claim in maps.mapped_claims(claims_file):
            screen.print(f"[bold]{claim.id}[/]: {sentence(found, claim)}", highlight=False)
        if pictures is not None:
            from actbench.figures.robustness import draw_all

            written = draw_all(found, claims_file, pictures)
            screen.print(f"{len(written)} pictures written to {pictures}/", highlight=False)
