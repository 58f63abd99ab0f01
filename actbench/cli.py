"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from actbench import __version__
from actbench.activations import ACTIVATIONS
from actbench.errors import ActbenchError, require_positive_int
from actbench.experiments import EXPERIMENTS, Experiment
from actbench.experiments import get as get_experiment
from actbench.initializers import KEYS as INITIALIZER_KEYS

if TYPE_CHECKING:
    from actbench.results import Outcome

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


@dataclass(frozen=True)
class _Run:
    """Options that every command which computes has."""

    out: Path
    quiet: bool
    dry_run: bool
    overwrite: bool

    @property
    def console(self) -> Console:
        return Console(quiet=self.quiet)

    def execute(self, pairs: list[tuple[Experiment, Any]]) -> None:
        if self.dry_run:
            for experiment, config in pairs:
                self._estimate(experiment, config)
            return
        for experiment, config in pairs:
            self._show(experiment, self._fulfil(experiment, config))

    def _fulfil(self, experiment: Experiment, config: Any) -> Outcome:
        from actbench.console import progress_bar
        from actbench.results import fulfil

        total = len(config.activations) * len(config.seeds) * config.epochs
        with progress_bar(
            Console(stderr=True, quiet=self.quiet), experiment.key, total
        ) as progress:
            return fulfil(experiment, config, self.out, overwrite=self.overwrite, progress=progress)

    def _show(self, experiment: Experiment, outcome: Outcome) -> None:
        from actbench import console as shown
        from actbench.claims import published

        about = [
            claim
            for claim in published()
            if claim.experiment == experiment.key and claim.metric == "final_mse"
        ]
        console = self.console
        console.print(shown.final_mse_table(outcome.dataset, about))
        for bars in shown.gradient_bars(outcome.dataset, console.width):
            console.print(bars)
        sentences = [*outcome.notes, *shown.findings(outcome.dataset, about)]
        for sentence in sentences:
            console.print(f"Note: {sentence}", highlight=False)
        if outcome.reused:
            console.print(f"Data reused from {self.out}; its settings are those asked for.")
        if outcome.written:
            console.print("Written:")
            console.print(shown.written_files(outcome.written), highlight=False, soft_wrap=True)

    def _estimate(self, experiment: Experiment, config: Any) -> None:
        module = experiment.module()
        seconds = module.estimate_s(config)
        self.console.print(
            f"{experiment.key}: {len(config.activations)} activations x {len(config.seeds)} seeds "
            f"x {config.epochs} epochs, about {seconds:.0f} s, into {self.out}/",
            highlight=False,
        )


@app.command()
def reproduce(
    out: Out = Path("results"),
    seeds: Seeds = 16,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Run every experiment of the study at its settings and compare with what was published.

    Writes the study's data files (seed 42), one NetCDF file with everything, and the figures.
    """
    with _interruptible():
        require_positive_int("--seeds", seeds)
        pairs = [
            (e, e.module().Config(seeds=seeds, device=device, threads=threads))
            for e in EXPERIMENTS.values()
        ]
        _Run(out, quiet, dry_run, overwrite).execute(pairs)


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
    epochs: Annotated[int, typer.Option(help="Full-batch updates.")] = 500,
    initializer: Annotated[
        str,
        typer.Option(
            help=f"One of {', '.join(INITIALIZER_KEYS)}.", autocompletion=_complete_initializer
        ),
    ] = "torch_default",
    learning_rate: Annotated[float, typer.Option(help="Adam's step size.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Adam's L2 penalty.")] = 0.0,
    depth: Annotated[int, typer.Option(help="Hidden layers.")] = 10,
    width: Annotated[int, typer.Option(help="Units per hidden layer.")] = 64,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    out: Out = Path("results"),
    seeds: Seeds = 16,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Run chosen experiments, with settings of your own.

    Example: actbench run sine-regression -a relu -a tanh --epochs 200 --out mine
    """
    with _interruptible():
        require_positive_int("--seeds", seeds)
        chosen = [get_experiment(key) for key in dict.fromkeys(experiments)]
        settings: dict[str, Any] = {"activations": activation} if activation else {}
        settings |= {"epochs": epochs, "initializer": initializer, "learning_rate": learning_rate}
        settings |= {"weight_decay": weight_decay, "depth": depth, "width": width, "dtype": dtype}
        settings |= {"seeds": seeds, "device": device, "threads": threads}
        pairs = [(e, e.module().Config(**settings)) for e in chosen]
        _Run(out, quiet, dry_run, overwrite).execute(pairs)


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
