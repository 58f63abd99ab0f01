"""Claims: data in a file, judged by one function.

A file is read by ``load`` into a ``ClaimsFile`` of claims (``claim``) and protocols, whose names
are looked up (``references``). What a claim's metric gives of a dataset (``metrics``), or gave when
it was stored (``measured``), is judged by ``verdicts.judge_values``, with the intervals of
``statistics``; beside its verdict stand the published value (``published_value``) and how likely
new runs are to end in another one (``redraws``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from actbench.claims.claim import Claim, Relation, Verdict
from actbench.claims.claims_file import ClaimsFile, Protocol, first_problem
from actbench.store.errors import ActbenchError
from actbench.store.files import read_toml
from actbench.store.studies import shipped

__all__ = [
    "Claim",
    "ClaimsFile",
    "Protocol",
    "Relation",
    "Verdict",
    "final_loss_claims",
    "further_studies",
    "load",
    "published",
]


def final_loss_claims(claims: ClaimsFile, protocol: str = "stated") -> dict[str, Claim]:
    """Pick the claims about final losses that the study states first, by activation."""
    chosen: dict[str, Claim] = {}
    for claim in claims.claim:
        about = claim.protocol == protocol and claim.metric.get("name") == "final_mse"
        if about and claim.activation and claim.published_value:
            chosen.setdefault(claim.activation, claim)
    return chosen


def load(path: Path) -> ClaimsFile:
    """Read and validate a file of claims."""
    content = read_toml(path, "the claims", "docs/own_study.md shows how to write one")
    try:
        loaded = ClaimsFile.model_validate(content)
    except ValidationError as error:
        raise ActbenchError(f"{path}: {first_problem(error, content)}") from error
    from actbench.claims.references import problems

    for problem in problems(loaded):
        raise ActbenchError(f"{path}: {problem}")
    loaded._path = path
    return loaded


def published() -> ClaimsFile:
    """Return the study's claims, as shipped with the package."""
    path = shipped().claims
    if path is None:
        raise ActbenchError("the study that comes with actbench has no claims. Install it again")
    return _published(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _published(path: Path, changed: int) -> ClaimsFile:  # noqa: ARG001 - of the key
    return load(path)


def further_studies() -> tuple[Path, ...]:
    """Return the claims files of other studies that are shipped with the package."""
    return shipped().further
