"""The claims of the further studies, judged as the study's own are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.claims import further_studies
from actbench.pytest_plugin.claim_tests import check_expected

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment

CLAIMS_FILES = further_studies()


def test_claim(judgment: Judgment, claims_file: ClaimsFile) -> None:
    """The claim's verdict is the one that is pinned."""
    check_expected(judgment, claims_file)
