"""What the commands that compute the study share: its jobs, their cost, and what is shown."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench import claims, ledger
from actbench.claims.statistics import quantiles
from actbench.cli.console import Session, written_files
from actbench.ledger.judgments import counted
from actbench.runs import evidence
from actbench.runs.early import Job, job_of
from actbench.store.errors import ActbenchError, unknown_name
from actbench.store.terminal import plural
from actbench.study.experiments import EXPERIMENTS, Experiment

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from actbench.claims import Claim, ClaimsFile
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
    screen.print(final_mse_table(dataset, comparable))
    for bars in gradient_bars(dataset, screen.width):
        screen.print(bars)
    for sentence in against_published(dataset, about):
        tell(f"Note: {sentence}")


_BAR_CELLS = 4
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def final_mse_table(dataset: xr.Dataset, claims: Mapping[str, Claim]) -> Table:
    """Set published final losses beside measured ones."""
    seeds = dataset["seed"].to_numpy()
    title = f"Mean squared error on the noisy targets, {plural(len(seeds), 'seed')}"
    table = Table(title=title, box=SIMPLE)
    table.add_column("activation", no_wrap=True)
    measured = ("median", "2.5-97.5 %", f"seed {seeds[0]}")[0 if len(seeds) > 1 else 2 :]
    for heading in ("published", *measured, "agrees") if claims else measured:
        table.add_column(heading, justify="right", no_wrap=True)
    for name in dataset["activation"].to_numpy():
        values = dataset["final_mse"].sel(activation=name).to_numpy()
        low, median, high = quantiles(values)
        claim = claims.get(str(name))
        published = _digits(claim.published_value) if claim and claim.published_value else "-"
        first = _digits(float(values[0]))
        over_seeds = (_number(median), _range(low, high)) if len(values) > 1 else ()
        found = (*over_seeds, first)
        table.add_row(
            str(name),
            *((published, *found, _agreement(claim, median)) if claims else found),
            style=None if claim is None or _holds(claim, median) else "bold",
        )
    return table


def _number(value: float) -> str:
    return f"{value:.4g}"


def _range(low: float, high: float) -> str:
    """The ends of an interval; one number where they do not differ in the digits shown."""
    return " - ".join(dict.fromkeys((_number(low), _number(high))))


def _digits(value: float) -> str:
    """As many digits as float32 and the study's own file of losses have."""
    return f"{round(value, 7):.7g}" if 1e-4 < abs(value) < 1e3 else _number(value)


def _holds(claim: Claim, value: float) -> bool:
    return claim.relation is not None and claim.relation.contains(value)


def _agreement(claim: Claim | None, median: float) -> str:
    if claim is None:
        return "-"
    return "yes" if _holds(claim, median) else "NO"


def gradient_bars(dataset: xr.Dataset, width: int) -> list[Table]:
    """Draw the gradient magnitude of each layer before the first update, on one log scale."""
    names = [str(name) for name in dataset["activation"].to_numpy()]
    seed = int(dataset["seed"].to_numpy()[0])
    layers = dataset["layer"].to_numpy()
    values = dataset["gradient_magnitude"].isel(seed=0, recorded_epoch=0).to_numpy()
    usable = values[np.isfinite(values) & (values > 0)]
    low, high = (float(usable.min()), float(usable.max())) if usable.size else (1.0, 1.0)
    per_table = max(1, (width - 7) // (_BAR_CELLS + 9))
    tables = []
    for start in range(0, len(names), per_table):
        chosen = range(start, min(start + per_table, len(names)))
        table = Table(
            title=f"Mean |dloss/dW| per layer at epoch 0, seed {seed} (log bars)",
            caption=f"layer 1 is nearest the input, layer {layers[-1]} is the output layer",
            box=None,
        )
        table.add_column("layer", justify="right")
        for index in chosen:
            table.add_column(names[index])
        for row, layer in enumerate(layers):
            table.add_row(
                str(layer), *(_bar(float(values[index, row]), low, high) for index in chosen)
            )
        tables.append(table)
    return tables


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value) or value <= 0:
        return f"{'':{_BAR_CELLS}} {value:.1e}"
    share = 1.0 if high <= low else math.log(value / low) / math.log(high / low)
    eighths = max(1, round(share * _BAR_CELLS * 8))
    text = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return f"{text:{_BAR_CELLS}} {value:.1e}"


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
            self._console.print(written_files(written), soft_wrap=True)

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


_UNIT = "sine-regression"
_UNIT_SEEDS = 16

COSTS: Mapping[str, float] = MappingProxyType(
    {
        "gradient-flow": 1.9,
        "activation-statistics": 1.1,
        "stability": 0.05,
        "capacity": 0.96,
        "training-dynamics": 1.05,
        "plateau-escape": 1.0,
    }
)
"""What a step of an experiment at its defaults costs on a CPU, in steps of sine-regression.

Whole runs were measured, with some steps of sine-regression right before and after each: a few
steps of their own tell less, as they are not as many beside one another, and take longer.
"""


class Estimator:
    """Estimates how long runs take; what it has timed it does not time again."""

    def __init__(self) -> None:
        self._timed: dict[str, float] = {}

    def seconds(self, experiment: Experiment, config: Any) -> float:
        """Estimate one run. Loads torch."""
        from actbench.study.nets import devices

        if _is_usual(experiment, config):
            unit = EXPERIMENTS[_UNIT]
            usual = unit.module().Config(seeds=_UNIT_SEEDS, device="cpu")
            per_step = COSTS[experiment.key] * self._per_step(unit, usual)
        else:
            per_step = self._per_step(experiment, config)
        with devices.using_threads(config.threads) as threads:
            return float(per_step * config.steps / threads)

    def _per_step(self, experiment: Experiment, config: Any) -> float:
        """Time a short run on one thread; the whole is shared by all that there are."""
        module = experiment.module()
        short = getattr(module, "calibration", lambda config: config)
        small = dataclasses.replace(short(config), threads=1)
        name = f"{experiment.key} {dataclasses.replace(small, device='auto')!r}"
        if name not in self._timed:
            if not self._timed:
                module.run(small)  # the first use of torch loads modules
            start = time.perf_counter()
            module.run(small)
            self._timed[name] = (time.perf_counter() - start) / max(1, small.steps)
        return self._timed[name]


def _is_usual(experiment: Experiment, config: Any) -> bool:
    from actbench.study.nets import devices

    usual = dataclasses.replace(
        type(config)(), seeds=config.seeds, device=config.device, threads=config.threads
    )
    on_cpu = devices.choose(config.device).type == "cpu"
    return experiment.key in COSTS and on_cpu and bool(config == usual)
