"""The claims files of a session, each read once, and a test for each of their claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actbench.errors import ActbenchError
from actbench.pytest_plugin.options import devices_of, value_of
from actbench.pytest_plugin.outcomes import NotReproduced, OwnTest, check_expected
from actbench.pytest_plugin.trainings import trainings_of

if TYPE_CHECKING:
    from actbench.claims import Claim, ClaimsFile

_CLAIMS = pytest.StashKey[dict[Path | None, "ClaimsFile"]]()


def claims_of(config: pytest.Config, path: Path | None = None) -> ClaimsFile:
    """Return the claims of a file, the study's by default, read once per session."""
    from actbench import claims

    known = config.stash.setdefault(_CLAIMS, {})
    if path not in known:
        known[path] = claims.published() if path is None else claims.load(path)
    return known[path]


def check_file(config: pytest.Config, path: Path) -> None:
    """Read a file, check its settings and that its code may run, before anything is collected."""
    from actbench.claims.evidence import check_settings
    from actbench.runs.sources import Sources

    try:
        file = claims_of(config, path)
        sources = Sources(file, allow_code=value_of(config, "allow-code"))
        sources.require_allowed()
        sources.load_own()
        check_settings(file)
    except ActbenchError as error:
        raise pytest.UsageError(str(error)) from error


class ClaimsNode(pytest.File):
    """A claims file; its tests are named after claim and, where there are several, device."""

    def collect(self) -> Iterator[pytest.Item]:
        """Make a test for each claim and device."""
        file = claims_of(self.config, self.path)
        devices = devices_of(self.config)
        for claim in file.claim:
            for device in devices:
                name = claim.id if len(devices) == 1 else f"{claim.id}[{device}]"
                test: pytest.Item = _ClaimTest.from_parent(
                    self, name=name, file=file, claim=claim, device=device
                )
                for mark in marks_of(claim):
                    test.add_marker(mark)
                yield test


class _ClaimTest(OwnTest):
    def __init__(self, *, file: ClaimsFile, claim: Claim, device: str, **node: Any) -> None:
        super().__init__(**node)
        self._subject = (file, claim, device)

    def check(self) -> None:
        file, claim, device = self._subject
        judgment = trainings_of(self.config).judge(self, file, claim, device)
        check_expected(judgment, file, strict=value_of(self.config, "strict"))


def marks_of(claim: Claim) -> list[pytest.MarkDecorator]:
    """Return what the claim's pinned verdict asks of its test."""
    from actbench.claims import Verdict

    if claim.expected is Verdict.NOT_TESTABLE:
        return [pytest.mark.skip(reason=f"not testable: {claim.because}")]
    if claim.expected in (None, Verdict.REPRODUCED):
        return []
    # The summary puts what was judged in place of this reason.
    return [pytest.mark.xfail(raises=NotReproduced, strict=True, reason=claim.because)]
