"""Jobs side by side: in processes where the system can fork, in threads elsewhere, or in turn."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from typing import NoReturn

import pytest
import torch
from calls import python

from actbench.store.errors import ActbenchError
from actbench.store.parallel import Progress, side_by_side

FORKS = sys.platform == "linux"


forking = pytest.mark.skipif(not FORKS, reason="this system does not fork")


@pytest.fixture(params=["processes", "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of working side by side."""
    if request.param == "threads":
        monkeypatch.setattr("actbench.store.parallel.sys.platform", "darwin")
    elif not FORKS:
        pytest.skip("this system does not fork")
    chosen: str = request.param
    return chosen


def counted(number: int) -> Callable[[Progress], int]:
    """A job that reports its number and returns it."""

    def work(report: Progress) -> int:
        report(number)
        return number

    return work


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("workers", "end"), [(1, 25), (3, 25), (9, 10)])
def test_jobs_come_back_in_order_and_tell_their_progress(workers: int, end: int) -> None:
    """Whatever the order in which they end; what is made of a result here is kept in its place."""
    told: list[int] = []
    taken: dict[int, int] = {}

    def take(number: int, value: int) -> str:
        taken[number] = value
        return f"{value} taken"

    jobs = [counted(n) for n in range(5, end)]
    assert side_by_side(jobs, told.append, workers) == list(range(5, end))
    assert sorted(told) == list(range(5, end))
    found = side_by_side(jobs, told.append, workers, take)
    assert found == [f"{value} taken" for value in range(5, end)]
    assert taken == dict(enumerate(range(5, end)))
    assert side_by_side([], told.append, workers) == []


def endless(report: Progress) -> int:
    """A job that ends when it is ended."""
    while True:
        report(1)


def failing(error: BaseException) -> Callable[[int | Progress], NoReturn]:
    """A job or a progress that raises this."""

    def fail(_: int | Progress) -> NoReturn:
        raise error

    return fail


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_fails_ends_all(workers: int) -> None:
    """A job's own error arrives, and so does what the progress raises, as Ctrl-C does."""
    failed = failing(ActbenchError("no such thing"))
    with pytest.raises(ActbenchError, match=r"^no such thing$"):
        side_by_side([failed, *[endless] * 5], lambda done: None, workers)
    assert not multiprocessing.active_children()
    with pytest.raises(KeyboardInterrupt):
        side_by_side([endless] * 3, failing(KeyboardInterrupt()), workers)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("workers", [1, 2])
def test_each_job_has_one_thread_and_gives_the_same_bits(workers: int) -> None:
    """Whoever works beside it; and the caller's own number of threads is as before."""
    before = torch.get_num_threads()

    def product(seed: int) -> Callable[[Progress], tuple[int, bytes]]:
        a = torch.randn(300, 300, generator=torch.Generator().manual_seed(seed))
        return lambda report: (torch.get_num_threads(), (a @ a).numpy().tobytes())

    jobs = [product(seed) for seed in range(4)]
    found = side_by_side(jobs, lambda done: None, workers)
    assert [threads for threads, _ in found] == [1] * 4
    assert found == side_by_side(jobs, lambda done: None, 1)
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("way")
def test_a_worker_knows_what_this_process_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patched function, as a planted fault is, reaches every worker."""
    monkeypatch.setattr(torch, "relu", lambda x: x * 0 + 7)
    found = side_by_side([lambda report: torch.relu(torch.ones(1)).item()] * 4, print, 2)
    assert found == [7.0] * 4


@forking
def test_an_error_that_can_not_be_sent_arrives_as_text() -> None:
    """An exception that holds what can't be pickled is told all the same, with its place."""
    failed = failing(ValueError("odd", lambda: None))
    with pytest.raises(RuntimeError, match=r"(?s)in fail.*ValueError: \('odd'"):
        side_by_side([failed, failed], lambda done: None, 2)


@forking
def test_a_worker_that_was_killed_is_told_in_one_line() -> None:
    """As a system short of memory does it."""

    def killed(report: Progress) -> None:  # noqa: ARG001 - the signature of every job
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ActbenchError, match=r"^a worker process was ended from outside .*-9"):
        side_by_side([killed, counted(1)], lambda done: None, 2)


@forking
def test_workers_end_with_the_process_that_made_them() -> None:
    """After a kill -9 nobody is left: the pipe that workers hold open is closed."""
    script = textwrap.dedent(
        """
        import os, signal
        from actbench.store.parallel import side_by_side

        def endless(report):
            print(os.getpid(), flush=True)
            while True:
                report(1)

        told = []

        def kill(done):
            told.append(done)
            if len(told) == 1000:
                os.kill(os.getpid(), signal.SIGKILL)

        side_by_side([endless, endless], kill, 2)
        """
    )
    # Workers hold the output open: that it ends means that they are gone.
    code, out, _ = python("-c", script, timeout=60)
    assert code == -signal.SIGKILL
    assert out.split()


@forking
def test_a_daemon_works_in_threads() -> None:
    """A process that may not have children of its own, as Dask's workers are, still works."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def work() -> None:
        there.send(side_by_side([counted(n) for n in range(3)], lambda done: None, 2))

    child = context.Process(target=work, daemon=True)
    child.start()
    there.close()
    try:
        assert here.recv() == [0, 1, 2]
    finally:
        child.join()


def test_results_of_many_megabytes_come_back() -> None:
    """More than a pipe holds, in tensors that outlive the worker."""

    def large(number: int) -> Callable[[Progress], torch.Tensor]:
        return lambda report: torch.full((10**6,), number)

    found = side_by_side([large(n) for n in range(4)], lambda done: None, 2)
    assert [value.sum() for value in found] == [0, 10**6, 2 * 10**6, 3 * 10**6]
