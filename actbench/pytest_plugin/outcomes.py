"""How a test of a claim ends, and the verdicts at the end of a session."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment


class OwnTest(pytest.Item):
    """A test that is no Python function, so that no project's rules for those apply to it."""

    @abstractmethod
    def check(self) -> None:
        """Do what is to be tested; an ``ActbenchError`` fails the test in one line."""

    def runtest(self) -> None:
        """Run the check."""
        try:
            self.check()
        except ActbenchError as error:
            mistake = str(error)
        else:
            return
        pytest.fail(mistake, pytrace=False)  # outside, so that the line stands alone

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where it stands; pytest wants a line for what is skipped."""
        return self.path, 0, self.name


class NotReproduced(AssertionError):  # noqa: N818 - the name of a finding, not of an error
    """The verdict is the expected one, and it is not that the claim holds."""


def check_expected(
    judgment: Judgment, file: ClaimsFile | None = None, *, strict: bool = False
) -> None:
    """End a claim's test as its verdict says."""
    from actbench.claims import Verdict

    claim = judgment.claim
    if not judgment.as_expected:
        if judgment.lacks_runs and not strict:
            pytest.skip(f"needs {judgment.seeds_needed} seeds, {judgment.seeds} were run")
        look_at = f"actbench claims show {claim.id}"
        if file is not None and not file.of_the_study:
            look_at = f"actbench verify {shlex.quote(str(file.path))}"
        pytest.fail(
            f"{claim.id} is {judgment.verdict}, but {claim.expected} was expected.\n"
            f"claim:    {claim.statement}\n"
            f"measured: {judgment.sentence}\n"
            f"look at:  {look_at}",
            pytrace=False,
        )
    if claim.expected is not None and judgment.verdict is not Verdict.REPRODUCED:
        raise NotReproduced(f"{judgment.verdict}: {judgment.sentence}. {claim.because}")


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
