"""One test per claim and device, marked as the claim's pinned verdict asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actbench.pytest_plugin.claims_files import ClaimsModule, claims_of
from actbench.pytest_plugin.options import devices_of
from actbench.pytest_plugin.outcomes import NotReproduced

if TYPE_CHECKING:
    from actbench.claims import Claim, ClaimsFile


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per claim and device to whoever asks for the fixture ``judgment``.

    The claims are the study's, in a module with a list ``CLAIMS_FILES`` those files', and in a
    file of --claims its own.
    """
    if "judgment" not in metafunc.fixturenames or "claim" not in metafunc.fixturenames:
        return
    module = metafunc.definition.getparent(pytest.Module)
    files: Sequence[Path | None] = getattr(metafunc.module, "CLAIMS_FILES", (None,))
    if isinstance(module, ClaimsModule):
        files = (module.path.resolve(),)
    metafunc.parametrize(
        ("claims_file", "claim"),
        [
            pytest.param(path, claim, id=_id(path, claim, files), marks=_marks(file, claim))
            for path in files
            for file in [claims_of(metafunc.config, path)]
            for claim in file.claim
        ],
        indirect=["claims_file"],
    )
    several = devices_of(metafunc.config)
    if len(several) > 1:
        metafunc.parametrize("training_device", several, indirect=True)


def _id(path: Path | None, claim: Claim, files: Sequence[Path | None]) -> str:
    return claim.id if path is None or len(files) == 1 else f"{path.stem}:{claim.id}"


def _marks(claims: ClaimsFile, claim: Claim) -> list[pytest.MarkDecorator]:
    from actbench.claims import Verdict

    marks = [pytest.mark.claim]
    if claim.protocol is not None and claims.protocol[claim.protocol].slow:
        marks.append(pytest.mark.slow)
    if claim.expected is Verdict.NOT_TESTABLE:
        marks.append(pytest.mark.skip(reason=f"not testable: {claim.because}"))
    elif claim.expected is not Verdict.REPRODUCED:
        marks.append(
            pytest.mark.xfail(raises=NotReproduced, strict=True, reason=_reason(claims, claim))
        )
    return marks


def _reason(claims: ClaimsFile, claim: Claim) -> str:
    """Published, measured and why; measured from the store, as nothing has run yet."""
    from actbench.claims.evidence import judge_one
    from actbench.errors import ActbenchError

    try:
        stored = judge_one(claims, claim, lambda protocol: None).sentence
    except ActbenchError:
        stored = "nothing stored yet"
    return f"{claim.expected}: {stored}. {claim.because}"
