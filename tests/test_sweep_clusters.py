"""Sweeps on Dask, with real schedulers and workers on loopback: what dies changes no bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sweeping import TEXT, assert_same, new_store, nothing, small_grid, train

from actbench.store import environment
from actbench.store.errors import ActbenchError
from actbench.study.sweeps import clusters, running
from actbench.study.sweeps.stores import Store

# More chunks than are handed out at a time, so that something is left to do after each accident.
MANY = TEXT.replace("seed = 5", "seed = 10")
CHUNKS = 20


class Dask:
    """A scheduler and workers, each a process of its own, on this machine only.

    Attributes:
        address: Of the scheduler.
        preload: What workers run before all else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.preload = ""
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self.address = "tcp://127.0.0.1:0"

    def start_scheduler(self) -> None:
        """Start one, at the old one's port if there was one; its address is known afterwards."""
        from distributed import Client

        port = self.address.rpartition(":")[2]
        self._scheduler = self._start("scheduler", "--port", port, "--no-show", stdout=True)
        for line in self._scheduler.stderr or ():
            if b"Scheduler at:" in line:
                self.address = line.split()[-1].decode()
                break
        with Client(self.address, timeout=60, set_as_default=False):
            pass

    def start_workers(self, count: int) -> None:
        """Start workers of one thread, which find the scheduler by themselves."""
        for _ in range(count):
            options = ["--nthreads=1", "--no-nanny", "--memory-limit=0", "--death-timeout=60"]
            options += [f"--preload={self.preload}"] if self.preload else []
            self._workers.append(self._start("worker", self.address, *options))

    def start(self, workers: int) -> None:
        """Start a scheduler and workers."""
        self.start_scheduler()
        self.start_workers(workers)

    def _start(self, kind: str, *arguments: str, stdout: bool = False) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        return subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"],
            cwd=self._folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if stdout else subprocess.DEVNULL,
        )

    def kill_worker(self, pid: int) -> None:
        """Kill one as the kernel does when memory runs out."""
        (worker,) = (w for w in self._workers if w.pid == pid)
        worker.kill()
        assert worker.wait(60) == -signal.SIGKILL
        self._workers.remove(worker)

    def kill_scheduler(self) -> None:
        """Kill it, with all that it knew."""
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.communicate(timeout=60)
        self._scheduler = None

    def stop(self) -> None:
        """End every process that was started here."""
        self.kill_scheduler()
        for worker in self._workers:
            worker.kill()
            worker.wait(60)
        self._workers.clear()


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A scheduler and two workers, for all tests that leave one of them alive."""
    from distributed import Client

    cluster = Dask(tmp_path_factory.mktemp("dask"))
    try:
        cluster.start(2)
        with Client(cluster.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def own_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dask]:
    """Nothing yet; ends what is started. A chunk over which one worker dies is given up."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    cluster = Dask(tmp_path)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole sweep, in this process."""
    store = new_store(tmp_path_factory.mktemp("sweep") / "whole.zarr", small_grid(MANY), 2)
    train(store)
    return store.path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store of more chunks than are handed out at a time."""
    return new_store(tmp_path / "a.zarr", small_grid(MANY), 2)


def run(store: Store, dask: Dask, progress: Callable[[int], None]) -> list[str]:
    """Train what a store lacks on Dask; returns what was said."""
    said: list[str] = []
    numbers, _ = store.missing()
    failures = running.Failures(said.append)
    clusters.run(store, numbers, dask.address, progress, failures)
    assert (failures.members, failures.chunks) == (0, [])
    return said


def busy_worker(address: str) -> int:
    """Return the process of the worker that has most to lose: chunks in hand, or results."""
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        chunks, results = client.processing(), client.has_what()
        busiest = max(chunks, key=lambda worker: len(chunks[worker]) + len(results[worker]))
        (pid,) = client.run(os.getpid, workers=[busiest]).values()
    return int(pid)


class After:
    """Does something once, when a number of members is done."""

    def __init__(self, members: int, act: Callable[[], object]) -> None:
        self._left, self._act = members * 6, act
        self.steps: list[int] = []

    def __call__(self, done: int) -> None:
        """Count, and act when it is time."""
        self.steps.append(done)
        before, self._left = self._left, self._left - done
        if before > 0 >= self._left:
            self._act()


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(
    dask: Dask, store: Store, undisturbed: Path
) -> None:
    """Two workers train; one is killed at work: no chunk is lost, and every bit is the same."""
    kill = After(6, lambda: dask.kill_worker(busy_worker(dask.address)))
    run(store, dask, kill)
    assert kill.steps == [2 * 6] * CHUNKS
    assert_same(store.path, undisturbed)


def of_another(package: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make this process believe that it has another version of a package; returns the real one."""
    there = environment.versions()[package]
    real = environment.installed_version
    # Not `versions` itself, which is what a worker is sent.
    monkeypatch.setattr(
        environment, "installed_version", lambda name: "1.0" if name == package else real(name)
    )
    if package == "actbench":
        monkeypatch.setattr(environment, "__version__", "1.0")
    return there


ADVICE = (
    " (here 1.0). Install the same versions on scheduler, workers and client, such as by one "
    "environment or image for all, and start again"
)


@pytest.mark.parametrize(
    ("package", "where"), [("torch", "worker tcp://127.0.0.1:"), ("actbench", "the scheduler has")]
)
def test_other_versions_are_one_line(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, where: str
) -> None:
    """Before a chunk is handed out, a worker with another torch is refused, and any actbench."""
    there = of_another(package, monkeypatch)
    store = new_store(tmp_path / "a.zarr")
    with pytest.raises(ActbenchError) as caught:
        run(store, dask, nothing)
    assert str(caught.value).startswith(where)
    assert str(caught.value).endswith(f" has {package} {there}{ADVICE}")
    assert len(store.missing()[0]) == store.chunks


def test_a_worker_that_joins_later_is_checked_too(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not there to be asked refuses the chunk, with the same line."""
    there = of_another("numpy", monkeypatch)
    monkeypatch.setattr(clusters, "_require_same_versions", lambda client: None)
    with pytest.raises(ActbenchError) as caught:
        run(new_store(tmp_path / "a.zarr"), dask, nothing)
    assert str(caught.value) == f"a worker has numpy {there}{ADVICE}"


@pytest.mark.slow
def test_a_scheduler_that_dies_and_comes_back_changes_nothing(
    own_dask: Dask, store: Store, undisturbed: Path
) -> None:
    """Everything on the cluster is killed and started again at the same address."""
    own_dask.start(2)

    def restart() -> None:
        own_dask.stop()
        own_dask.start(2)

    crash = After(6, restart)
    said = run(store, own_dask, crash)
    (lost,) = (line for line in said if not line.startswith("the scheduler has no worker; "))
    assert lost.startswith(f"the scheduler at {own_dask.address} was lost")
    assert crash.steps == [2 * 6] * CHUNKS
    assert_same(store.path, undisturbed)


@pytest.mark.slow
def test_a_scheduler_that_stays_away_is_one_line(
    own_dask: Dask, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost and not coming back: what was finished is safe, and what to do is said."""
    monkeypatch.setattr(clusters, "COME_BACK_S", 0.2)
    own_dask.start(1)
    with pytest.raises(ActbenchError, match=r"^can't reach a Dask scheduler at tcp:"):
        run(store, own_dask, After(6, own_dask.stop))
    assert len(store.missing()[0]) == CHUNKS - 3


CLIENT = """
import sys
from pathlib import Path
from sweeping import new_store, small_grid
from test_sweep_clusters import MANY
from actbench.study.sweeps import clusters, running

store = new_store(Path(sys.argv[1]), small_grid(MANY), 2)
tell = lambda done: print(done, flush=True)
clusters.run(store, range(store.chunks), sys.argv[2], tell, running.Failures(print))
"""


@pytest.mark.slow
def test_a_client_that_is_killed_is_resumed(
    own_dask: Dask, tmp_path: Path, undisturbed: Path
) -> None:
    """Killed without warning; the next one trains what is missing and that alone."""
    path = tmp_path / "a.zarr"
    own_dask.start(2)
    client = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", CLIENT, str(path), own_dask.address],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    for _ in range(3):
        assert client.stdout.readline() == b"12\n"
    client.kill()
    client.communicate(timeout=60)
    there = {f: f.stat().st_mtime_ns for f in path.glob("status/c/*")}
    store = new_store(path, small_grid(MANY), 2)
    numbers, _ = store.missing()
    assert 3 <= len(there) == CHUNKS - len(numbers) < CHUNKS
    count = After(0, list)
    run(store, own_dask, count)
    assert count.steps == [2 * 6] * len(numbers)
    assert {f: f.stat().st_mtime_ns for f in there} == there
    assert_same(path, undisturbed)


POISON = """
import os
from actbench.study.sweeps import running as chunks

if chunks.train_chunk.__name__ == "train_chunk":  # Dask loads this twice
    train = chunks.train_chunk

    def poisoned(grid, start, stop):
        if start == 6:
            {effect}
        return train(grid, start, stop)

    chunks.train_chunk = poisoned
"""


@pytest.mark.slow
def test_an_error_that_cannot_be_sent_is_one_line(own_dask: Dask, tmp_path: Path) -> None:
    """Pickle gives up on a traceback of a thousand frames; the client is told all the same."""
    own_dask.preload = str(tmp_path / "poison.py")
    effect = "return poisoned(grid, start, stop)"
    Path(own_dask.preload).write_text(POISON.format(effect=effect), encoding="utf-8")
    own_dask.start(1)
    with pytest.raises(ActbenchError) as caught:
        run(new_store(tmp_path / "a.zarr"), own_dask, nothing)
    assert str(caught.value) == (
        "a worker failed at members 6 to 8: RecursionError: maximum recursion depth exceeded. "
        "Finished chunks are safe; the same command goes on with them"
    )


@pytest.mark.slow
def test_a_chunk_that_kills_its_workers_is_named_and_the_rest_goes_on(
    own_dask: Dask, store: Store, tmp_path: Path, undisturbed: Path
) -> None:
    """It is listed with its coordinates and stays missing; without the poison it is trained."""
    own_dask.preload = str(tmp_path / "poison.py")
    Path(own_dask.preload).write_text(POISON.format(effect="os._exit(1)"), encoding="utf-8")
    own_dask.start(2)
    said: list[str] = []
    failures = running.Failures(said.append)
    clusters.run(store, range(CHUNKS), own_dask.address, nothing, failures)
    # What waited behind it on the same worker may be given up too, where one death is enough.
    assert 3 in failures.chunks
    assert (
        "not finished: members 6 (activation=relu, depth=2, learning_rate=0.001, seed=48) to 7 "
        "(activation=relu, depth=2, learning_rate=0.001, seed=49): every worker that tried died; "
        "the same command tries again"
    ) in said
    assert store.missing() == (sorted(failures.chunks), 0)
    assert len(failures.chunks) < CHUNKS
    train(store, failures.chunks)
    assert_same(store.path, undisturbed)


@pytest.mark.slow
def test_workers_that_come_late_are_waited_for(
    own_dask: Dask, store: Store, undisturbed: Path
) -> None:
    """A scheduler without workers is no mistake: it is said, and they start when they come."""
    own_dask.start_scheduler()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        own_dask.start_workers(1)

    clusters.run(store, range(CHUNKS), own_dask.address, nothing, running.Failures(say))
    assert [line.partition(";")[0] for line in said] == ["the scheduler has no worker"]
    assert_same(store.path, undisturbed)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_the_command_starts_workers_and_takes_them_along(tmp_path: Path, undisturbed: Path) -> None:
    """`--workers 2` in a terminal: Ctrl-C ends all processes with 130, and the rest is resumed."""
    (tmp_path / "grid.toml").write_text(MANY, encoding="utf-8")
    command = [sys.executable, "-m", "actbench", "sweep", "grid.toml", "--chunk", "2"]
    environ = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--workers", "2"],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    folder = tmp_path / "results" / "grid.zarr" / "status" / "c"
    for _ in watch(folder, first):
        os.killpg(first.pid, signal.SIGINT)
        break
    try:
        _, err = first.communicate(timeout=300)
    finally:
        first.kill()
    assert first.returncode == 130, err
    assert "Traceback" not in err.decode()
    second = subprocess.run(  # noqa: S603 - our own command
        [*command, "--workers", "1"], cwd=tmp_path, env=environ, capture_output=True, check=True
    )
    assert b"Traceback" not in second.stderr
    assert_same(tmp_path / "results" / "grid.zarr", undisturbed)


def watch(folder: Path, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Yield once when a folder has a file; nothing where the process ends before."""
    while process.poll() is None:
        if folder.exists() and any(folder.iterdir()):
            yield
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
