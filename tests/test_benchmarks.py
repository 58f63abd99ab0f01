"""The benchmarks measure what they say, their gate closes, and nothing passes in silence."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from calls import printed
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from actbench.store.environment import Stopwatch, synchronizer
from actbench.study.catalog import initializers, targets
from actbench.study.nets.engines import PlainLoop, StackOf, flop_per_epoch, study_architecture
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Member, Schedule, stack_sizes, train, train_reference
from benchmarks import interleaving, measuring, peer_table, peers, profiling, scaling, session
from benchmarks.interleaving import Cold, Contestant, Timing
from benchmarks.work import ACTIVATIONS, PEERS, Peer, Run, Work

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")


class AsynchronousDevice:
    """A device that returns at once and computes later, beside a clock that knows both."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued = 0.0

    def launch(self, seconds: float) -> None:
        """Queue work; asking for it takes a microsecond."""
        self.now += 1e-6
        self.queued += seconds

    def synchronize(self) -> None:
        """Wait until the queue is empty."""
        self.now += self.queued
        self.queued = 0.0


def test_the_stopwatch_waits_for_the_device() -> None:
    """What was queued before is not counted, what the work queued is, per unit of work."""
    device = AsynchronousDevice()
    device.launch(5.0)
    stopwatch = Stopwatch(device.synchronize, lambda: device.now)
    assert stopwatch.time(lambda: device.launch(2.0)) == pytest.approx(2.0, rel=1e-5)
    stopwatch.units = 4
    assert stopwatch.time(lambda: device.launch(8.0)) == pytest.approx(2.0, rel=1e-5)


def test_an_accelerator_is_synchronized_and_the_cpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is the very device that is timed."""
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    synchronizer(CPU)()
    assert waited == []
    synchronizer(torch.device("cuda:1"))()
    assert waited == [torch.device("cuda:1")]


def test_one_training_is_22_gflop() -> None:
    """500 epochs of the study's network need 22.4 GFLOP of matrix products, counted by hand."""
    hidden = 9 * 64 * 64 * 3  # forward, weights' gradient, inputs' gradient
    first, last = 64 * 2, 64 * 3  # the inputs need no gradient
    assert flop_per_epoch(study_architecture("relu")) == 2 * 200 * (hidden + first + last)
    assert 500 * flop_per_epoch(study_architecture("relu")) == pytest.approx(22.4e9, rel=0.02)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_timed_is_what_is_used(dtype: str) -> None:
    """The timed loop and stacks give the losses of the package's own training, bit for bit."""
    architecture = study_architecture("gelu")
    members = [Member(seed, initializers.get("torch_default")) for seed in range(42, 53)]
    target = targets.noisy_sine()
    given = (Schedule(epochs=4, dtype=dtype), target.x, target.noisy)
    loop = PlainLoop("gelu", CPU, dtype).train(4).numpy()
    np.testing.assert_array_equal(
        loop, train_reference(architecture, members[0], *given).loss[:, -1]
    )
    stack = StackOf(11, "gelu", CPU, dtype).train(4).numpy()
    np.testing.assert_array_equal(stack, train(architecture, members, *given).loss[:, -1])


def test_timed_stacks_are_cut_and_ordered_as_training_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks that fit the cache are trained one after the other, never in turns."""
    order: list[int] = []
    forward = Stack.forward

    def watched(stack: Stack, x: torch.Tensor) -> torch.Tensor:
        order.append(stack.count)
        return forward(stack, x)

    monkeypatch.setattr(Stack, "forward", watched)
    StackOf(11, "relu", CPU).train(3)
    sizes = stack_sizes(study_architecture("relu"), 11, 200, Schedule())
    assert sizes == [3, 4, 4]
    assert order == [3] * 3 + [4] * 6


@pytest.mark.parametrize(
    ("now", "wrong"),
    [({"final_loss": 0.0105}, False), ({"final_loss": 0.02}, True), ({}, True)],
    ids=["same", "other", "not-a-number"],
)
def test_a_faster_wrong_answer_is_seen(now: dict[str, float], wrong: bool) -> None:
    """The final loss must be the stored one within 10 %; a missing one was not finite."""
    assert (measuring.wrong_answer(now, {"final_loss": 0.01}) is not None) == wrong
    assert measuring.wrong_answer(now, {}) is None
    # NaN and infinity, which JSON cannot hold, are left out.
    assert measuring.finite({"a": 1.0, "b": math.nan, "c": math.inf}) == {"a": 1.0}


# Inner runs. Time is the reading of a fake clock that only the fake engine and controls advance.

CONFTEST = """
from pathlib import Path
import pytest
pytest_plugins = ["benchmarks.session"]

@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info():
    return {"torch": Path("torch.txt").read_text(), "threads": 1}
"""

BENCH = """
import dataclasses
import json
from pathlib import Path
import pytest
from benchmarks.measuring import Control, Job, Meter
from benchmarks.interleaving import Contestant, Timing
from actbench.store.environment import Stopwatch

settings = json.loads(Path({settings!r}).read_text())
now = 0.0
runs = 0

def spend(seconds):
    global now
    now += seconds * settings["machine"]

def train():
    global runs
    slow = settings["slowdown"] if runs < settings["slow_runs"] else 1.0
    runs += 1
    spend(0.4 * slow)
    return settings["loss"]

@pytest.fixture
def stopwatch(request):
    timer = Stopwatch(clock=lambda: now)
    request.node.add_marker(pytest.mark.benchmark(timer=timer))
    return timer

@pytest.fixture
def benchmark_controls():
    return {{
        "product": Control(lambda: spend(0.1), flop=8.0),
        "loop": Control(lambda: spend(0.2), units=2),
    }}

def test_{name}(stopwatch, benchmark, benchmark_controls, expected):
    job = Job(lambda: train, units=2, flop=4.0, quality=lambda loss: {{"final_loss": loss}})
    Meter(benchmark, stopwatch, benchmark_controls, expected)(job)
"""

Bench = Callable[..., pytest.RunResult]


@pytest.fixture
def bench(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    no_other_plugins: None,  # noqa: ARG001 - for what it sets
) -> Bench:
    """Run a folder with one benchmark, under the project's own filters for warnings."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(session, "STORAGE", pytester.path / "store")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    filters = project["tool"]["pytest"]["ini_options"]["filterwarnings"]
    lines = "\n".join(f"    {line}" for line in filters)
    folder = pytester.mkdir("suite")
    (folder / "pytest.ini").write_text(
        f"[pytest]\npython_files = bench_*.py\nfilterwarnings =\n{lines}\n", encoding="utf-8"
    )
    torch_version = str(folder / "torch.txt")
    conftest = CONFTEST.replace('"torch.txt"', repr(torch_version))
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")

    def run(
        *arguments: str, name: str = "epoch", torch: str = "1.0", **changed: float
    ) -> pytest.RunResult:
        settings = {"machine": 1.0, "slowdown": 1.0, "slow_runs": 99, "loss": 0.01, **changed}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "torch.txt").write_text(torch, encoding="utf-8")
        source = BENCH.format(settings=str(folder / "settings.json"), name=name)
        (folder / "bench_fake.py").write_text(source, encoding="utf-8")
        result = pytester.runpytest_inprocess(
            *("-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "-p", "xdist.plugin"),
            *("-p", "actbench.pytest_plugin"),
            *(str(folder), *arguments),
        )
        for stream in (result.outlines, result.errlines):
            assert not any("INTERNALERROR" in line or "Traceback" in line for line in stream)
        return result

    return run


GATE = "--actbench-max-slowdown=1.3"
STRICT = "--actbench-strict"
NOTHING = "benchmarks: FAILED, *nothing was compared"


def test_a_slowdown_fails_and_nothing_else_does(bench: Bench, pytester: pytest.Pytester) -> None:
    """Relative to the controls: 0.2 s per epoch are two products, 20 FLOP/s of the peak's 80."""
    result = bench("--benchmark-autosave")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["benchmarks: not compared; *"])
    (path,) = pytester.path.glob("store/*/0001_*.json")
    info = json.loads(path.read_text())["benchmarks"][0]["extra_info"]
    assert info["relative_to_product"] == pytest.approx(2)
    assert info["relative_to_loop"] == pytest.approx(2)
    assert info["gflop_per_s"] == pytest.approx(20e-9)
    assert info["share_of_peak"] == pytest.approx(0.25)
    assert info["final_loss"] == 0.01
    # What does not last through the rerun, and what slows the controls alike, is no slowdown.
    for passing in ({}, {}, {"slowdown": 9.0, "slow_runs": 7}, {"machine": 9.0}):
        bench(GATE, STRICT, **passing).assert_outcomes(passed=1)
    bench(GATE, loss=0.5).assert_outcomes(failed=1)
    # An engine 1.5 times slower fails at 1.3, in JUnit too, and never becomes the standard.
    result = bench(GATE, "--junit-xml=junit.xml", "--benchmark-save=slow", slowdown=1.5)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1.50 times slower than the stored run*at most 1.30*"])
    failures = ET.parse(pytester.path / "junit.xml").findall(".//failure")  # noqa: S314 - our own
    assert len(failures) == 1
    (stored,) = pytester.path.glob("store/*/*_slow.json")
    assert json.loads(stored.read_text())["benchmarks"] == []


@pytest.mark.parametrize("option", ["--benchmark-compare", GATE])
def test_an_empty_store_is_one_line_and_fails_only_if_strict(bench: Bench, option: str) -> None:
    """The first run passes and says how to store one; strict, it fails."""
    said = "benchmarks: nothing was compared: no run is stored in *; store one *autosave"
    for strict in ((), (STRICT,)):
        result = bench(option, *strict)
        assert result.ret == len(strict)
        result.stdout.fnmatch_lines([said, NOTHING][: 1 + len(strict)])


def test_a_renamed_benchmark_is_counted_and_fails_a_strict_gate(bench: Bench) -> None:
    """Nothing matches, which pytest-benchmark alone would pass in silence."""
    bench("--benchmark-autosave")
    result = bench(GATE, name="renamed")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["benchmarks: compared with *: 0 compared, 1 missing, 1 new, *"])
    assert bench(GATE, STRICT, name="renamed").ret == 1
    assert bench(GATE, STRICT, "--benchmark-disable").ret == 1


def test_a_match_that_can_not_be_judged_fails_a_strict_gate(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    """A run without controls of another machine says nothing of speed, and that is what is said."""
    bench("--benchmark-autosave")
    (path,) = pytester.path.glob("store/*/0001_*.json")
    stored = json.loads(path.read_text())
    stored["benchmarks"][0]["extra_info"] = {"final_loss": 0.01}
    path.write_text(json.dumps(stored))
    for option in (GATE, "--benchmark-compare"):
        assert bench(option, torch="2.0").ret == 0
        strict = bench(option, STRICT, torch="2.0")
        assert strict.ret == 1
        strict.stdout.fnmatch_lines(
            [
                "benchmarks: compared with *: 0 compared, *",
                "benchmarks: not compared, *::test_epoch: no control is in both runs*",
                NOTHING,
            ]
        )


def test_runs_are_found_on_every_machine_and_from_every_folder(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one store: a reference of another system, with what differs; the newest run counts."""
    bench("--benchmark-save=reference", slowdown=2.0)
    (path,) = pytester.path.glob("store/*/0001_reference.json")
    path.rename(pytester.path / "store" / "0001_reference.json")
    elsewhere = pytester.mkdir("elsewhere")
    monkeypatch.chdir(elsewhere)
    result = bench("--benchmark-compare", "--benchmark-autosave", torch="2.0")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_epoch * 0.50",
            "benchmarks: compared with 0001_reference.json: 1 compared, 0 missing, 0 new",
            "benchmarks: the stored run is of another *: torch 1.0 there, 2.0 here",
        ]
    )
    within = pytester.mkdir("suite/within")
    monkeypatch.chdir(within)
    again = bench(GATE, torch="2.0", slowdown=2.0)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["benchmarks: compared with */0002_*: 1 compared, *"])
    again.stdout.no_fnmatch_line("*of another*")
    assert [*elsewhere.iterdir(), *within.iterdir()] == []
    assert len(list(pytester.path.glob("store/*/*.json"))) == 1


@pytest.mark.slow
def test_parallel_runs_say_that_nothing_was_timed(bench: Bench) -> None:
    """Under xdist there is one clear line, and a strict gate fails."""
    bench("--benchmark-autosave")
    result = bench("-n2", GATE, STRICT)
    assert result.ret == 1
    why = "benchmarks: not timed, because tests run in parallel (xdist)"
    result.stdout.fnmatch_lines([why, NOTHING])


def test_the_shipped_reference_names_benchmarks_that_exist_and_no_host() -> None:
    """Every stored benchmark is of a file that is here, finite, and nothing names a machine."""
    text = (session.STORAGE / "0001_reference.json").read_text(encoding="utf-8")
    stored = json.loads(text, parse_constant=pytest.fail)
    assert {bench["fullname"].partition("::")[0] for bench in stored["benchmarks"]} == {
        "benchmarks/bench_epochs.py",
        "benchmarks/bench_whole.py",
    }
    assert all((ROOT / b["fullname"].partition("::")[0]).exists() for b in stored["benchmarks"])
    assert all(b["extra_info"]["relative_to_loop"] > 0 for b in stored["benchmarks"])
    assert "node" not in stored["machine_info"]
    assert "torch" in stored["machine_info"]


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_runs_stored_here_are_not_published(
    tmp_path: Path, builder: type[WheelBuilder] | type[SdistBuilder]
) -> None:
    """A wheel and an sdist hold the shipped reference, and no run of this machine."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    machine = "baselines/timings/Linux-CPython-3.11-64bit"
    for folder in ("actbench", machine):
        (tmp_path / folder).mkdir(parents=True)
    shipped = {"baselines/published.toml", "baselines/timings/0001_reference.json"}
    for name in ("actbench/__init__.py", *shipped, f"{machine}/0002_mine.json"):
        (tmp_path / name).touch()
    files = builder(str(tmp_path)).recurse_included_files()
    held = {Path(file.distribution_path).as_posix().removeprefix("actbench/") for file in files}
    assert {name for name in held if name.startswith("baselines/")} == shipped


def settled(work: Work, *keys: str) -> list[Contestant]:
    """Settle engines on one thread, without the trials that a choice would need."""
    found = [peer for peer in PEERS if peer.key in keys]
    return interleaving.settle(found, work, 1, Stopwatch(), lambda text: None)


def test_peers_agree_on_the_loss() -> None:
    """The stack and vmap over autograd follow the plain loop over the first epochs."""
    work = Work("gelu", 2, 4)
    differences = interleaving.disagreement(settled(work, "loop", "vmap", "stack"), work)
    assert len(differences) == 2
    assert max(differences.values()) < 1e-5


def fake(name: str, variants: dict[str, Run], alone: bool = False) -> Peer:
    """Make an engine of functions."""
    return Peer(name, name, lambda work, threads: variants, alone)


class FakeClock:
    """Seconds that pass only while a fake engine works."""

    def __init__(self) -> None:
        self.now = 0.0

    def takes(self, seconds: float, loss: float = 0.01) -> Run:
        """Return an engine that needs so long per member and epoch."""

        def run(work: Work) -> list[float]:
            self.now += seconds * work.members * work.epochs
            return [loss] * work.members

        return run

    @property
    def stopwatch(self) -> Stopwatch:
        """Reads this clock."""
        return Stopwatch(clock=lambda: self.now)


def breaks(work: Work) -> list[float]:  # noqa: ARG001 - as every engine
    """Stand for a compiler that is not there."""
    raise RuntimeError("no compiler\nand a long story")


def test_each_engine_runs_in_its_fastest_variant_and_failures_are_said() -> None:
    """Of two variants the faster is timed, per training of one member; a broken engine is named."""
    clock, said = FakeClock(), list[str]()
    peers = [
        fake("loop", {"1 thread": clock.takes(2.0), "2 threads": clock.takes(3.0)}, alone=True),
        fake("broken", {"": breaks}),
        fake("stack", {"5": clock.takes(0.5, 0.02)}),
    ]
    work = Work("relu", 10, 500)
    found = interleaving.settle(peers, work, 2, clock.stopwatch, said.append)
    timings = interleaving.interleave(found, work, 3, clock.stopwatch, said.append)
    assert [(t.name, t.variant, t.loss) for t in timings] == [
        ("loop", "1 thread", 0.01),
        ("stack", "5", 0.02),
    ]
    assert [t.seconds for t in timings] == [(1000.0,) * 3, (250.0,) * 3]
    assert "broken is left out: RuntimeError: no compiler" in said


def test_the_table_of_peers_is_relative_to_the_loop() -> None:
    """The loop is 1.0x, a peer of half its time 2.0x; cold processes get a column of their own."""
    work = Work("relu", 2, 500)
    timings = [
        Timing("plain loop", "1 thread", (2.0, 1.0, 1.0), 0.1),
        Timing("a peer", "all at once", (0.5,), 0.1),
    ]
    fresh = {"a peer": Cold("batches of 5", (9.0, 2.0, 3.0), 0.1)}
    warm = [line.split(" | ") for line in peer_table.markdown(timings, work, 1e12)[2:]]
    both = [line.split(" | ") for line in peer_table.markdown(timings, work, 1e12, fresh)[2:]]
    assert [line[2] for line in warm] == ["1.0x", "2.0x"]
    assert [line[5] for line in both] == ["- |", "3.0 s (batches of 5) |"]


def test_an_engine_that_learns_something_else_is_named() -> None:
    """Medians over the members must agree, from cold processes too, and be numbers."""
    timings = [
        Timing("loop", "", (1.0,), 9.0),
        *(Timing(name, "", (1.0,), 0.1) for name in ("a", "b")),
        Timing("wrong", "", (1.0,), 0.12),
    ]
    fresh = {"a": Cold("", (1.0,), 0.1), "b": Cold("", (1.0,), math.nan)}
    assert peer_table.disagreeing(timings, ["loop"], fresh) == ["wrong", "b from cold"]


def test_a_cold_process_is_timed_whole_in_its_fastest_variant() -> None:
    """A first process per variant decides and is not counted; a broken engine is left out."""
    clock, said = FakeClock(), list[str]()
    started: list[str] = []

    def process(peer: Peer, variant: str, work: Work, threads: int) -> list[float]:
        started.append(f"{peer.name} {variant}")
        clock.now += 5.0  # start and imports
        return list(peer.variants(work, threads)[variant](work))

    peers = [
        fake("jax", {"batches": clock.takes(0.1), "all": clock.takes(0.2)}),
        fake("broken", {"": breaks}),
        fake("stack", {"1": clock.takes(0.05)}),
    ]
    found = interleaving.time_cold(
        peers, Work("relu", 2, 10), 1, 2, clock.stopwatch, said.append, process
    )
    assert started[:2] == ["jax batches", "jax all"]
    assert started[4:] == ["jax batches", "stack 1"] * 2
    assert found["jax"] == Cold("batches", (7.0, 7.0), 0.01)
    assert found["stack"].seconds == (6.0, 6.0)
    assert "broken is left out of cold processes: RuntimeError: no compiler" in said


def test_a_cold_process_finds_no_compiler_s_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code that another process left on disk is out of its reach."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/kept")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/kept")
    seen: list[dict[str, str]] = []

    def start(command: list[str], env: dict[str, str], **_: object) -> object:
        seen.append(env)
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nModuleNotFoundError: jax")

    monkeypatch.setattr("subprocess.run", start)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^ModuleNotFoundError: jax$"):
            interleaving.in_fresh_process(PEERS[0], "1 thread", Work("relu", 1, 1), 1)
    assert "/kept" not in {value for env in seen for value in env.values()}
    assert seen[0]["TORCHINDUCTOR_CACHE_DIR"] != seen[1]["TORCHINDUCTOR_CACHE_DIR"]


def test_peers_run_as_a_script_from_anywhere(tmp_path: Path) -> None:
    """By its path it finds the package, and lists its options."""
    # By -S it is not installed either.
    words = ("-S", ROOT / "benchmarks" / "peers.py", "--help")
    assert "--cold" in printed(*words, folder=tmp_path, variables={"PYTHONPATH": None})


def test_a_process_of_one_engine_prints_the_losses_of_all_members(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a cold process does is the package's own training."""
    options = "--one stack --members 2 --epochs 3 --activation gelu --variant"
    assert peers.main([*options.split(), "1 thread"]) == 0
    target = targets.noisy_sine()
    members = [Member(seed, initializers.get("torch_default")) for seed in (42, 43)]
    training = train(study_architecture("gelu"), members, Schedule(3), target.x, target.noisy)
    assert json.loads(capsys.readouterr().out) == pytest.approx(training.loss[:, -1].tolist())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--members", "0"], "--members is 0, but must be at least 1"),
        (["--plot", "a.pdf"], "--plot is 'a.pdf', but must end in .png"),
        (["--plot", "a.png", "--cold"], "give one of them"),
        (["--one", "stack"], "--one needs --variant"),
    ],
)
def test_wrong_arguments_of_peers_are_explained(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what was given and what is expected, with exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        peers.main(given)
    assert message in capsys.readouterr().err


def test_peers_load_nothing_heavy_before_an_engine_is_chosen() -> None:
    """JAX's cold process must not pay for torch, nor torch's for what draws."""
    code = (
        "import sys, benchmarks.peers; print(sorted({'torch', 'jax', 'numpy'} & set(sys.modules)))"
    )
    assert printed("-c", code, folder=ROOT) == "[]\n"


def test_two_lengths_tell_what_comes_once_from_an_epoch() -> None:
    """3 s once and 0.2 s per epoch, for 4 members: (3 + 500 x 0.2) / 4."""
    assert scaling.per_training(3 + 100 * 0.2, 3 + 20 * 0.2, (100, 20), 4) == pytest.approx(25.75)


def test_large_counts_get_fewer_epochs() -> None:
    """As many updates in all as 20 members get, but never fewer than ten epochs."""
    assert [scaling.epochs_for(n, 500) for n in (1, 20, 50, 100, 1000)] == [500, 500, 200, 100, 10]


def test_growth_is_that_of_one_round_to_itself() -> None:
    """A machine that is twice as slow in one round changes no ratio; 20 members are 1."""
    times = {1: [9.0, 9.0], 20: [1.0, 2.0], 100: [1.1, 2.2], 1000: [1.2, 2.4]}
    assert scaling.growth(times) == pytest.approx({20: 1.0, 100: 1.1, 1000: 1.2})
    assert scaling.growth({1: [1.0]}) == {}


def test_the_picture_shows_each_engine_and_the_floor(tmp_path: Path) -> None:
    """A line per engine at its medians, and the floor where 500 epochs of products lie."""
    flop = 500 * flop_per_epoch(study_architecture("relu"))
    seconds = {"actbench stack": {1: [0.3, 0.1, 0.2], 20: [0.15] * 3}, "plain loop": {1: [1.0] * 3}}
    found = scaling.Scaling("relu", 2, 3, {1: 500, 20: 500}, {"torch": 10 * flop}, seconds)
    figure = scaling.draw(found, tuple(peer.name for peer in PEERS))
    lines = {line.get_gid(): line for line in figure.axes[0].get_lines()}
    assert np.asarray(lines["engine-actbench stack"].get_ydata()).tolist() == pytest.approx(
        [0.2, 0.15]
    )
    assert np.asarray(lines["floor-torch"].get_ydata()).tolist() == pytest.approx([0.1, 0.1])
    scaling.save(figure, tmp_path / "new" / "engines.png")
    assert (tmp_path / "new" / "engines.png").read_bytes().startswith(b"\x89PNG")
    text = "\n".join(scaling.markdown(found))
    assert "| actbench stack | 0.200 | 0.150 |" in text
    assert "| plain loop | 1.000 | - |" in text


@dataclasses.dataclass
class FakeEvent:
    """What torch's profiler tells of a call."""

    name: str
    self_cpu_time_total: float


def test_a_profile_adds_operations_by_kind_and_takes_the_median_epoch() -> None:
    """Two products of 10 us and a derivative of 4 per epoch; one interrupted epoch is no matter."""
    calls = [("aten::bmm", 10.0), ("aten::bmm", 10.0), ("aten::gelu_backward", 4.0)]
    events = [FakeEvent(*call) for _ in range(5) for call in calls]
    events[1].self_cpu_time_total = 999.0
    events.append(FakeEvent("aten::sum", 7.0))  # once, not of an epoch
    found = profiling.seconds_by_kind(events, 5)
    assert found == pytest.approx({"products": 20e-6, "derivative": 4e-6})


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_profile_knows_every_operation_of_an_epoch(activation: str) -> None:
    """What is not sorted by name does no arithmetic, so Python's share hides none."""
    found = profiling.operations(activation)
    unsorted = {name for name in found if profiling.kind_of(name) == profiling.PYTHON}
    assert {"products", "activation", "derivative", "Adam"} <= {*map(profiling.kind_of, found)}
    assert unsorted <= VIEWS


VIEWS = {
    *("aten::view", "aten::as_strided", "aten::transpose", "aten::mT", "aten::expand"),
    *("aten::resolve_conj", "aten::fill_", "aten::empty_strided", "aten::result_type", "aten::cat"),
    *("aten::to", "aten::_to_copy", "aten::item", "aten::_local_scalar_dense"),
}
"""Operations that look at numbers or copy single ones."""
