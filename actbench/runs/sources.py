"""The numbers of a file's protocols that no experiment makes, each read or run once."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claims_file import Protocol
from actbench.runs import columns, tables
from actbench.runs.commands import CommandRunner, split
from actbench.runs.functions import Children, FunctionRunner, Runner, StoppedError, check
from actbench.runs.kept import Run, Store, ingredients
from actbench.store import studies
from actbench.store.errors import ActbenchError, require_positive_int
from actbench.store.files import kept_folder
from actbench.store.studies import FIRST_SEED

if TYPE_CHECKING:
    from actbench.claims.claim import Claim
    from actbench.claims.claims_file import ClaimsFile
    from actbench.store.parallel import Progress


_LOOK_FOR_SIGNALS_S = 0.2


def fulfil(
    protocol: Protocol,
    seeds: Sequence[int],
    *,
    base: Path,
    folder: Path,
    workers: int = 1,
    fresh: bool = False,
    progress: Progress | None = None,
) -> list[Run]:
    """Return a run for each seed: the kept one where nothing that it depends on has changed.

    Runs the user's code, in processes of its own. Each run is kept as soon as it ends, what failed
    too; Ctrl-C loses none that had ended.
    """
    require_positive_int("workers", workers)
    seeds = [int(seed) for seed in seeds]
    store, runner = _opened(protocol, base, folder)
    kept = {} if fresh else {seed: store.read(seed) for seed in seeds}
    runs = {seed: run for seed, run in kept.items() if run is not None}
    missing = [seed for seed in dict.fromkeys(seeds) if seed not in runs]
    if missing:
        store.prepare()
        if progress is not None and runs:
            progress(len(runs))
        runs |= _made(missing, store, runner, min(workers, len(missing)), progress)
    return [runs[seed] for seed in seeds]


def kept_runs(protocol: Protocol, seeds: Iterable[int], *, base: Path, folder: Path) -> list[Run]:
    """Return the runs that ``fulfil`` would take instead of making them."""
    store, _ = _opened(protocol, base, folder)
    return [run for seed in seeds if (run := store.read(seed)) is not None]


def _opened(
    protocol: Protocol, base: Path, folder: Path
) -> tuple[Store, Callable[[Children], Runner]]:
    """Check a protocol, and return where its runs are kept and what makes them."""
    base = base.resolve()
    words: tuple[str, ...] = ()
    runner: Callable[..., Runner] = FunctionRunner
    if protocol.function:
        check(protocol)
    else:
        words = split(protocol, base)
        runner = partial(CommandRunner, words=words)
    depends = partial(ingredients, protocol, base, words)
    store = Store(depends, folder.resolve(), protocol.timeout_s)
    return store, partial(runner, protocol, base, store.folder)


def _made(
    seeds: Sequence[int],
    store: Store,
    runner: Callable[[Children], Runner],
    workers: int,
    progress: Progress | None,
) -> dict[int, Run]:
    """Make runs side by side, and keep each as soon as it ends."""
    children = Children()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[Run | BaseException] = queue.SimpleQueue()
    for seed in seeds:
        waiting.put(seed)
    threads = [
        threading.Thread(target=_work, args=(runner(children), store, waiting, done), daemon=True)
        for _ in range(workers)
    ]
    runs: dict[int, Run] = {}
    try:
        for thread in threads:
            thread.start()
        while len(runs) < len(seeds):
            try:
                # A signal that reaches another thread wakes nobody here: look for one at times.
                run = done.get(timeout=_LOOK_FOR_SIGNALS_S)
            except queue.Empty:
                continue
            if isinstance(run, BaseException):
                raise run
            runs[run.seed] = run
            if progress is not None:
                progress(1)
    except BaseException:
        children.stop()
        raise
    finally:
        for thread in threads:
            if thread.is_alive():
                thread.join()
    return runs


def _work(
    runner: Runner,
    store: Store,
    waiting: queue.SimpleQueue[int],
    done: queue.SimpleQueue[Run | BaseException],
) -> None:
    """Make one run after another until none waits; keep and tell each, or the error that came."""
    try:
        while True:
            run, folder = runner.run(waiting.get_nowait())
            if run.outcome != "finished" and runner.children.stopped:  # ended, and told nothing
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                return
            store.keep(run, folder)
            done.put(run)
    except (queue.Empty, StoppedError):
        pass
    except BaseException as error:
        done.put(error)
    finally:
        runner.close()


@contextmanager
def metric_of(claims: ClaimsFile, claim: Claim) -> Iterator[None]:
    """Say whose metric an error is about."""
    try:
        yield
    except ActbenchError as error:
        place = f"{claims.path}: " if claims.path else ""
        place += f"claim {claim.id!r}, field 'metric': "
        # What a command's options name has no claim and no field of a file.
        written = claims.path or (claim.protocol and claims.protocol[claim.protocol].experiment)
        raise ActbenchError(f"{place if written else ''}{error}") from error


class Sources:
    """What the protocols of a claims file give, whoever asks first; arguments as of ``verify``."""

    def __init__(
        self,
        claims: ClaimsFile,
        *,
        allow_code: bool = False,
        seeds: int = 16,
        workers: int = 1,
        fresh: bool = False,
    ) -> None:
        self._claims = claims
        self._allow_code = allow_code
        self._seeds = seeds
        self._workers = workers
        self._fresh = fresh
        self._progress: Progress | None = None
        self._tables: dict[str, tables.Table] = {}
        self._runs: dict[str, list[Run]] = {}
        self.notes: list[str] = []  # one sentence for each run that gave no number
        self.base = Path() if claims.path is None else claims.path.parent

    def load_own(self) -> None:
        """Load the activations of one's own that the protocols of experiments name."""
        for name, protocol in self._claims.protocol.items():
            if protocol.own_activations:
                self._require_allowed(name, protocol)
                for key in protocol.own_activations:
                    studies.own_part("own").activation(key, self.base)

    @property
    def code(self) -> list[tuple[str, Protocol]]:
        """The protocols that run code, with their names."""
        return [(name, p) for name, p in self._claims.protocol.items() if p.runs_code]

    def require_allowed(self) -> None:
        """Refuse to run code that the file names, unless that was allowed."""
        for name, protocol in self.code:
            self._require_allowed(name, protocol)

    def collect(self, progress: Callable[[str, int], AbstractContextManager[Progress]]) -> None:
        """Run every function and command, the refused ones first."""
        self.require_allowed()
        for name, protocol in self.code:
            with progress(name, len(self.seeds_of(protocol))) as self._progress:
                self.table(name)

    def duration_s(self, claim: Claim) -> float | None:
        """Return what a run of a claim's protocol took, in the median; ``None`` for a table."""
        took = [run.duration_s for run in self._runs.get(str(claim.protocol), [])]
        return float(np.median(took)) if took else None

    def grow(self, claim: Claim, runs: int) -> NDArray[np.float64]:
        """Make so many runs of a claim's protocol, those that are kept among them."""
        name = str(claim.protocol)
        if len(self._runs.get(name, [])) < runs:
            self._tables[name] = self._run(name, self._claims.protocol[name], runs)
        return self.take(claim).values[:runs]

    def outstanding(self) -> Iterator[str]:
        """Say of each function and command how many runs are kept, and what others will take."""
        for name, protocol in self.code:
            folder = self.base / ".actbench" / "runs"
            seeds = self.seeds_of(protocol)
            found = kept_runs(protocol, seeds, base=self.base, folder=folder)
            took = [run.duration_s for run in found]
            missing = len(seeds) if self._fresh else len(seeds) - len(took)
            each = f", about {np.median(took):.2g} s each" if took and missing else ""
            yield f"{name}: {missing} of {len(seeds)} runs to make{each}"

    def take(self, claim: Claim) -> columns.Taken:
        """Return a claim's numbers, NaN for a run that gave none; what was compared, and tasks."""
        table = self.table(str(claim.protocol))
        with metric_of(self._claims, claim):
            return columns.take(table, columns.parse(claim.metric))

    def table(self, name: str) -> tables.Table:
        """Return the rows of a protocol: what its files hold, or a row per run."""
        if name not in self._tables:
            protocol = self._claims.protocol[name]
            if protocol.runs_code:
                self._tables[name] = self._run(name, protocol, len(self.seeds_of(protocol)))
            else:
                asked: set[str] = set().union(*(m.columns for m in self._metrics(name)))
                self._tables[name] = tables.read(protocol.table, self.base, protocol.seed, asked)
        return self._tables[name]

    def _metrics(self, name: str) -> Iterator[columns.Column]:
        for claim in self._claims.claim:
            if claim.protocol == name:
                with metric_of(self._claims, claim):
                    metric = columns.parse(claim.metric)
                yield metric

    def _run(self, name: str, protocol: Protocol, count: int) -> tables.Table:
        """Make so many runs of a protocol; those that were made before are not made again."""
        self._require_allowed(name, protocol)

        runs = self._runs.setdefault(name, [])
        new = fulfil(
            protocol,
            range(FIRST_SEED + len(runs), FIRST_SEED + count),
            base=self.base,
            folder=kept_folder(self.base, "runs"),
            workers=self._workers,
            fresh=self._fresh,
            progress=self._progress,
        )
        runs += new
        if not any(run.values for run in runs):
            raise ActbenchError(
                f"none of the {len(runs)} runs of protocol {name!r} gave a number; seed "
                f"{runs[0].seed}: {runs[0].outcome}, {runs[0].message}. Mend it and run again"
            )
        self.notes += [
            f"{name}, seed {run.seed}: {run.outcome}, {run.message}" for run in new if run.message
        ]
        return tables.from_rows(name, [run.seed for run in runs], [run.values for run in runs])

    def _require_allowed(self, name: str, protocol: Protocol) -> None:
        if (protocol.runs_code or protocol.own_activations) and not self._allow_code:
            code = f"{protocol.source} = {getattr(protocol, protocol.source)!r}"
            if protocol.own_activations:
                code = f"activations = {', '.join(map(repr, protocol.own_activations))}"
            file = f"{self._claims.path}: " if self._claims.path else ""
            raise ActbenchError(
                f"{file}protocol {name!r} runs code, {code}. If you trust it, give --allow-code "
                "(pytest: --actbench-allow-code)"
            )

    def seeds_of(self, protocol: Protocol) -> range:
        """Return the seeds that a function or a command is run with."""
        return range(FIRST_SEED, FIRST_SEED + (protocol.seeds or self._seeds))
