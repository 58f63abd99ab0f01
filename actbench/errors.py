"""The one exception that a user's mistake raises, and how its text is made."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral

_LONGEST_REASON = 300
_MOST_NAMES = 40


class ActbenchError(ValueError):
    """A mistake in what was asked: says what was given, what was expected, what to do.

    The command line prints its text as one line and exits with code 2.
    """


class OtherSchemaError(ActbenchError):
    """A file is whole, but of another version of its schema: it is kept, not replaced."""


def require_schema(path: object, found: object, supported: int, remedy: str) -> None:
    """Refuse a file of another version of its schema."""
    if not isinstance(found, int | Integral):
        raise ActbenchError(f"{path} states no schema version. {remedy}")
    if found != supported:
        raise OtherSchemaError(
            f"{path} has schema version {found}, but this actbench reads version {supported}. "
            f"{'Update actbench' if int(found) > supported else remedy}"
        )


def unknown_name(kind: str, given: object, known: Iterable[str]) -> ActbenchError:
    """Build the error for a name that is not in a registry."""
    names = list(known)
    near = get_close_matches(str(given).lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ActbenchError(f"unknown {kind} {given!r}; known: {listed}{more}.{hint}")


def require_positive_int(name: str, value: object) -> int:
    """Return a whole number of at least 1, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ActbenchError(f"{name} is {value!r}, but must be a whole number of at least 1")
    return value


def one_line(error: Exception) -> str:
    """Name an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
