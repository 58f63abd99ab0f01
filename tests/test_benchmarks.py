"""The benchmarks measure what they say, their gate closes, and nothing passes in silence."""

from __future__ import annotations

import json
import math
import random
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from actbench import initializers, targets
from actbench.engines import PlainLoop, StackOf, flop_per_epoch, study_architecture, train_for
from actbench.stopwatch import Stopwatch, synchronizer
from actbench.training import Member, Schedule, train_reference, train_stack
from benchmarks import gate, peers, session

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
    """What was queued before is not counted, what the work queued is."""
    device = AsynchronousDevice()
    device.launch(5.0)
    stopwatch = Stopwatch(device.synchronize, lambda: device.now)
    assert stopwatch.time(lambda: device.launch(2.0)) == pytest.approx(2.0, rel=1e-5)


def test_the_stopwatch_divides_by_units() -> None:
    """Four epochs of two seconds are two seconds per epoch."""
    device = AsynchronousDevice()
    stopwatch = Stopwatch(device.synchronize, lambda: device.now)
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


def test_what_is_timed_is_what_is_used() -> None:
    """The timed loop and stack give the losses of the package's own training, bit for bit."""
    architecture = study_architecture("gelu")
    members = [Member(seed, initializers.get("torch_default")) for seed in (42, 43)]
    target = targets.noisy_sine()
    given = (Schedule(epochs=4), target.x, target.noisy)
    loop = train_for(PlainLoop("gelu", CPU), 4).numpy()
    np.testing.assert_array_equal(
        loop, train_reference(architecture, members[0], *given).loss[:, -1]
    )
    stack = train_for(StackOf(2, "gelu", CPU), 4).numpy()
    np.testing.assert_array_equal(stack, train_stack(architecture, members, *given).loss[:, -1])


def measured(draw: random.Random, slowdown: float = 1.0, machine: float = 1.0) -> dict[str, float]:
    """A run on a machine whose speed swings by 30 % between rounds and 3 % within one."""
    moods = [machine * draw.uniform(0.85, 1.15) for _ in range(7)]

    def seconds(true: float) -> list[float]:
        return [true * mood * draw.uniform(0.985, 1.015) for mood in moods]

    work = seconds(0.5 * slowdown)
    info: dict[str, float] = {}
    for control, true in (("product", 0.1), ("loop", 0.02)):
        ratio, noise = gate.relative(work, seconds(true))
        info |= {f"relative_to_{control}": ratio, f"noise_to_{control}": noise}
    return info


def test_the_gate_passes_clean_runs_and_sees_a_slowdown_of_one_half() -> None:
    """Of 200 clean runs on machines of any speed none fails at 1.3; slowed by 1.5 all do."""
    draw = random.Random(7)  # noqa: S311 - no secrets here
    then = measured(draw)
    for _ in range(200):
        clean = gate.slowdown(measured(draw, machine=draw.uniform(0.2, 5)), then, 1.3)
        slow = gate.slowdown(measured(draw, 1.5), then, 1.3)
        assert clean is not None
        assert slow is not None
        assert not clean.fails
        assert slow.fails


def test_a_noisier_benchmark_gets_a_wider_threshold() -> None:
    """The limit grows with the noise of both runs, added as independent errors."""
    now = {"relative_to_loop": 1.35, "noise_to_loop": 0.03}
    then = {"relative_to_loop": 1.0, "noise_to_loop": 0.04}
    wide = gate.slowdown(now, then, 1.3)
    narrow = gate.slowdown(now | {"noise_to_loop": 0.0}, {"relative_to_loop": 1.0}, 1.3)
    assert wide is not None
    assert narrow is not None
    assert wide.limit == pytest.approx(1.3 * 1.05)
    assert (wide.fails, narrow.fails) == (False, True)


def test_one_disturbed_control_fails_nothing() -> None:
    """A benchmark that keeps pace with one control is not to blame for the other."""
    then = {"relative_to_loop": 1.0, "relative_to_product": 1.0}
    found = gate.slowdown({"relative_to_loop": 2.0, "relative_to_product": 1.0}, then, 1.3)
    assert found is not None
    assert not found.fails


def test_noise_is_that_of_a_median() -> None:
    """For normal values the notch is close to 1.96/sqrt(2) times the median's standard error."""
    draw = np.random.default_rng(5)
    runs = draw.normal(10.0, 0.5, (2000, 9))
    error = np.median(runs, axis=1).std() / 10
    notch = float(np.mean([gate.noise_of_median(run.tolist()) for run in runs]))
    assert 0.8 * error < notch < 2 * error
    assert gate.noise_of_median([1.0]) == 0


@pytest.mark.parametrize(
    ("now", "wrong"),
    [({"final_loss": 0.0105}, False), ({"final_loss": 0.02}, True), ({}, True)],
    ids=["same", "other", "not-a-number"],
)
def test_a_faster_wrong_answer_is_seen(now: dict[str, float], wrong: bool) -> None:
    """The final loss must be the stored one within 10 %; a missing one was not finite."""
    assert (gate.wrong_answer(now, {"final_loss": 0.01}) is not None) == wrong
    assert gate.wrong_answer(now, {}) is None


def test_only_finite_numbers_are_stored() -> None:
    """NaN and infinity, which JSON cannot hold, are left out."""
    assert gate.finite({"a": 1.0, "b": math.nan, "c": math.inf}) == {"a": 1.0}


def test_counts_tell_matched_missing_and_new() -> None:
    """Each name falls into one of three."""
    assert str(gate.count(["a", "b", "c"], ["b", "d"])) == "1 matched, 1 missing, 2 new"


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
import json
from pathlib import Path
import pytest
from benchmarks.measuring import Control, Job, Meter
from actbench.stopwatch import Stopwatch

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

def test_{name}(stopwatch, benchmark, standard):
    controls = {{
        "product": Control(lambda: spend(0.1), flop=8.0),
        "loop": Control(lambda: spend(0.2), units=2),
    }}
    job = Job(lambda: train, units=2, flop=4.0, quality=lambda loss: {{"final_loss": loss}})
    Meter(benchmark, stopwatch, controls, standard)(job)
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
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

    def run(*arguments: str, name: str = "epoch", torch: str = "1.0", **changed: float) -> object:
        settings = {"machine": 1.0, "slowdown": 1.0, "slow_runs": 99, "loss": 0.01, **changed}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "torch.txt").write_text(torch, encoding="utf-8")
        source = BENCH.format(settings=str(folder / "settings.json"), name=name)
        (folder / "bench_fake.py").write_text(source, encoding="utf-8")
        result = pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "-p", "no:hypothesispytest", str(folder), *arguments
        )
        for stream in (result.outlines, result.errlines):
            assert not any("INTERNALERROR" in line or "Traceback" in line for line in stream)
        return result

    return run  # type: ignore[return-value]


def test_numbers_relative_to_the_controls_are_stored(bench: Run, pytester: pytest.Pytester) -> None:
    """0.2 s per epoch are two products, two loop epochs, 20 FLOP/s of the peak's 80."""
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


def test_a_planted_slowdown_fails_as_a_test_and_is_not_stored(
    bench: Run, pytester: pytest.Pytester
) -> None:
    """An engine 1.5 times slower fails at 1.3, in JUnit too, and never becomes the standard."""
    bench("--benchmark-autosave").assert_outcomes(passed=1)
    for _ in range(10):
        bench("--max-slowdown=1.3", "--benchmark-strict").assert_outcomes(passed=1)
    result = bench(
        "--max-slowdown=1.3", "--junit-xml=junit.xml", "--benchmark-save=slow", slowdown=1.5
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1.50 times slower than the stored run*at most 1.30*"])
    failures = ET.parse(pytester.path / "junit.xml").findall(".//failure")  # noqa: S314 - our own
    assert len(failures) == 1
    (stored,) = pytester.path.glob("store/*/*_slow.json")
    assert json.loads(stored.read_text())["benchmarks"] == []


def test_a_slow_moment_and_a_slow_machine_pass(bench: Run) -> None:
    """What does not last through the rerun, and what slows the controls alike, is no slowdown."""
    bench("--benchmark-autosave")
    bench("--max-slowdown=1.3", slowdown=9.0, slow_runs=7).assert_outcomes(passed=1)
    bench("--max-slowdown=1.3", machine=9.0).assert_outcomes(passed=1)
    bench("--max-slowdown=1.3", loss=0.5).assert_outcomes(failed=1)


@pytest.mark.parametrize("option", ["--benchmark-compare", "--max-slowdown=1.3"])
def test_an_empty_store_is_one_line_and_fails_only_if_strict(bench: Run, option: str) -> None:
    """The first run passes and says how to store one; strict, it fails."""
    result = bench(option)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["benchmarks: no run is stored in *; store one with *autosave"])
    strict = bench(option, "--benchmark-strict")
    assert strict.ret == 1
    strict.stdout.fnmatch_lines(["benchmarks: FAILED, *nothing was compared"])


def test_a_renamed_benchmark_is_counted_and_fails_a_strict_gate(bench: Run) -> None:
    """Nothing matches, which pytest-benchmark alone would pass in silence."""
    bench("--benchmark-autosave")
    result = bench("--max-slowdown=1.3", name="renamed")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["benchmarks: compared with *: 0 matched, 1 missing, 1 new"])
    assert bench("--max-slowdown=1.3", "--benchmark-strict", name="renamed").ret == 1
    assert bench("--max-slowdown=1.3", "--benchmark-strict", "--benchmark-disable").ret == 1


def test_a_reference_of_another_system_is_found_and_the_difference_said(
    bench: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the storage root is seen on every machine and from every folder."""
    bench("--benchmark-save=reference")
    (path,) = pytester.path.glob("store/*/0001_reference.json")
    path.rename(pytester.path / "store" / "0001_reference.json")
    monkeypatch.chdir(pytester.mkdir("elsewhere"))
    result = bench("--benchmark-compare", torch="2.0")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "benchmarks: compared with 0001_reference.json: 1 matched, 0 missing, 0 new",
            "benchmarks: the stored run is of another *: torch 1.0 there, 2.0 here",
        ]
    )
    bench("--benchmark-autosave")
    again = bench("--benchmark-compare")
    again.stdout.fnmatch_lines(["benchmarks: compared with */0002_*: 1 matched, *"])
    again.stdout.no_fnmatch_line("*of another*")


def test_parallel_runs_say_that_nothing_was_timed(bench: Run) -> None:
    """Under xdist there is one clear line, and a strict gate fails."""
    bench("--benchmark-autosave")
    result = bench("-n1", "--max-slowdown=1.3", "--benchmark-strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "benchmarks: not timed, because tests run in parallel (xdist)",
            "benchmarks: FAILED, *nothing was compared",
        ]
    )


@pytest.mark.parametrize("text", ["1", "0.5", "nan", "fast"])
def test_a_factor_must_exceed_one(bench: Run, text: str) -> None:
    """A gate that nothing or everything passes is refused."""
    assert bench(f"--max-slowdown={text}").ret == pytest.ExitCode.USAGE_ERROR


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


def test_peers_agree_on_the_loss() -> None:
    """The stack and vmap over autograd follow the plain loop over the first epochs."""
    found = [
        peer
        for peer in peers.peers(1, lambda text: None)
        if "compile" not in peer.name and "JAX" not in peer.name
    ]
    differences = peers.disagreement(found, peers.Work("gelu", 2, 4))
    assert len(differences) == 2
    assert max(differences.values()) < 1e-5


def test_the_table_of_peers_is_relative_to_the_faster_loop() -> None:
    """The loop at the better number of threads is 1.0x; a peer of half its time is 2.0x."""
    work = peers.Work("relu", 2, 500)
    timings = [
        peers.Timing("plain loop, 1 thread", 3.0, (2.0, 1.0, 1.0), 0.1),
        peers.Timing("plain loop, 2 threads", 3.0, (4.0,), 0.1),
        peers.Timing("a peer", 3.0, (0.5,), 0.1),
    ]
    cells = [line.split(" | ") for line in peers.markdown(timings, work, 1e12)[2:]]
    assert [line[3] for line in cells] == ["1.0x", "0.2x", "2.0x"]
