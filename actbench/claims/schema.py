"""The JSON Schema of a claims file, for editors that check and complete while one types."""

from __future__ import annotations

import re
from typing import Any

from actbench import metrics, studies
from actbench.claims.claim import Claim, Relation
from actbench.claims.claims_file import ClaimsFile, OwnModel, Protocol
from actbench.claims.published_mean import PublishedMean
from actbench.docstrings import docstring
from actbench.files import strict_json
from actbench.runs.columns import Column

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {"str": "string", "int": "integer", "float": "number"}


def schema() -> dict[str, Any]:
    """Build the schema from the models that read a claims file.

    Returns:
        A JSON Schema; besides the shape it knows every experiment, and every metric with its
        definition and arguments.
    """
    built = ClaimsFile.model_json_schema()
    parts = built["$defs"]
    parts["Protocol"]["properties"]["experiment"]["oneOf"] = [
        {"const": key, "description": experiment.summary}
        for key, experiment in studies.experiments().items()
    ]
    column = Column.model_json_schema()
    _describe(column, Column)
    parts["Claim"]["properties"]["metric"] = {
        "title": "Metric",
        "anyOf": [*(_metric(name) for name in metrics.METRICS), column],
    }
    for model in (Relation, Protocol, OwnModel, PublishedMean, Claim):
        _describe(parts[model.__name__], model)
    _describe(built, ClaimsFile)
    return {"$schema": _DIALECT, **built, "title": "A file of claims for actbench"}


def _describe(part: dict[str, Any], model: type) -> None:
    """Put what a model's docstring says of each field where an editor shows it."""
    doc = docstring(model)
    part["description"], _, rest = doc.partition("\n")
    for name, text_of in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", rest, flags=re.MULTILINE):
        part["properties"][name]["description"] = " ".join(text_of.replace("``", "").split())
        part["properties"][name].pop("title", None)


def _metric(name: str) -> dict[str, Any]:
    wanted = studies.arguments(metrics.METRICS[name])
    arguments = {key: {"type": _TYPES[kind]} for key, kind in wanted.items()}
    return {
        "type": "object",
        "description": metrics.definition(name),
        "properties": {"name": {"const": name}, **arguments},
        "required": ["name", *arguments],
        "additionalProperties": False,
    }


def text() -> str:
    """Return the schema as the file that is shipped, ``baselines/claims.schema.json``."""
    return f"{strict_json(schema())}\n"
