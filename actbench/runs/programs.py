"""The numbers of a protocol that names a function or a command: what is kept, and the rest run."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.claims.claims_file import Protocol
from actbench.errors import require_positive_int
from actbench.runs import commands, functions
from actbench.runs.children import Children, StoppedError
from actbench.runs.kept import Run, Store, ingredients

if TYPE_CHECKING:
    from actbench.parallel import Progress

__all__ = ["Run", "fulfil", "kept"]

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
    runs: dict[int, Run] = {}
    for seed in () if fresh else seeds:
        found = store.read(seed)
        if found is not None:
            runs[seed] = found
    missing = [seed for seed in dict.fromkeys(seeds) if seed not in runs]
    if missing:
        store.prepare()
        if progress is not None and runs:
            progress(len(runs))
        runs |= _made(missing, store, runner, min(workers, len(missing)), progress)
    return [runs[seed] for seed in seeds]


def kept(protocol: Protocol, seeds: Iterable[int], *, base: Path, folder: Path) -> list[Run]:
    """Return the runs that ``fulfil`` would take instead of making them."""
    store, _ = _opened(protocol, base, folder)
    return [run for seed in seeds if (run := store.read(seed)) is not None]


_Runner = functions.FunctionRunner | commands.CommandRunner


def _opened(
    protocol: Protocol, base: Path, folder: Path
) -> tuple[Store, Callable[[Children], _Runner]]:
    """Check a protocol, and return where its runs are kept and what makes them."""
    base = base.resolve()
    if protocol.function:
        functions.check(protocol)
    words = () if protocol.function else commands.split(protocol, base)
    depends = partial(ingredients, protocol, base, words)
    store = Store(depends, folder.resolve(), protocol.timeout_s)

    def runner(children: Children) -> _Runner:
        if protocol.function:
            return functions.FunctionRunner(protocol, base, store.folder, children)
        return commands.CommandRunner(protocol, words, base, store.folder, children)

    return store, runner


def _made(
    seeds: Sequence[int],
    store: Store,
    runner: Callable[[Children], _Runner],
    workers: int,
    progress: Progress | None,
) -> dict[int, Run]:
    """Make runs side by side, and keep each as soon as it ends."""
    children = Children()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[Run | BaseException] = queue.SimpleQueue()
    for seed in seeds:
        waiting.put(seed)

    def work() -> None:
        mine = runner(children)
        try:
            while True:
                run, folder = mine.run(waiting.get_nowait())
                if run.outcome != "finished" and children.stopped:  # it was ended, and told nothing
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
            mine.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
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
