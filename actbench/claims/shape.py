"""What is said of a claims file whose tables are not of the right shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from actbench.claims.claim import Claim, ClaimsFile, Protocol, Relation
from actbench.errors import unknown_name

_MODELS: Mapping[str, type[BaseModel]] = {
    "claim": Claim,
    "protocol": Protocol,
    "relation": Relation,
    "direction": Relation,
}

_WANTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "string_pattern_mismatch": "small letters and digits, with single hyphens between them",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "tables [[claim]], with two brackets",
    "too_short": "one table [[claim]] at least",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt:g}",
    "enum": "{expected}",
    "literal_error": "{expected}",
}
"""Kind of error to what should have been there, with what pydantic knows of it."""


def first_problem(error: ValidationError, content: Mapping[str, Any]) -> str:
    """Name what is wrong in a claims file in plain words.

    A name that is not known comes first: it may be the wanted one with a slip of the pen, which is
    then missing too.

    Args:
        error: What pydantic found.
        content: The file, as TOML reads it.

    Returns:
        One sentence with claim or protocol, field, what was given and what is expected.
    """
    found = error.errors()
    unknown = (each for each in found if each["type"] == "extra_forbidden")
    first = next(unknown, found[0])
    place, loc, model = _place(list(first["loc"]), content)
    field = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden":
        *tables, name = (str(part) for part in loc)
        for table in tables:
            place, model = f"{place}{table}, ", _MODELS[table]
        return f"{place}{unknown_name('field', name, model.model_fields)}"
    if first["type"] == "missing":
        return f"{place}field {field!r} is missing; add it"
    where = f"{place}field {field!r}" if field else place.removesuffix(", ")
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    return f"{where} is {_shown(first['input'])}, but must be {_wanted(first)}"


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


def _shown(given: object) -> str:
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wanted(error: ErrorDetails) -> str:
    wanted = _WANTED.get(error["type"])
    return error["msg"] if wanted is None else wanted.format(**error.get("ctx", {}))
