"""pytest hooks of the benchmarks: where runs are stored, what is compared, and what is said.

pytest-benchmark asks for its hooks in the root ``conftest.py``, which loads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gate
from benchmarks.measuring import Standard

STORAGE = Path(__file__).parents[1] / "baselines" / "timings"
_DEFAULT_STORAGE = "file://./.benchmarks"
_STATE = pytest.StashKey["State"]()


@dataclass
class State:
    """What one session knows about its comparison.

    Args:
        strict: Whether a comparison that judges nothing fails.
        max_slowdown: The gate's factor; none without a gate.
        differences: What differs between this machine and the stored run's, in words.
    """

    strict: bool
    max_slowdown: float | None
    differences: list[str] = field(default_factory=list)

    @property
    def gates(self) -> bool:
        """Whether something is to fail."""
        return self.strict or self.max_slowdown is not None


def _factor(text: str) -> float:
    value = float(text)
    if not value > 1:
        raise ValueError
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    group = parser.getgroup("actbench-benchmarks", "gate on benchmarks")
    group.addoption(
        "--max-slowdown",
        type=_factor,
        metavar="FACTOR",
        help="fail a benchmark that is this many times slower than the stored run, relative to the "
        "controls; above 1, such as 1.3; compares with the last stored run if --benchmark-compare "
        "names none",
    )
    group.addoption(
        "--benchmark-strict",
        action="store_true",
        help="fail if --benchmark-compare or --max-slowdown judged nothing",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Store runs in one place, whatever the current folder; a gate implies a comparison."""
    option = config.option
    if getattr(option, "benchmark_storage", None) == _DEFAULT_STORAGE:
        option.benchmark_storage = f"file://{STORAGE}"
    config.stash[_STATE] = State(option.benchmark_strict, option.max_slowdown)
    if config.stash[_STATE].gates and not getattr(option, "benchmark_compare", True):
        option.benchmark_compare = True


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """Describe what matters for time and does not change from run to run; no host's name."""
    import torch

    from actbench import devices, environment

    device = devices.available()[-1]
    return environment.describe(device, torch.get_num_threads())


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """Keep the commit, without the names of its folder and branch."""
    for name in ("project", "branch"):
        commit_info.pop(name, None)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: Mapping[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    """Note what differs, in place of pytest-benchmark's warning."""
    stored = compared_benchmark.get("machine_info", {})
    config.stash[_STATE].differences = [
        f"{name} {stored.get(name, 'unknown')} there, {machine_info.get(name, 'unknown')} here"
        for name in machine_info
        if stored.get(name) != machine_info.get(name)
    ]
    # The plugin's own check of the same hook would print two whole dictionaries, and stop with an
    # internal error where the current folder is not above the storage. It now sees no difference.
    compared_benchmark["machine_info"] = dict(machine_info)


def _stored(config: pytest.Config) -> dict[str, dict[str, Any]]:
    session = getattr(config, "_benchmarksession", None)
    mapping = getattr(session, "compared_mapping", None) or {}
    found: dict[str, dict[str, Any]] = {}
    for benchmarks in mapping.values():
        found.update(benchmarks)
    return found


def _ran(config: pytest.Config) -> list[Any]:
    session = getattr(config, "_benchmarksession", None)
    return [bench for bench in getattr(session, "benchmarks", []) if bench]


@pytest.fixture
def standard(request: pytest.FixtureRequest) -> Standard:
    """What the stored run says about the benchmark that asks."""
    stored = _stored(request.config).get(request.node.nodeid)
    info = None if stored is None else stored.get("extra_info", {})
    return Standard(info, request.config.stash[_STATE].max_slowdown)


def _counts(config: pytest.Config) -> gate.Counts:
    now = {bench.fullname: bench.extra_info for bench in _ran(config)}
    then = {name: bench.get("extra_info", {}) for name, bench in _stored(config).items()}
    return gate.count(now, then)


def _nothing_judged(config: pytest.Config) -> bool:
    state = config.stash[_STATE]
    main = not hasattr(config, "workerinput")
    return main and state.gates and state.strict and not _counts(config).judged


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a strict gate that judged nothing."""
    if _nothing_judged(session.config) and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print times relative to the controls, and what was compared with what."""
    config = terminalreporter.config
    ran = _ran(config)
    if ran:
        terminalreporter.section("benchmarks relative to the controls timed beside them")
        for line in table(ran, _stored(config)):
            terminalreporter.write_line(line)
    for line in _remarks(config, _benchmarks_reported(terminalreporter)):
        terminalreporter.write_line(f"benchmarks: {line}")
    if _nothing_judged(config):
        terminalreporter.write_line(
            "benchmarks: FAILED, --benchmark-strict was given and nothing was judged", red=True
        )


def _benchmarks_reported(terminalreporter: pytest.TerminalReporter) -> bool:
    """Under xdist only the workers collect; the main process sees their reports."""
    return any(
        Path(report.nodeid.partition("::")[0]).name.startswith("bench_")
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
    )


def _remarks(config: pytest.Config, reported: bool) -> list[str]:
    state = config.stash[_STATE]
    session = getattr(config, "_benchmarksession", None)
    if session is None:
        return []
    lines = []
    if reported and session.disabled:
        why = "tests run in parallel (xdist)" if session.xdist_warning else "of --benchmark-disable"
        lines.append(f"not timed, because {why}")
    if session.compare:
        lines += _compared(config, session, state)
    elif reported and not session.disabled:
        lines.append("not compared; --benchmark-compare compares with the last stored run")
    return lines


def _compared(config: pytest.Config, session: Any, state: State) -> list[str]:
    if not session.compared_mapping:
        asked = "" if session.compare is True else f" that matches {session.compare!r}"
        return [
            f"no run{asked} is stored in {session.storage}; store one with --benchmark-autosave"
        ]
    counts = _counts(config)
    files = ", ".join(str(path) for path in session.compared_mapping)
    lines = [f"compared with {files}: {counts}"]
    if state.differences:
        lines.append(
            "the stored run is of another machine or installation, so only relative times compare: "
            + "; ".join(state.differences)
        )
    if state.max_slowdown is not None and counts.judged:
        lines.append(f"gate at {state.max_slowdown:g} times, relative to the controls")
    return lines


def table(ran: list[Any], stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out the relative times of a session.

    Args:
        ran: pytest-benchmark's results.
        stored: Results of the compared run, by full name.

    Returns:
        Lines: a head, then one per benchmark. "x then" is the slowdown that the gate judges.
    """
    lines = [
        f"{'benchmark':<46}{'seconds':>11}{'x product':>11}{'x loop':>9}"
        f"{'GFLOP/s':>9}{'of peak':>9}{'x then':>8}"
    ]
    for bench in ran:
        info = bench.extra_info
        then = stored.get(bench.fullname, {}).get("extra_info", {})
        found = gate.slowdown(info, then, 1.0)
        lines.append(
            f"{bench.name:<46}{bench.stats.median:>11.3g}"
            f"{_cell(info.get('relative_to_product'), 11, '.3g')}"
            f"{_cell(info.get('relative_to_loop'), 9, '.3g')}"
            f"{_cell(info.get('gflop_per_s'), 9, '.1f')}"
            f"{_cell(info.get('share_of_peak'), 9, '.0%')}"
            f"{_cell(found.factor if found else None, 8, '.2f')}"
        )
    return lines


def _cell(value: float | None, width: int, shape: str) -> str:
    return f"{'-' if value is None else format(value, shape):>{width}}"
