"""Reads back the JSON files that this package writes, each of one schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError

from actbench.errors import ActbenchError, require_schema
from actbench.files import read_json

_Model = TypeVar("_Model", bound=BaseModel)


def _named(metric: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metric.get("name"), str):
        raise ValueError("a metric needs a name")
    return metric


Metric = Annotated[dict[str, str | int | float], AfterValidator(_named)]
"""Name and arguments of a metric."""


def load(model: type[_Model], path: Path, version: int, what: str, remedy: str) -> _Model:
    """Read a file, and check all of it.

    Args:
        model: What it holds.
        path: The file.
        version: Of the schema that is read here.
        what: What it is, such as ``"the robustness map"``.
        remedy: What to do where it can't be used, a sentence without its period.

    Returns:
        Its content.

    Raises:
        ActbenchError: It is missing, damaged or of another schema; names file and field.
    """
    content = read_json(path, what, remedy)
    require_schema(path, content.get("schema_version"), version, remedy)
    return validated(model, content, path, what, remedy)


def validated(
    model: type[_Model], content: Mapping[str, Any], path: Path, what: str, remedy: str
) -> _Model:
    """Check what was read.

    Args:
        model: What it must be.
        content: As it was read.
        path: The file, for the error, as the others.
        what: What it is.
        remedy: What to do.

    Returns:
        The content.

    Raises:
        ActbenchError: Something in it is wrong; names file and field.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ActbenchError(
            f"can't read {what} in {path}: field {field!r}: {first['msg']}. {remedy}"
        ) from error
