"""Commands on releases of torch, or for own claims of any package: record, drift, history."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import (
    EXIT_CHANGED,
    AllowCode,
    DryRun,
    Out,
    Quiet,
    Seeds,
    Threads,
    interruptible,
)
from actbench.store import terminal
from actbench.store.errors import ActbenchError, require_extra, require_positive_int, unknown_name
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from actbench.tracking.records import Record
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


Only = Annotated[
    list[str] | None,
    typer.Option(
        help="verdicts, fingerprints or timings; may be repeated.",
        show_default="all three",
        autocompletion=_complete_part,
    ),
]


def _release(subject: Subject) -> str:
    """Tell which release is recorded, if what that takes is installed."""
    from actbench.store import environment
    from actbench.tracking import recording

    if subject.file is not None:
        return recording.require_installed(subject.package)
    require_extra("study", "actbench record without --claims")
    return environment.installed_version("torch").partition("+")[0]


def record(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write.", show_default="torch-VERSION.json"),
    ] = None,
    only: Only = None,
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
        from actbench.tracking.records import PARTS, require_parts
        from actbench.tracking.releases.subject import subject_of

        require_parts(only or ())
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
    if not quiet:
        terminal.say(f"{path}: {', '.join(_contents(made))}")


def _contents(made: Record) -> Iterator[str]:
    yield f"{made.package} {made.release}"
    fresh = sum(verdict.fresh for verdict in made.verdicts)
    yield f"{fresh} of {plural(len(made.verdicts), 'claim')} measured"
    if made.of_study or made.chains:
        yield plural(len(made.chains), "fingerprint")
    if made.of_study:
        timed = len(made.timings.workloads) if made.timings else 0
        yield f"{plural(timed, 'workload')} timed"


def drift(
    old: Annotated[Path, typer.Argument(help="The record to compare with.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The record that is asked about.", metavar="NEW")],
    form: Annotated[
        str, typer.Option("--format", help="table, markdown (for a CI job's summary) or json.")
    ] = "table",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail, too, if numbers moved beyond seeds and rounding."),
    ] = False,
    max_slowdown: Annotated[
        float | None,
        typer.Option(
            help="Fail, too, if a workload is slower by more than this factor, such as 1.3, "
            "beyond its uncertainty.",
            show_default="no limit",
        ),
    ] = None,
) -> None:
    """Say what changed between two records: claims that flipped, numbers, speed, each apart.

    Numbers come in steps: identical bits, last digit, within what seeds and rounding make, beyond
    it; and the first operation and epoch at which the two part is named. Speed is relative to a
    control that no torch release changes. What can't be compared (another machine, other settings)
    is left out, and named.

    Exit code: 1 if a claim flipped; with --strict also if numbers moved beyond seeds and rounding;
    with --max-slowdown X also if a workload is slower than X beyond its uncertainty; 0 otherwise,
    whatever drifted. 2 for bad input, and where nothing could be compared that was asked for.

    Example: actbench drift old.json new.json --format markdown >> "$GITHUB_STEP_SUMMARY"
    """
    with interruptible():
        from actbench.claims import published
        from actbench.tracking import records
        from actbench.tracking.drift import writing
        from actbench.tracking.drift.comparing import compare, failures

        if form not in writing.FORMATS:
            raise unknown_name("format", form, writing.FORMATS)
        protocols = {claim.id: claim.protocol for claim in published().claim}
        before, now = records.load(old), records.load(new)
        if not now.of_study:
            protocols = {str(d.metric["claim"]): d.protocol for d in now.distributions}
        found = compare(before, now, protocols)
        reasons = failures(found, strict=strict, max_slowdown=max_slowdown)
        if form == "table":
            writing.show(found, reasons, terminal.screen())
        else:
            write = writing.as_json if form == "json" else writing.markdown
            terminal.say(write(found, reasons))
    if reasons:
        raise typer.Exit(EXIT_CHANGED)


def history(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of records.",
            metavar="[DIR]",
            show_default="the records that come with the package",
        ),
    ] = None,
    out: Out = Path("results"),
    quiet: Quiet = False,
) -> None:
    """Draw what releases of torch changed: verdicts, margins, numbers and speed over releases.

    Reads every record of a folder (see actbench record) and writes history.html and history.md
    with four figures beside the report. On screen, a line per release: how many claims were
    measured, how many have the expected verdict, how many flipped, in how many chains of
    fingerprints the bits are not those of the release before, and the mean duration relative to
    the first release. Of a release with several records the newest counts; records of another
    machine and files that can't be read are left out, and named.

    Example: actbench history records --out results
    """
    with interruptible():
        from actbench import claims
        from actbench.cli import console
        from actbench.pages import blocks
        from actbench.store.files import baselines_folder
        from actbench.tracking import history as histories
        from actbench.tracking import records
        from actbench.tracking.history import page

        where = baselines_folder() / "records" if folder is None else folder
        found, refused = records.load_folder(where)
        gathered = histories.of(found, claims.published(), refused)
        written = page.write(gathered, out)
        if quiet:
            for why in refused:
                terminal.say(f"actbench: left out: {why}", err=True)
            return
        screen = terminal.screen()
        right = page.HEADING[1:]
        lines = blocks.Rows(page.HEADING, tuple(page.lines(gathered)), right=right, folds=True)
        screen.print(blocks.terminal([lines], screen.width))
        for note in gathered.notes:
            screen.print(f"- {terminal.printable(note)}")
        screen.print(console.written_files(written), soft_wrap=True)
