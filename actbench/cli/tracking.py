"""Commands that follow releases of torch: record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actbench import terminal
from actbench.cli.options import DryRun, Quiet, Seeds, Threads, interruptible
from actbench.errors import ActbenchError, require_positive_int, unknown_name
from actbench.terminal import plural


def _complete_part() -> list[str]:
    from actbench.records import PARTS

    return list(PARTS)


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

    Example: actbench record --out before.json
    """
    with interruptible():
        require_positive_int("--seeds", seeds)
        from actbench import environment
        from actbench.files import prepare_folder
        from actbench.records import PARTS

        for part in only or ():
            if part not in PARTS:
                raise unknown_name("part of a record", part, PARTS)
        release = environment.installed_version("torch").partition("+")[0]
        path = out or Path(f"torch-{release}.json")
        if path.exists() and not overwrite:
            raise ActbenchError(
                f"{path} is there already. Replace it with --overwrite, or name another file with "
                "--out"
            )
        if dry_run:
            terminal.say(
                f"{', '.join(only or PARTS)} of torch {release}: about a minute on 2 cores, into "
                f"{path}"
            )
            return
        prepare_folder(path.parent)
        from actbench import records
        from actbench.console import progress_bar
        from actbench.records import recording

        bar = partial(progress_bar, terminal.screen(stderr=True, quiet=quiet))
        made = recording.make(seeds, device, threads, only or PARTS, bar)
        records.save(made, path)
    if not quiet:
        timed = len(made.timings.workloads) if made.timings else 0
        terminal.say(
            f"{path}: torch {made.torch}, {sum(v.fresh for v in made.verdicts)} of "
            f"{plural(len(made.verdicts), 'claim')} measured, "
            f"{plural(len(made.chains), 'fingerprint')}, {plural(timed, 'workload')} timed"
        )
