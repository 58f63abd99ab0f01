"""pytest hooks of the benchmarks: where runs are stored, what is compared, and what is said.

pytest-benchmark asks for its hooks in the root ``conftest.py``, which loads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actbench.pytest_plugin import value_of
from actbench.pytest_plugin.gate import Gate
from actbench.pytest_plugin.slowdowns import slowdown

STORAGE = Path(__file__).parents[1] / "baselines" / "timings"
_DEFAULT_STORAGE = "file://./.benchmarks"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Store runs in one place, whatever the current folder; time controls even without a gate."""
    option = config.option
    if getattr(option, "benchmark_storage", None) == _DEFAULT_STORAGE:
        option.benchmark_storage = f"file://{STORAGE}"
    if hasattr(option, "benchmark_storage") and value_of(config, "max-slowdown") is None:
        config.pluginmanager.register(Gate(config))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """Describe what matters for time and does not change from run to run; no host's name."""
    import torch

    from actbench.store import environment
    from actbench.study.nets import devices

    device = devices.available()[-1]
    return environment.describe(device, torch.get_num_threads())


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """Keep the commit, without the names of its folder and branch."""
    for name in ("project", "branch"):
        commit_info.pop(name, None)


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """``extra_info`` that a gate's stored run has of the benchmark that asks; empty without one."""
    if value_of(request.config, "max-slowdown") is None:
        return {}
    stored = _stored(request.config).get(request.node.nodeid, {})
    found: Mapping[str, Any] = stored.get("extra_info", {})
    return found


def _stored(config: pytest.Config) -> Mapping[str, Mapping[str, Any]]:
    (gate,) = (plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, Gate))
    return gate.stored


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print times relative to the controls."""
    config = terminalreporter.config
    session: Any = getattr(config, "_benchmarksession", None)
    ran = [bench for bench in getattr(session, "benchmarks", []) if bench]
    if not ran:
        return
    terminalreporter.section("benchmarks relative to the controls timed beside them")
    for line in table(ran, _stored(config)):
        terminalreporter.write_line(line)
    if not session.compare:
        terminalreporter.write_line(
            "benchmarks: not compared; --benchmark-compare compares with the last stored run"
        )


def table(ran: list[Any], stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out the relative times of a session."""
    lines = [
        f"{'benchmark':<46}{'seconds':>11}{'x product':>11}{'x loop':>9}"
        f"{'GFLOP/s':>9}{'of peak':>9}{'x then':>8}"
    ]
    for bench in ran:
        info = bench.extra_info
        then = stored.get(bench.fullname, {}).get("extra_info", {})
        found = slowdown(info, then, 1.0)
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
