"""Commands that install releases for a while, of torch or another package: track, bisect."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from actbench.cli.options import EXIT_CHANGED, AllowCode, Quiet, Seeds, interruptible
from actbench.cli.tracking import Only, OwnClaims, Package, Workers
from actbench.store import terminal
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    from actbench.tracking.records import Record


class _Phases:
    """Shows on stderr what is going on: one turning line on a terminal, else a line each."""

    def __init__(self, quiet: bool) -> None:
        self._console = terminal.screen(stderr=True, quiet=quiet)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._line = Progress(*columns, console=self._console, transient=True)
        self._task = self._line.add_task("", total=None)

    def of(self, title: str) -> Callable[[str], None]:
        """Return what shows a phase of one piece of work."""
        return lambda phase: self._show(f"{title}: {phase}")

    def _show(self, text: str) -> None:
        if self._console.is_terminal:
            self._line.reset(self._task, description=text)
            self._line.start()
        else:
            self._console.print(text, soft_wrap=True)

    def hide(self) -> None:
        """Remove the line, so that others can be printed."""
        if self._line.live.is_started:
            self._line.stop()

    def __enter__(self) -> _Phases:
        return self

    def __exit__(self, *error: object) -> None:
        self.hide()


_With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="With --claims, what they need besides, for pip, such as 'numpy<2'; may be repeated.",
        metavar="REQUIREMENT",
    ),
]
_Requirements = Annotated[
    Path | None, typer.Option(help="With --claims, a file of what they need besides, for pip.")
]


def track(
    releases: Annotated[list[str], typer.Argument(help="Releases of torch, such as 2.13.0.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the records, torch-RELEASE.json.")
    ] = Path("records"),
    claims: OwnClaims = None,
    package: Package = "torch",
    needs: _With = None,
    requirements: _Requirements = None,
    allow_code: AllowCode = False,
    workers: Workers = 1,
    seeds: Seeds = 16,
    only: Only = None,
    quiet: Quiet = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Make anew what is there.",
        ),
    ] = False,
) -> None:
    """Make one record for each of several releases of torch.

    Each release is installed with this Python into an environment of its own, beside the versions
    of everything else that are installed here, and deleted after its record is made: up to 12 GB in
    the folder of temporary files (TMPDIR names another) and three to six minutes each. Where a
    release fails, the others are still recorded. PIP_EXTRA_INDEX_URL and the other settings of pip
    say where it downloads from; https://download.pytorch.org/whl/cpu has builds for the CPU only,
    which need less than 2 GB.

    With --claims, each record judges a file of your own, on releases of any --package; where its
    numbers come from functions and commands, in environments without torch.

    Exit code: 0 if every record is there, 1 if one is missing.

    Example: actbench track 2.6.0 2.9.1 2.13.0 --out records
    """
    with interruptible():
        from actbench.tracking.records import require_parts
        from actbench.tracking.releases import shelf
        from actbench.tracking.releases.measuring import release_name
        from actbench.tracking.releases.subject import subject_of

        require_parts(only or ())
        subject = subject_of(
            *(claims, package, only or (), needs or (), requirements),
            seeds=seeds,
            workers=workers,
            allow_code=allow_code,
        )
        package = subject.package
        names = [*dict.fromkeys(release_name(release, package) for release in releases)]
        outcomes = []
        with _Phases(quiet) as phases:
            titles = {
                name: f"{package} {name} ({i} of {len(names)})" for i, name in enumerate(names, 1)
            }
            for outcome in shelf.track(
                names, out, only or (), overwrite, lambda name: phases.of(titles[name]), subject
            ):
                phases.hide()
                outcomes.append(outcome)
                if not quiet or outcome.missing:
                    terminal.say(outcome.sentence, err=bool(outcome.missing))
        missing = [outcome.release for outcome in outcomes if outcome.missing]
    if missing:
        share = f"{len(missing)} of {terminal.plural(len(outcomes), 'record')}"
        terminal.say(f"{share} missing: {', '.join(missing)}", err=True)
        raise typer.Exit(EXIT_CHANGED)


def bisect(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT_OR_CLAIM",
            help="A claim, or a fingerprint such as operations/gelu/float64 or "
            "'reference/*/float64:loss'.",
        ),
    ],
    good: Annotated[str, typer.Option(help="The older release of torch.")],
    bad: Annotated[str, typer.Option(help="The newer release, where it has changed.")],
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of records to reuse.", show_default="the shipped records"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for records that are made, and reused.")
    ] = Path("results/bisect"),
    claims: OwnClaims = None,
    package: Package = "torch",
    needs: _With = None,
    requirements: _Requirements = None,
    allow_code: AllowCode = False,
    workers: Workers = 1,
    seeds: Seeds = 16,
    quiet: Quiet = False,
) -> None:
    """Find the first release of torch that changed a claim's verdict or a fingerprint.

    Halves the releases between the two ends, as git bisect does. Records that are there are reused;
    further ones are made as actbench track does, and no environment is left behind. Bits are
    compared between records of one machine only; --records with an empty folder measures everything
    on this one. A release that can't be measured is skipped.

    With --claims, finds the release of any --package that changed the verdict on a claim of your
    own, as in: actbench bisect --claims claims.toml --package scikit-learn --good 1.3.2 --bad 1.5.0
    my-claim --allow-code

    Example: actbench bisect --good 2.6.0 --bad 2.13.0 operations/gelu/float64
    """
    with interruptible():
        from actbench.tracking.releases import bisecting, measuring, shelf
        from actbench.tracking.releases.subject import subject_of

        subject = subject_of(
            *(claims, package, (), needs or (), requirements),
            seeds=seeds,
            workers=workers,
            allow_code=allow_code,
        )
        package, own = subject.package, subject.file
        if own is not None:
            bisecting.require_code(target, own)
        good, bad = _ordered(good, bad, package)
        part = "verdicts" if own is not None else bisecting.part_of(target)
        stored, refused = shelf.stored_records(records, out)
        for sentence in refused:
            terminal.say(f"left out: {sentence}", err=True)
        chosen, here = shelf.choose(stored, part, (good, bad), subject)
        with _Phases(quiet) as phases:

            def make(release: str) -> tuple[Path, Record]:
                what = part if own is None or own.path is None else own.path.stem
                path = out / f"{package}-{release}-{what}.json"
                progress = phases.of(f"{package} {release}")
                only = [part] if own is None else []
                return path, measuring.record_release(release, path, only, progress, subject)

            used = shelf.Shelf(chosen, make if here else None)
            examples = (record for _, record in stored)
            asked, found = bisecting.ask(
                target, (good, bad), used, examples, partial(_offered, package), subject
            )
    for line in bisecting.sentences(asked, found, used):
        terminal.say(line)


def _ordered(good: str, bad: str, package: str) -> tuple[str, str]:
    """Name both ends as releases are named, the older one first."""
    from actbench.tracking.releases.measuring import parse_release, release_name

    good, bad = (release_name(end, package) for end in (good, bad))
    if parse_release(good) >= parse_release(bad):
        raise ActbenchError(
            f"--good is {good} and --bad is {bad}, but the first must be the older one"
        )
    return good, bad


def _offered(package: str) -> tuple[str, ...]:
    from actbench.tracking.releases import measuring

    there = measuring.available_releases(package=package)
    if not there.reached:
        terminal.say(
            "the package index can't be reached: only releases with a record are searched", err=True
        )
    return there.releases
