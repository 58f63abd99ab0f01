"""Calls functions of the user's: what they raise is theirs, and they print nothing."""

from __future__ import annotations

from typing import Any

from actbench.errors import ActbenchError
from actbench.own.loading import RAISED, Loaded, in_one_line, listening


def called(loaded: Loaded, *given: object, when: str = "") -> Any:
    """Call a function of the user's."""
    try:
        with listening() as printed:
            result = loaded.thing(*given)
    except RAISED as error:
        raise ActbenchError(f"{loaded.key} raises {in_one_line(error)}{when}; mend it") from error
    if printed.getvalue():
        raise ActbenchError(f"{loaded.key} prints{when or ' when it is called'}; remove the print")
    return result
