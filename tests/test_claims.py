"""Every documented claim of the study, judged over many seeds: the heart of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.pytest_plugin.claim_tests import check_expected

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment


def test_claim(judgment: Judgment) -> None:
    """The claim's verdict is the one that is pinned."""
    check_expected(judgment)
