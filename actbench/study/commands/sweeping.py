"""The command that runs a grid of one's own: sweep."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import EXIT_CHANGED, AllowCode, DryRun, Out, Quiet, Threads, interruptible
from actbench.store import terminal
from actbench.store.errors import ActbenchError, require_extra, require_positive_int

if TYPE_CHECKING:
    from actbench.store.parallel import Progress
    from actbench.study.sweeps.grids import Grid
    from actbench.study.sweeps.running import Failures
    from actbench.study.sweeps.stores import Store

_ASK_ABOVE = 10**6  # members above which a sweep is started only when its cost was accepted


def sweep(
    grid: Annotated[Path, typer.Argument(help="The grid, a TOML file.")],
    out: Out = Path("results"),
    workers: Annotated[
        int | None, typer.Option(help="Worker processes on this machine.", show_default="none")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler, tcp://HOST:PORT.", show_default="none"),
    ] = None,
    threads: Threads = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            help="Members that are handed out and kept at a time.", show_default="by size"
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train chunks with failed members again.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start even more than 10^6 members unasked.")
    ] = False,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the store of another grid, with all that it holds."
        ),
    ] = False,
) -> None:
    """Train every member of a grid into one Zarr store, OUT/GRID.zarr.

    In this process by default; on Dask with --workers or --scheduler. Interrupted or killed, the
    same command goes on where it stopped, and no number depends on who computed it. A grid is a
    TOML file such as

    ```toml
    [settings]
    epochs = 200
    [grid]                            # every combination
    activation = ["relu", "gelu"]
    learning_rate = [1e-4, 1e-3]
    seed = 100                        # 42, 43, ...
    ```

    Further axes: target, noise_std, noise_seed, skip, depth, width, weight_decay, initializer.
    A table [[zip]] holds axes that go together, row by row; [random] draws rows. xarray opens
    the store: xarray.open_zarr("results/grid.zarr", chunks=None). Beside it stand summary.csv and
    summary.png, of all points over their seeds; the best are printed.

    Example: actbench sweep grid.toml --workers 4
    """
    with interruptible():
        if workers is not None and scheduler is not None:
            raise ActbenchError("give --workers or --scheduler, not both")
        for name, count in (("--workers", workers), ("--chunk", chunk), ("--threads", threads)):
            if count is not None:
                require_positive_int(name, count)
        require_extra("scale", "actbench sweep")
        from actbench.study.nets import devices
        from actbench.study.sweeps import clusters, grid_files, running

        asked = grid_files.load(grid, allow_code=allow_code)
        run = _Run(
            grid=asked,
            path=out / f"{grid.stem}.zarr",
            chunk=min(chunk, asked.size) if chunk else running.default_chunk(asked),
            exact_chunk=chunk is not None,
            threads=threads or devices.default_threads(),
            workers=workers,
            scheduler=scheduler,
            quiet=quiet,
        )
        if dry_run:
            terminal.say(f"{run.path}: {run.cost}")
            return
        if scheduler is not None:  # before anything is made
            clusters.require_reachable(scheduler)
        with run.locked():
            whole = run.execute(yes=yes, retry=retry_failed, overwrite=overwrite)
    if not whole:
        raise typer.Exit(EXIT_CHANGED)


@dataclass(frozen=True)
class _Run:
    """One invocation."""

    grid: Grid
    path: Path  # of the store
    chunk: int
    exact_chunk: bool  # whether that was asked for
    threads: int
    workers: int | None
    scheduler: str | None
    quiet: bool

    @functools.cached_property
    def cost(self) -> str:
        """What a sweep takes; how many cores a scheduler has is not known before they are there."""
        from actbench.study.sweeps.running import plan

        cores = self.workers or (1 if self.scheduler else self.threads)
        return plan(self.grid, self.chunk, time.perf_counter).sentence(cores)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second sweep from writing into the same store."""
        from filelock import FileLock, Timeout

        from actbench.store.files import prepare_folder

        prepare_folder(self.path.parent)
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0):
                yield
        except Timeout:
            raise ActbenchError(
                f"another sweep is writing into {self.path}. Wait for it, or choose another folder "
                "with --out"
            ) from None

    def execute(self, *, yes: bool, retry: bool, overwrite: bool) -> bool:
        """Train what the store lacks; return whether all of it is there."""
        from actbench.cli import console
        from actbench.study.sweeps import running

        store = self._store(yes=yes, overwrite=overwrite)
        numbers, failed = store.missing(retry=retry)
        bar = terminal.screen(stderr=True, quiet=self.quiet)
        aloud = terminal.screen(stderr=True) if self.quiet else bar
        failures = running.Failures(lambda line: aloud.print(line, soft_wrap=True))
        if numbers:
            with console.progress_bar(bar, self.path.stem, store.steps(numbers)) as progress:
                self._train(store, numbers, progress, failures)
        self._summarize()
        if not self.quiet:
            self._say_end(store, numbers, failed + failures.members, failures.chunks)
        return not failed and not failures.members and not failures.chunks

    def _store(self, *, yes: bool, overwrite: bool) -> Store:
        from actbench.store import environment
        from actbench.study.sweeps import stores

        if overwrite:
            stores.remove_other(self.path, self.grid)
        if not self.path.exists() and self.grid.size > _ASK_ABOVE:
            self._require_consent(yes)
        return stores.open_or_create(
            self.path,
            self.grid,
            self.chunk,
            environment.describe("cpu", 1),
            exact_chunk=self.exact_chunk,
        )

    def _require_consent(self, yes: bool) -> None:
        """Ask before much is begun, and refuse what the disk can't hold."""
        from actbench.study.sweeps.stores import bytes_per_member

        needed, free = self.grid.size * bytes_per_member(self.grid), disk_usage(self.path.parent)
        if needed > free.free:
            raise ActbenchError(
                f"{self.cost}: that is more than the {free.free / 1e9:.1f} GB that are free in "
                f"{self.path.parent}. Make the grid smaller, or choose another folder with --out"
            )
        if yes:
            return
        if not sys.stdin.isatty():
            raise ActbenchError(f"{self.cost}. Add --yes to start it")
        typer.confirm(f"{self.cost}. Start?", abort=True, err=True)

    def _train(
        self, store: Store, numbers: list[int], progress: Progress, failures: Failures
    ) -> None:
        from actbench.study.sweeps import clusters, running

        if self.scheduler is not None:
            clusters.run(store, numbers, self.scheduler, progress, failures)
        elif self.workers is not None:
            with clusters.local_workers(self.workers) as address:
                clusters.run(store, numbers, address, progress, failures)
        else:
            running.run_here(store, numbers, self.threads, progress, failures)

    def _summarize(self) -> None:
        """Write what was found beside the store, and show the best of it."""
        from actbench.pages import saving
        from actbench.store.files import write_atomic
        from actbench.study.sweeps import summary

        if self.grid.size > _ASK_ABOVE:  # more than fits into memory beside all else
            return
        found = summary.cells(self.path, self.grid)
        terminal.screen(quiet=self.quiet).print(summary.table(found))
        write_atomic(self.path.with_name("summary.csv"), summary.as_csv(found).encode())
        drawn = summary.losses(found, str(self.grid.constants["activation"]))
        saving.save(drawn, self.path.parent, "summary")

    def _say_end(self, store: Store, numbers: list[int], failed: int, lost: list[int]) -> None:
        there = store.chunks - len(numbers)
        before = f"{there:,} of {store.chunks:,} chunks were there already; " if there else ""
        trouble = f"; {failed:,} of {self.grid.size:,} members failed" if failed else ""
        if lost:
            trouble += f"; {len(lost)} chunks are not finished, the same command tries again"
        terminal.say(f"{before}{self.path}: {self.grid.size:,} members{trouble}")
