"""What is said of a claims file whose tables are not of the right shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from actbench import slips
from actbench.claims.claim import Claim, Relation
from actbench.claims.claims_file import ClaimsFile, Protocol

_MODELS: Mapping[str, type[BaseModel]] = {
    "claim": Claim,
    "protocol": Protocol,
    "relation": Relation,
    "direction": Relation,
}

_WANTED = {
    "string_pattern_mismatch": "small letters and digits, with single hyphens between them",
    "tuple_type": "tables [[claim]], with two brackets",
    "too_short": "one table [[claim]] at least",
}


def first_problem(error: ValidationError, content: Mapping[str, Any]) -> str:
    """Name what is wrong in a claims file in plain words."""
    first = slips.first(error)
    place, loc, model = _place(list(first["loc"]), content)
    if first["type"] == "extra_forbidden":
        for table in map(str, loc[:-1]):
            place, model = f"{place}{table}, ", _MODELS[table]
        loc = loc[-1:]
    return slips.in_words(first, place, loc, model.model_fields, _WANTED)


def _place(
    loc: list[int | str], content: Mapping[str, Any]
) -> tuple[str, list[int | str], type[BaseModel]]:
    """Which claim or protocol, the rest of the way to the field, and the model it belongs to."""
    if len(loc) > 1 and loc[0] == "claim" and isinstance(loc[1], int):
        table = content["claim"][loc[1]]
        named = table.get("id") if isinstance(table, dict) else None
        return f"claim {named or f'number {loc[1] + 1}'!r}, ", loc[2:], Claim
    if len(loc) > 1 and loc[0] == "protocol":
        return f"protocol {loc[1]!r}, ", loc[2:], Protocol
    return "", loc, ClaimsFile
