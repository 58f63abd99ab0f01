"""Reads back the JSON files that this package writes, each of one schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

from actbench.errors import ActbenchError, require_schema
from actbench.files import read_json

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
