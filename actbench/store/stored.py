"""Files of one schema, read back, and what pydantic found wrong in them, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic_core import ErrorDetails

from actbench.store.errors import ActbenchError, require_schema, unknown_name
from actbench.store.files import read_json

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


_Model = TypeVar("_Model", bound=BaseModel)


def _named(metric: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metric.get("name"), str):
        raise ValueError("a metric needs a name")
    return metric


Metric = Annotated[dict[str, str | int | float], AfterValidator(_named)]
"""Name and arguments of a metric."""

_NOT_FINITE = ("nan", "inf", "-inf")


def _from_json(given: Any) -> Any:
    if given is None:  # so all that is not finite was written before, and read
        return math.inf
    if isinstance(given, str) and given not in _NOT_FINITE:
        raise ValueError(f"write a number or one of {', '.join(map(repr, _NOT_FINITE))}")
    return given


def to_json(value: float) -> float | str:
    """Return a number as JSON has it, by its name where it is not finite."""
    return value if math.isfinite(value) else str(value)


Value = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(_from_json),
    PlainSerializer(to_json),
]
"""What a metric measured: a number, or in JSON, which knows finite ones only, its name."""


def load(model: type[_Model], path: Path, version: int, what: str, remedy: str) -> _Model:
    """Read a file, and check all of it."""
    content = read_json(path, what, remedy)
    require_schema(path, content.get("schema_version"), version, remedy)
    return validated(model, content, path, what, remedy)


def validated(
    model: type[_Model], content: Mapping[str, Any], path: Path, what: str, remedy: str
) -> _Model:
    """Check what was read."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ActbenchError(
            f"can't read {what} in {path}: field {field!r}: {first['msg']}. {remedy}"
        ) from error
