"""The gate in a stranger's project: what became slower fails, and nothing else does."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from actbench.pytest_plugin import gate
from actbench.pytest_plugin.slowdowns import Slowdown, numbers, slowdown

pytest_plugins = ["pytester"]


def measured(draw: random.Random, slowdown: float = 1.0, machine: float = 1.0) -> dict[str, float]:
    """A run on a machine whose speed swings by 30 % between rounds and 3 % within one."""
    moods = [machine * draw.uniform(0.85, 1.15) for _ in range(7)]

    def seconds(true: float) -> list[float]:
        return [true * mood * draw.uniform(0.985, 1.015) for mood in moods]

    work = seconds(0.5 * slowdown)
    info: dict[str, float] = {}
    for control, true in (("product", 0.1), ("loop", 0.02)):
        info |= numbers(work, {control: seconds(true)}, paired=True)
    return info


def test_the_gate_passes_clean_runs_and_sees_a_slowdown_of_one_half() -> None:
    """Of 200 clean runs on machines of any speed none fails at 1.3; slowed by 1.5 all do."""
    draw = random.Random(7)  # noqa: S311 - no secrets here
    then = measured(draw)
    for _ in range(200):
        clean = slowdown(measured(draw, machine=draw.uniform(0.2, 5)), then, 1.3)
        slow = slowdown(measured(draw, 1.5), then, 1.3)
        assert clean is not None
        assert slow is not None
        assert not clean.fails
        assert slow.fails


LOOP = {"relative_to_loop": 1.0}
BOTH = LOOP | {"relative_to_product": 1.0}


@pytest.mark.parametrize(
    ("now", "then", "found"),
    [
        # The limit is twice the noise of both runs, as independent errors, where that is more.
        (
            {"relative_to_loop": 1.35, "noise_to_loop": 0.12},
            LOOP | {"noise_to_loop": 0.16},
            Slowdown("loop", 1.35, 1.4),
        ),
        ({"relative_to_loop": 1.35, "noise_to_loop": 0.0}, LOOP, Slowdown("loop", 1.35, 1.3)),
        # A benchmark that keeps pace with one control is not to blame for the other.
        (BOTH | {"relative_to_loop": 2.0}, BOTH, Slowdown("product", 1.0, 1.3)),
        # A control too noisy to tell excuses nothing: the quiet one alone decides.
        (
            {"relative_to_loop": 1.5, "noise_to_loop": 0.6, "relative_to_product": 1.5},
            BOTH,
            Slowdown("product", 1.5, 1.3),
        ),
        ({"relative_to_loop": 1.0}, {"relative_to_product": 1.0}, None),
    ],
)
def test_the_control_that_excuses_most_decides(
    now: dict[str, float], then: dict[str, float], found: Slowdown | None
) -> None:
    """It alone, among those quiet enough; without one in both runs nothing is judged."""
    told = slowdown(now, then, 1.3)
    assert (told and told.control) == (found and found.control)
    if told and found:
        assert (told.factor, told.limit) == pytest.approx((found.factor, found.limit))
        assert told.fails is (found.factor > found.limit)


def test_a_control_of_no_seconds_is_left_out() -> None:
    """A clock that sees nothing divides nothing."""
    assert numbers([1.0, 1.0], {"a": [0.0, 1.0], "b": [2.0, 2.0]}, paired=False).keys() == {
        *("relative_to_b", "noise_to_b", "b_seconds")
    }


# Inner runs. Time is the reading of a fake clock; a control takes as long as reading it does.

CLOCK = """
import json
import random
from pathlib import Path

settings = json.loads((Path(__file__).parent / "settings.json").read_text())
draw = random.Random(settings["seed"])
now, measurings = 0.0, {}

def timer():
    global now
    now += 0.001 * settings["machine"] * draw.uniform(0.98, 1.02)
    return now

def work(name, seconds):
    global now
    measurings[name] = measurings.get(name, 0) + 1
    slow = settings["slow"].get(name, 1.0) if measurings[name] <= settings["slow_calls"] else 1.0
    now += seconds * slow * settings["machine"] * draw.uniform(0.98, 1.02)
"""
BENCHMARKS = """
import pytest
from clock import work

def test_plain(benchmark):
    benchmark(work, "plain", 0.1)

@pytest.mark.parametrize("size", [1, 2])
def test_sized(benchmark, size):
    benchmark.pedantic(work, (f"sized-{size}", 0.2 * size), rounds=6)

def test_set_up(benchmark):
    benchmark.pedantic(work, setup=lambda: (("set_up", 0.3), {}), rounds=6, warmup_rounds=1)

def test_without(): pass
"""
GATE = "--actbench-max-slowdown=1.3"
Project = Callable[..., pytest.RunResult]


@pytest.fixture
def project(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    no_other_plugins: None,  # noqa: ARG001 - for what it sets
) -> Project:
    """Run a stranger's benchmarks: `machine` and `slow` are factors, the latter by name."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(gate, "_BESIDE", 3)  # as many readings of a fake clock are enough
    pytester.makepyfile(clock=CLOCK, test_mine=BENCHMARKS)
    pytester.syspathinsert()

    def run(*arguments: str, **changed: Any) -> pytest.RunResult:
        settings = {"seed": 7, "machine": 1.0, "slow": {}, "slow_calls": 9999, **changed}
        (pytester.path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        result = pytester.runpytest_inprocess(
            *("-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "-p", "xdist.plugin"),
            *("-p", "actbench.pytest_plugin", "--benchmark-timer=clock.timer", *arguments),
        )
        sys.modules.pop("clock", None)
        assert not any("INTERNALERROR" in line for line in result.outlines + result.errlines)
        return result

    return run


@pytest.mark.slow
@pytest.mark.parametrize("stored", [(GATE,), ()], ids=["with-controls", "without"])
def test_ten_clean_runs_pass_and_a_planted_slowdown_fails(
    project: Project, stored: tuple[str, ...]
) -> None:
    """Each of the kinds of benchmarks, whether or not the stored run had controls."""
    project("--benchmark-autosave", *stored).assert_outcomes(passed=5)
    for seed in range(10):
        clean = project("--benchmark-compare", GATE, "--actbench-strict", seed=seed)
        assert clean.ret == 0
        clean.stdout.fnmatch_lines(["benchmarks: compared *: 4 compared, 0 missing, 0 new, 0 exc*"])
    for name in ("plain", "sized-2", "set_up"):
        slow = project("--benchmark-compare", GATE, "--benchmark-json=now.json", slow={name: 1.5})
        slow.assert_outcomes(passed=4, failed=1)
        slow.stdout.fnmatch_lines(
            ["1.[45]* times slower than the stored run, *", "*1 slower than *"]
        )
    said = any("has no controls" in line for line in slow.outlines)
    assert said == (not stored)


def test_a_slow_machine_and_a_slow_moment_are_excused(
    project: Project, pytester: pytest.Pytester
) -> None:
    """Controls as slow, or a rerun that is as fast as before; what stays slower is not stored."""

    def stored() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((pytester.path / "now.json").read_text())[
            "benchmarks"
        ]
        return found

    project("--benchmark-autosave", GATE)
    result = project(GATE, machine=3.0)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*: 4 compared, 0 missing, 0 new, 4 excused, 0 slower than 1.3*"])
    result = project(GATE, "--benchmark-json=now.json", slow={"set_up": 5.0}, slow_calls=7)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*: 4 compared, 0 missing, 0 new, 1 excused, 0 slower than 1.3*"])
    rerun = [bench["extra_info"].get("confirming_rerun", False) for bench in stored()]
    assert rerun == [False, False, False, True]
    project(GATE, "--benchmark-json=now.json", slow={"plain": 1.5})
    assert [b["name"] for b in stored()] == ["test_sized[1]", "test_sized[2]", "test_set_up"]
    assert all(bench["extra_info"]["relative_to_hash"] > 0 for bench in stored())


def test_a_stored_run_of_another_machine_without_controls_is_not_compared(
    project: Project, pytester: pytest.Pytester
) -> None:
    """Seconds of two machines say nothing; a strict gate then fails, another says so."""
    project("--benchmark-autosave")
    (path,) = pytester.path.glob(".benchmarks/*/0001_*.json")
    stored = json.loads(path.read_text())
    stored["machine_info"]["node"] = "elsewhere"
    path.write_text(json.dumps(stored))
    assert project(GATE).ret == 0
    result = project(GATE, "--actbench-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*: 0 compared, 0 missing, 0 new, *",
            "*not compared, *::test_plain: no control is in both runs, and the machines differ",
            "*another machine or installation*: node elsewhere there, *",
            "benchmarks: FAILED, *nothing was compared",
        ]
    )


def test_counts_and_empty_comparisons_are_said(project: Project, pytester: pytest.Pytester) -> None:
    """Missing, new and one-round benchmarks are counted; nothing at all fails only if strict."""
    first = project(GATE, "--benchmark-autosave")
    assert first.ret == 0
    first.stdout.fnmatch_lines(["benchmarks: nothing was compared: no run is stored in *autosave"])
    assert project(GATE, "-k", "without", "--actbench-strict").ret == pytest.ExitCode.TESTS_FAILED
    renamed = BENCHMARKS.replace("test_plain", "test_renamed").replace(", rounds=6)", ")")
    pytester.makepyfile(test_mine=renamed)
    result = project(GATE)
    result.stdout.fnmatch_lines(
        ["*: 1 compared, 1 missing, 1 new, *", "*not compared, *sized?1?: one round, which *"]
    )
    for argument, why in (
        ("-n1", "tests run in parallel*"),
        ("--benchmark-disable", "of --bench*"),
    ):
        result = project(GATE, argument, "--actbench-strict")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"benchmarks: not timed, because {why}", "*FAILED, *"])


def test_wrong_usage_is_one_line(pytester: pytest.Pytester, project: Project) -> None:
    """No pytest-benchmark, or a factor that everything or nothing passes."""
    for text in ("1", "0.5", "nan", "inf", "fast"):
        assert project(f"--actbench-max-slowdown={text}").ret == pytest.ExitCode.USAGE_ERROR
    result = pytester.runpytest_inprocess("-p", "actbench.pytest_plugin", GATE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *pip install pytest-benchmark"])
