"""What pydantic found wrong in a file, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from actbench.errors import unknown_name

_WANTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "dict_type": "a table",
    "model_type": "a table",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "enum": "{expected}",
    "literal_error": "{expected}",
}
"""Kind of error to what should have been there, with what pydantic knows of it."""


def first(error: ValidationError) -> ErrorDetails:
    """Choose the error to tell of a file.

    A name that is not known comes first: it may be the wanted one with a slip of the pen, which is
    then missing too.
    """
    found = error.errors()
    unknown = (each for each in found if each["type"] == "extra_forbidden")
    return next(unknown, found[0])


def in_words(
    slip: ErrorDetails,
    place: str,
    loc: Sequence[int | str],
    known: Iterable[str],
    wanted: Mapping[str, str],
) -> str:
    """Say what is wrong in one sentence."""
    field = ".".join(str(part) for part in loc)
    if slip["type"] == "extra_forbidden":
        return f"{place}{unknown_name('field', field, known)}"
    if slip["type"] == "missing":
        return f"{place}field {field!r} is missing; add it"
    where = f"{place}field {field!r}" if field else place.removesuffix(", ")
    if slip["type"] == "value_error":
        message = slip["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    text = {**_WANTED, **wanted}.get(slip["type"])
    must_be = slip["msg"] if text is None else text.format(**slip.get("ctx", {}))
    return f"{where} is {_shown(slip['input'])}, but must be {must_be}"


def _shown(given: object) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    text = repr(list(given) if isinstance(given, tuple) else given)
    return text if len(text) <= 60 else f"{text[:57]}..."
