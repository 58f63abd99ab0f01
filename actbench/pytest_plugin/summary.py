"""The verdicts at the end of a session."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from actbench.pytest_plugin.outcomes import NotReproduced

_LOW_MARGIN = 2.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of an expected failure what was measured now, not what is stored."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(NotReproduced):
        report.wasxfail = str(call.excinfo.value)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the verdicts, and name the claims that are close to flipping."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", [])
        if key == "actbench" and getattr(report, "when", "") == "call"
    ]
    if not rows:
        return
    terminalreporter.section("claims")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    terminalreporter.write_line(", ".join(f"{n} {v}" for v, n in sorted(counts.items())))
    stored = sorted(row["id"] for row in rows if row["stored"])
    if stored:
        terminalreporter.write_line(
            f"judged from stored measurements (--actbench-slow trains them): {', '.join(stored)}"
        )
    for row in sorted(rows, key=lambda r: r["margin"] or 0):
        if row["margin"] is not None and row["kind"] != "equals" and row["margin"] < _LOW_MARGIN:
            terminalreporter.write_line(
                f"margin {row['margin']:.2f}x: {row['id']} ({row['verdict']})"
            )
