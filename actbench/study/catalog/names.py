"""Whether a name that a claims file gives is one of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actbench.claims.references import instead
from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers


def setting_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Say which settings of a protocol name what is not there."""
    for name in _listed(settings.get("activations")):
        if problem := argument_problem("activation", name):
            yield f"field 'settings.activations': {problem}"
    for setting in ("initializer", "initializers", "trained_initializers"):
        for name in _listed(settings.get(setting)):
            if problem := argument_problem("initializer", name):
                yield f"field 'settings.{setting}': {problem}"


def argument_problem(argument: str, value: object) -> str | None:
    """Say what is wrong with the name that an argument of a metric gives."""
    if argument in ("activation", "over"):
        known = (*activations.ACTIVATIONS, *activations.FURTHER)
        if ":" not in str(value) and value not in known:
            return f"there is no activation {value!r}. {instead(value, known)}"
    if argument == "initializer":
        try:
            initializers.get(str(value))
        except ActbenchError as error:
            return str(error)
    return None


def _listed(given: object) -> list[object]:
    return given if isinstance(given, list) else [given] if isinstance(given, str) else []
