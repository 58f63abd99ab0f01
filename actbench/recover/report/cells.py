"""The cells of a result's tables, which the terminal and the page share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actbench.recover.numbers import Printed
from actbench.recover.outcome import Found, Result

NUMBERS = ("number", "published", "found", "digits agreed", "matches")
NEAREST = ("number", "published", "nearest", "digits", "looked at", "by chance")


def numbers_rows(result: Result, found: Found) -> Iterator[tuple[str, ...]]:
    """List what a protocol gives for every number.

    Args:
        result: Where it was found.
        found: The protocol.

    Returns:
        Rows under ``NUMBERS``; the last cell is ``"yes"`` or ``"NO"``.
    """
    values = zip(result.search["number"], found.values, found.digits, found.matches, strict=True)
    for number, value, digits, matches in values:
        yield (
            number["activation"],
            number["published"],
            value_in_words(value),
            f"{digits} of {_digits(number)}",
            "yes" if matches else "NO",
        )


def nearest_rows(result: Result) -> Iterator[tuple[str, ...]]:
    """List how near any protocol comes to each number by itself.

    Args:
        result: The result.

    Returns:
        Rows under ``NEAREST``.
    """
    columns = zip(
        result.search["number"], result.nearest, result.evaluated, result.chance.shares, strict=True
    )
    for number, nearest, evaluated, share in columns:
        yield (
            number["activation"],
            number["published"],
            value_in_words(nearest.value) if evaluated else "not looked at",
            f"{nearest.digits} of {_digits(number)}",
            f"{evaluated:,}",
            f"{100 * share:.2g} %",
        )


def _digits(number: Mapping[str, Any]) -> int:
    return Printed(number["published"]).digits


def value_in_words(value: float | None) -> str:
    """Write a value that a protocol gives.

    Args:
        value: ``None`` where it is not finite.

    Returns:
        Nine digits.
    """
    return "not finite" if value is None else f"{value:.9g}"


def choice_in_words(choice: Any) -> str:
    """Write one choice of a setting.

    Args:
        choice: As the search file has it: text, a number, a list or a table.

    Returns:
        One line.
    """
    if isinstance(choice, Mapping):
        return "; ".join(f"{key}: {choice_in_words(value)}" for key, value in choice.items())
    if isinstance(choice, list | tuple):
        return " ".join(map(choice_in_words, choice))
    return f"{choice:g}" if isinstance(choice, float) else str(choice)
