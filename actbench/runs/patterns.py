"""Regular expressions that a claims file gives behind a prefix, ``path:`` for one."""

from __future__ import annotations

import re

from actbench.errors import ActbenchError


def grouped(field: str, given: str, prefix: str, wanted: str, example: str) -> re.Pattern[str]:
    """Read the expression behind a prefix."""
    try:
        pattern = re.compile(given.removeprefix(prefix).strip())
    except re.error as error:
        raise ActbenchError(f"{field} = {given!r} is no regular expression: {error}") from error
    if not pattern.groups:
        raise ActbenchError(
            f"{field} = {given!r} has no group for the {wanted}; put it in brackets, such as "
            f"'{prefix} {example}'"
        )
    return pattern
