"""Commands that follow releases of torch, or for own claims of any package: record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import (
    AllowCode,
    DryRun,
    Quiet,
    Seeds,
    Threads,
    interruptible,
)
from actbench.store import terminal
from actbench.store.errors import ActbenchError, require_extra, require_positive_int, unknown_name
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from actbench.tracking.releases.subject import Subject

OwnClaims = Annotated[
    Path | None,
    typer.Option("--claims", help="A file of claims of your own.", show_default="of the study"),
]
Package = Annotated[
    str, typer.Option(help="With --claims, the package whose releases are compared.")
]
Workers = Annotated[int, typer.Option(help="Runs of functions and commands side by side.")]


def _complete_part() -> list[str]:
    from actbench.tracking.records import PARTS

    return list(PARTS)


def _release(subject: Subject) -> str:
    """Tell which release is recorded, if what that takes is installed."""
    from actbench.store import environment
    from actbench.tracking import own_records

    if subject.file is not None:
        return own_records.require_installed(subject.package)
    require_extra("study", "actbench record without --claims")
    return environment.installed_version("torch").partition("+")[0]


def record(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write.", show_default="torch-VERSION.json"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="verdicts, fingerprints or timings; may be repeated.",
            show_default="all three",
            autocompletion=_complete_part,
        ),
    ] = None,
    claims: OwnClaims = None,
    package: Package = "torch",
    allow_code: AllowCode = False,
    workers: Workers = 1,
    seeds: Seeds = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps or xpu.")] = "cpu",
    threads: Threads = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the file if it is there.",
        ),
    ] = False,
) -> None:
    """Write down what this torch does on this machine, to be compared with another release.

    One JSON file: versions and hardware; the verdict on every claim that can be measured within a
    minute, with its metrics over the seeds; digests of random streams, weights, operations,
    gradients and losses, in float32 and float64; and durations beside a control. Compare two with
    actbench drift.

    With --claims, the verdict on every claim of a file of your own, its values by seed, and the
    versions of all that is installed, and fingerprints of the models that it names; torch is not
    needed unless they need it.

    Example: actbench record --out before.json
    """
    with interruptible():
        require_positive_int("--seeds", seeds)
        from actbench.store.files import prepare_folder
        from actbench.tracking.records import PARTS
        from actbench.tracking.releases.subject import subject_of

        for part in only or ():
            if part not in PARTS:
                raise unknown_name("part of a record", part, PARTS)
        subject = subject_of(
            claims, package, only or (), seeds=seeds, workers=workers, allow_code=allow_code
        )
        release = _release(subject)
        path = out or Path(f"{subject.package}-{release}.json")
        if path.exists() and not overwrite:
            raise ActbenchError(
                f"{path} is there already. Replace it with --overwrite, or name another file with "
                "--out"
            )
        if dry_run:
            long = "about a minute on 2 cores, " if subject.file is None else ""
            what = ", ".join(only or PARTS) if subject.file is None else str(claims)
            terminal.say(f"{what} of {subject.package} {release}: {long}into {path}")
            for sentence in subject.sources.outstanding() if subject.file else ():
                terminal.say(sentence)
            return
        prepare_folder(path.parent)
        from actbench.cli.console import progress_bar
        from actbench.tracking import records

        bar = partial(progress_bar, terminal.screen(stderr=True, quiet=quiet))
        if subject.file is None:
            from actbench.tracking import recording

            made = recording.make(seeds, device, threads, only or PARTS, bar)
        else:
            made, notes = subject.record(device, threads, bar)
            for sentence in () if quiet else notes:
                terminal.say(f"Note: {sentence}", err=True)
        records.save(made, path)
    if quiet:
        return
    told = f"{path}: {made.package} {made.release}, {sum(v.fresh for v in made.verdicts)} of "
    told += f"{plural(len(made.verdicts), 'claim')} measured"
    if made.of_study or made.chains:
        told += f", {plural(len(made.chains), 'fingerprint')}"
    if made.of_study:
        timed = len(made.timings.workloads) if made.timings else 0
        told += f", {plural(timed, 'workload')} timed"
    terminal.say(told)
