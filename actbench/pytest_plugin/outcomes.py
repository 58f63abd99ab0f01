"""How a test of ours ends; a claim's, as its verdict says, against the one that is pinned."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actbench.errors import ActbenchError

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
