"""Sweeps in this process, and the command: what is trained, kept, refused and said."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import Command
from filelock import FileLock
from sweeping import CHUNK, TEXT, assert_same, bits, load, new_store, small_grid, train

from actbench.store import environment, parallel
from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.activations import get as activation
from actbench.study.experiments import sine_regression
from actbench.study.nets import training
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, train_reference
from actbench.study.sweeps import clusters, grid_files, stores
from actbench.study.sweeps import running as sweeps


def sweep(path: Path, chunk: int = CHUNK, threads: int = 1, text: str = TEXT) -> None:
    """Run a whole sweep."""
    train(new_store(path, small_grid(text), chunk), threads=threads)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole sweep, in chunks of three, on one thread."""
    path = tmp_path_factory.mktemp("sweep") / "whole.zarr"
    sweep(path)
    return path


def test_every_member_is_what_its_coordinates_say(undisturbed: Path) -> None:
    """Each point's numbers are those of the plain loop with the point's settings."""
    dataset = load(undisturbed)
    for name, column in small_grid().columns(0, 20).items():
        assert dataset[name].values.tolist() == column.tolist()
    target = targets.noisy_sine(16)
    for number in range(dataset.sizes["member"]):
        point: dict[str, Any] = next(small_grid().members(number, number + 1))
        network = Architecture(activation(point["activation"]), point["depth"], 16)
        member = Member(point["seed"], initializers.get("torch_default"))
        schedule = Schedule(6, point["learning_rate"])
        plain = train_reference(network, member, schedule, target.x, target.noisy)
        found = dataset.isel(member=number)
        assert found["loss"].values == pytest.approx(plain.loss[0, [0, 5]], rel=1e-5)
        final = np.square(plain.prediction[0] - target.noisy).mean()
        clean = np.square(plain.prediction[0] - target.clean).mean()
        assert found["final_mse"].item() == pytest.approx(final, rel=1e-5)
        assert found["final_mse_clean"].item() == pytest.approx(clean, rel=1e-5)
        assert found["diverged"].item() == -1


def test_the_page_reads_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines of docs/sweeps.md run on a store that is not whole, and so does its table."""
    monkeypatch.chdir(tmp_path)
    store = new_store(Path("results/grid.zarr"))
    train(store, [0, 1, 3, 5])
    page = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    exec(compile(page.split("```python\n")[1].split("```")[0], "docs/sweeps.md", "exec"), found)  # noqa: S102 - our own page
    assert "(learning_rate: 2)" in capsys.readouterr().out
    assert found["relu"]["activation"].to_numpy().tolist() == ["relu"] * found["relu"].member.size
    assert found["done"].sizes["member"] == 12
    table = found["sweep"].set_index(member=["activation", "seed", "depth"]).unstack()
    assert dict(table["final_mse"].sizes) == {"activation": 2, "seed": 5, "depth": 2}


def test_it_is_the_experiment_bit_for_bit(tmp_path: Path) -> None:
    """A grid of the main experiment's settings has the main experiment's very numbers."""
    sweep(
        tmp_path / "a.zarr",
        text="[settings]\nepochs = 3\ndepth = 3\n[grid]\nactivation = ['gelu', 'relu']\nseed = 3",
    )
    config = sine_regression.Config(
        activations=["gelu", "relu"], seeds=3, epochs=3, depth=3, device="cpu", threads=1
    )
    expected = sine_regression.run(config)["final_mse"].to_numpy().ravel()
    assert bits(load(tmp_path / "a.zarr")["final_mse"].values) == bits(expected)


@pytest.mark.bits
@pytest.mark.parametrize(("chunk", "threads"), [(1, 1), (7, 2), (20, 1)])
def test_the_partition_changes_nothing(
    tmp_path: Path, undisturbed: Path, chunk: int, threads: int
) -> None:
    """Whatever the chunks and the threads, the stores hold the same, but for rounding."""
    sweep(tmp_path / "a.zarr", chunk, threads)
    assert_same(tmp_path / "a.zarr", undisturbed, cut_alike=False)


def test_a_dropped_chunk_would_be_seen(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison on which these tests rest fails when one chunk is dropped on purpose."""
    write = stores.Store.write

    def all_but_one(self: stores.Store, number: int, values: Any) -> None:
        if number != 4:
            write(self, number, values)

    monkeypatch.setattr(stores.Store, "write", all_but_one)
    sweep(tmp_path / "a.zarr")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a.zarr", undisturbed)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_sweep_goes_on(tmp_path: Path, undisturbed: Path, threads: int) -> None:
    """Stopped anywhere, it trains what is missing and that alone, to the same store."""
    path = tmp_path / "a.zarr"
    store = new_store(path)
    epochs = 0

    def stop(done: int) -> None:
        nonlocal epochs
        epochs += done
        if epochs > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store, range(7), threads, stop)
    there = {f: f.stat().st_mtime_ns for f in path.rglob("status/c/*")}
    numbers, _ = store.missing()
    assert 0 < len(there) == 7 - len(numbers) < 7
    steps: list[int] = []
    train(store, numbers, threads, steps.append)
    assert sum(steps) == store.steps(numbers)
    assert {f: f.stat().st_mtime_ns for f in there} == there
    assert_same(path, undisturbed)


def test_being_stopped_is_no_failure_of_a_member() -> None:
    """What ends the other threads of an interrupted sweep passes through a chunk."""

    def stopped(done: int) -> None:
        raise parallel._StoppedError(done)

    with pytest.raises(parallel._StoppedError):
        sweeps.train_chunk(small_grid(), 0, 3, stopped)


BROKEN = TEXT.replace('"relu"', '"relu", "gelu"')


@pytest.fixture
def broken_gelu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Training GELU networks fails, until what this returns is called."""
    train = training.train

    def fail(architecture: Architecture, *arguments: Any) -> Any:
        if architecture.activation.key == "gelu":
            raise RuntimeError("no kernel\nfor GELU")
        return train(architecture, *arguments)

    monkeypatch.setattr(sweeps, "train", fail)
    return lambda: monkeypatch.setattr(sweeps, "train", train)


@pytest.mark.usefixtures("broken_gelu")
def test_a_failure_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """What can't be trained is listed with its coordinates; its neighbors are trained."""
    store = new_store(tmp_path / "a.zarr", small_grid(BROKEN), 4)
    said: list[str] = []
    steps: list[int] = []
    failures = train(store, range(8), 1, steps.append, said.append)
    assert sum(steps) == store.steps(range(8))
    assert failures.members == 10
    assert said[0] == (
        "failed: activation=gelu, depth=2, learning_rate=0.001, seed=42: "
        "RuntimeError: no kernel for GELU"
    )
    dataset = load(tmp_path / "a.zarr")
    failed = dataset["activation"] == "gelu"
    assert ((dataset["status"] == stores.FAILED) == failed).all()
    assert ((dataset["failure"] != "") == failed).all()
    assert (np.isnan(dataset["final_mse"]) == failed).all()
    assert ((dataset["diverged"] == stores.NOT_TRAINED) == failed).all()
    assert store.missing() == ([], 10)
    assert store.missing(retry=True) == ([2, 3, 4], 0)


def test_many_failures_are_counted_not_listed(tmp_path: Path) -> None:
    """After twenty lines the store is pointed at, once."""
    store = new_store(tmp_path / "a.zarr", small_grid("[grid]\nseed = 30"), 30)
    said: list[str] = []
    failures = sweeps.Failures(said.append)
    bad = {
        "status": np.full(30, stores.FAILED),
        "failure": np.full(30, "because", dtype=object),
    }
    failures.note(store, 0, bad)
    assert (failures.members, len(said)) == (30, 21)
    assert said[-1] == "further failures stand in the store's variable 'failure'"


def test_a_network_that_fits_no_memory_is_a_failure(tmp_path: Path) -> None:
    """It is not even tried, as that could end the process."""
    grid = small_grid("[settings]\nepochs = 1\n[[zip]]\ndepth = [2, 9000]\nwidth = [4, 10000]")
    store = new_store(tmp_path / "a.zarr", grid)
    said: list[str] = []
    train(store, [0], say=said.append)
    assert said == [
        "failed: depth=9000, width=10000: ActbenchError: a network of depth 9000 and width 10000 "
        "needs 14543.9 GB of memory, more than there is"
    ]
    assert load(tmp_path / "a.zarr")["status"].values.tolist() == [stores.TRAINED, stores.FAILED]


def test_a_member_that_diverges_is_no_failure(tmp_path: Path) -> None:
    """Its epoch is kept, as in every experiment, and it is trained."""
    sweep(
        tmp_path / "a.zarr",
        text="[settings]\nepochs = 4\ndepth = 2\n[grid]\nlearning_rate = [1e-3, 1e30]",
    )
    dataset = load(tmp_path / "a.zarr")
    assert dataset["diverged"].values.tolist() == [-1, 1]
    assert np.isnan(dataset["final_mse"].values[1])
    assert (dataset["status"] == stores.TRAINED).all()


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        # Studies' members are 22.6 GFLOP: 9 to 178 of them are some seconds to a minute.
        ("[grid]\nseed = 100000", 177, 178),
        ("[grid]\nseed = 100", 9, 9),
        ("[grid]\nseed = 5", 5, 5),
        ("[settings]\nepochs = 1\nwidth = 2\n[grid]\nseed = 100000", 1900, 2000),
        ("[settings]\nwidth = 2000\n[grid]\nseed = 100", 1, 1),
    ],
)
def test_a_chunk_is_neither_short_nor_long(text: str, least: int, most: int) -> None:
    """The default chunk follows from the grid: seconds of work, at most about a minute."""
    assert least <= sweeps.default_chunk(small_grid(text)) <= most


def test_the_plan_counts_chunks_bytes_and_hours() -> None:
    """A clock that shows one second per epoch and member gives the hours of the whole."""
    grid = small_grid("[settings]\nepochs = 360\nwidth = 2\ndepth = 1\n[grid]\nseed = 10000")
    elapsed = 0.0

    def clock() -> float:
        return elapsed

    def train(part: Any, start: int, stop: int) -> None:
        nonlocal elapsed
        elapsed += (stop - start) * part.common.epochs

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweeps, "train_chunk", train)
        made = sweeps.plan(grid, 100, clock)
    assert made.seconds_per_member == pytest.approx(360)
    assert made.core_hours == pytest.approx(1000)
    assert made.sentence(10) == (
        "10,000 members in 100 chunks of 100; at most 450 kB of results in 600 files, "
        "beside some 20 kB that describe them; about 100.0 hours on 10 cores like this one "
        "(1,000.0 core-hours)"
    )


@pytest.fixture
def command(actbench: Command, tmp_path: Path) -> Command:
    """Call `actbench sweep grid.toml` with further arguments, in the grid's folder."""
    (tmp_path / "grid.toml").write_text(TEXT, encoding="utf-8")
    return partial(actbench, "sweep", "grid.toml")


ONE = ("--threads", "1", "--chunk", str(CHUNK))


def test_the_command_writes_a_store_and_goes_on(
    command: Command, undisturbed: Path, tmp_path: Path
) -> None:
    """The first call trains, the second has nothing to do; both say where the store is."""
    code, out, err = command(*ONE)
    assert (code, out.splitlines()[-1]) == (0, "results/grid.zarr: 20 members")
    assert "grid" in err
    assert "100%" in err
    assert_same(tmp_path / "results" / "grid.zarr", undisturbed)
    again = command("--threads", "1")
    assert again[0] == 0
    assert again[1].endswith("7 of 7 chunks were there already; results/grid.zarr: 20 members\n")
    assert command("--quiet") == (0, "", "")


def test_a_summary_stands_beside_the_store(command: Command) -> None:
    """A row per point over its seeds; the table begins with the best; the plot is a picture."""
    text = TEXT.replace("seed = 5", "seed = 3").replace("[1e-3, 1e-2]", "[1e-3, 1e30]")
    Path("grid.toml").write_text(text, encoding="utf-8")
    assert command("--quiet", "--threads", "1") == (0, "", "")
    rows = [row.split(",") for row in Path("results/summary.csv").read_text("utf-8").split()]
    assert ",".join(rows[0]) == "activation,depth,learning_rate,seeds,median,2.5%,97.5%,diverged"
    assert [row[:4] for row in rows[1:3]] == [
        ["relu", "2", "0.001", "3"],
        ["relu", "3", "1e+30", "3"],
    ]
    losses = load(Path("results/grid.zarr"))["final_mse"].to_numpy().reshape(4, 3)[0]
    assert float(rows[1][4]) == np.median(losses)
    assert rows[1][5:] == [*map(str, np.quantile(losses, (0.025, 0.975)).tolist()), "0.0"]
    assert rows[2][4:] == ["inf", "inf", "inf", "1.0"]
    assert Path("results/summary.png").read_bytes().startswith(b"\x89PNG")
    shown = [line.split() for line in command()[1].splitlines()]
    best = min((row for row in rows[1:]), key=lambda row: float(row[4]))
    assert shown[4] == [*best[:4], f"{float(best[4]):.4g}", "0%"]


def test_an_activation_of_ones_own_is_swept(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is allowed; a worker loads the same file, wherever it runs, and no other."""
    Path("mine.py").write_text("import torch\ndef mine(x):\n    return torch.tanh(x)\n")
    Path("grid.toml").write_text(TEXT.replace("tanh", "mine.py:mine"), encoding="utf-8")
    code, _, err = command()
    assert code == 2
    assert "[grid]: activation 'mine.py:mine' is code. If you trust it, give" in err
    assert command("--allow-code", *ONE)[0] == 0
    found = load(tmp_path / "results" / "grid.zarr")["final_mse"].to_numpy()
    grid = grid_files.load(tmp_path / "grid.toml", allow_code=True)
    monkeypatch.chdir("/")
    activations.OWN.pop("mine.py:mine")
    worker = partial(clusters.train_remotely, grid, 18, 20, environment.versions())
    assert bits(worker()["final_mse"]) == bits(found[18:])
    (tmp_path / "mine.py").write_text("def mine(x):\n    return x / 2\n")
    activations.OWN.pop("mine.py:mine")
    with pytest.raises(ActbenchError, match=r"mine\.py:mine in .* is not the file that the sweep"):
        worker()


def test_failures_end_with_1_and_can_be_tried_again(
    command: Command, broken_gelu: Callable[[], None], tmp_path: Path
) -> None:
    """The list is said even with --quiet; --retry-failed trains what is mended."""
    Path("grid.toml").write_text(BROKEN.replace("seed = 5", "seed = 2"), encoding="utf-8")
    code, out, err = command(*ONE, "--quiet")
    assert (code, out, err.count("failed: activation=gelu, ")) == (1, "", 4)
    code, out, _ = command()
    assert code == 1
    assert out.endswith("12 members; 4 of 12 members failed\n")
    broken_gelu()
    assert command("--retry-failed", "--threads", "1")[0] == 0
    assert (load(tmp_path / "results" / "grid.zarr")["status"] == stores.TRAINED).all()


def test_a_dry_run_says_the_cost_and_makes_nothing(command: Command, tmp_path: Path) -> None:
    """Members, chunks, bytes and time, before anything is begun."""
    code, out, _ = command("--dry-run", *ONE)
    assert code == 0
    assert "20 members in 7 chunks of 3; at most 2 kB of results in 42 files, beside " in out
    assert [p.name for p in tmp_path.iterdir()] == ["grid.toml"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--workers", "0"], "--workers is 0, but must be a whole number of at least 1"),
        (["--chunk", "0"], "--chunk is 0, but must be a whole number of at least 1"),
        (["--threads", "0"], "--threads is 0, but must be a whole number of at least 1"),
        (["--workers", "2", "--scheduler", "x"], "give --workers or --scheduler, not both"),
        (["--scheduler", "nonsense"], "can't reach a Dask scheduler at nonsense: missing port"),
        (["--scheduler", "http://h:1"], "can't reach a Dask scheduler at http://h:1: unknown add"),
        (
            ["--scheduler", "tcp://127.0.0.1:9"],  # where nobody listens
            "can't reach a Dask scheduler at tcp://127.0.0.1:9: Timed out trying to connect to "
            "tcp://127.0.0.1:9 after 0.2 s. Start one with 'dask scheduler', give its address as "
            "--scheduler tcp://HOST:PORT, and check that no firewall is between\n",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    """It ends with 2, and leaves nothing behind."""
    monkeypatch.setattr(clusters, "REACH_S", 0.2)
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"actbench: error: {complaint}")
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["grid.toml"]


@pytest.mark.parametrize("package", ["zarr", "distributed"])
def test_without_the_extra_it_is_said(
    command: Command, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """What is missing is named, with the command that installs it."""
    monkeypatch.setattr(
        "actbench.store.errors.find_spec", lambda name: None if name == package else object()
    )
    code, _, err = command()
    assert (code, err) == (
        2,
        f"actbench: error: actbench sweep needs {package}, which is not installed. Run: pip "
        'install "actbench-claims[scale]"\n',
    )


MANY = "[settings]\nepochs = 1\n[random]\ncount = {}\nlearning_rate = {{low=0.1, high=1}}"


def test_more_than_a_million_members_are_asked_about(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The cost is stated; without an answer, or with 'no', nothing is begun."""
    Path("grid.toml").write_text(MANY.format(2 * 10**6), encoding="utf-8")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, err = command(*ONE)
    assert code == 2
    assert err.startswith("actbench: error: 2,000,000 members in 666,667 chunks of 3; at most ")
    assert err.endswith(". Add --yes to start it\n")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: sys.exit(9))
    assert command(*ONE)[0] == 9
    assert not (tmp_path / "results" / "grid.zarr").exists()


def test_what_the_disk_cannot_hold_is_refused(command: Command) -> None:
    """10^12 members are more than there is room for, even with --yes."""
    Path("grid.toml").write_text(MANY.format(10**12), encoding="utf-8")
    code, _, err = command(*ONE, "--yes")
    assert code == 2
    assert re.search(
        r"1,000,000,000,000 members .*; at most 33\.0 TB .* that is more than the ", err
    )


def test_a_store_of_another_grid_is_refused_or_replaced(
    command: Command, undisturbed: Path, tmp_path: Path
) -> None:
    """The grid was edited: one line, until --overwrite is given."""
    shutil.copytree(undisturbed, tmp_path / "results" / "grid.zarr")
    assert command(*ONE, "--quiet") == (0, "", "")
    Path("grid.toml").write_text(TEXT.replace("seed = 5", "seed = 2"), encoding="utf-8")
    code, _, err = command(*ONE)
    assert (code, err) == (
        2,
        "actbench: error: results/grid.zarr holds the results of another grid. Choose another "
        "folder with --out, or replace it with --overwrite\n",
    )
    assert command(*ONE, "--overwrite")[0] == 0
    assert load(tmp_path / "results" / "grid.zarr").sizes["member"] == 8


def test_two_sweeps_never_write_into_one_store(command: Command, tmp_path: Path) -> None:
    """The second is told to wait."""
    (tmp_path / "results").mkdir()
    with FileLock(tmp_path / "results" / ".grid.zarr.lock"):
        code, _, err = command(*ONE)
    assert (code, err) == (
        2,
        "actbench: error: another sweep is writing into results/grid.zarr. Wait for it, or choose "
        "another folder with --out\n",
    )


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_with_130_and_loses_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, undisturbed: Path, tmp_path: Path
) -> None:
    """A real signal in the middle; the same command finishes the very store."""
    write = stores.Store.write

    def press(self: stores.Store, number: int, values: Any) -> None:
        write(self, number, values)
        if number == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(stores.Store, "write", press)
        assert command(*ONE)[0] == 130
    code, out, _ = command("--threads", "1")
    assert code == 0
    assert re.search(r"^3 of 7 chunks were there already; ", out, re.MULTILINE)
    assert_same(tmp_path / "results" / "grid.zarr", undisturbed)
