"""Claims: data in a file, judged by one function, listed in a ledger."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actbench.claims.claim import Claim, ClaimsFile, Protocol, Relation, Verdict
from actbench.errors import ActbenchError
from actbench.files import baselines_folder

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


def final_loss_claims(claims: ClaimsFile) -> dict[str, Claim]:
    """Pick the claims about final losses that the study states first, by activation.

    Args:
        claims: The study's claims.

    Returns:
        Activation key to the first claim in the file about its ``final_mse``.
    """
    chosen: dict[str, Claim] = {}
    for claim in claims.claim:
        if claim.metric.get("name") == "final_mse" and claim.activation and claim.published:
            chosen.setdefault(claim.activation, claim)
    return chosen


def load(path: Path) -> ClaimsFile:
    """Read and validate a file of claims.

    Args:
        path: A TOML file with ``study``, tables ``[protocol.NAME]`` and tables ``[[claim]]``.

    Returns:
        Its content.

    Raises:
        ActbenchError: The file can't be read, or something in it is wrong; names file, claim and
            field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ActbenchError(f"can't read the claims in {path}: {error}") from error
    try:
        loaded = ClaimsFile.model_validate(content)
    except ValidationError as error:
        raise ActbenchError(f"{path}: {_first_problem(error, content)}") from error
    from actbench.claims.references import problems

    for problem in problems(loaded):
        raise ActbenchError(f"{path}: {problem}")
    loaded._path = path
    return loaded


def _first_problem(error: ValidationError, content: dict[str, Any]) -> str:
    first = error.errors()[0]
    loc = list(first["loc"])
    where = ""
    if loc[:1] == ["claim"] and len(loc) > 1 and isinstance(loc[1], int):
        table = content["claim"][loc[1]]
        named = table.get("id") if isinstance(table, dict) else None
        where = f"claim {named or f'number {loc[1] + 1}'!r}, "
        loc = loc[2:]
    field = ".".join(str(part) for part in loc)
    return f"{where}field {field!r}: {first['msg']}" if field else f"{where}{first['msg']}"


def published() -> ClaimsFile:
    """Return the study's claims, as shipped with the package.

    Returns:
        The content of ``baselines/published.toml``.
    """
    return load(baselines_folder() / "published.toml")


def further_studies() -> tuple[Path, ...]:
    """Return the claims files of other studies that are shipped with the package.

    Returns:
        Their paths, sorted by name.
    """
    return tuple(sorted((baselines_folder() / "studies").glob("*.toml")))
