"""The cells of a result's tables, which the terminal and the page share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from actbench.recover.numbers import Printed
from actbench.recover.outcome import Found, Result
from actbench.recover.scrutiny import Part
from actbench.recover.space import MORE_HIDDEN

NUMBERS = ("number", "published", "found", "digits agreed", "matches")
_IN_PERCENT = 1e-3
PARTS = ("part", "other seeds that give it", "over the space", "what rounding makes of it")
NEAREST = ("number", "published", "nearest", "digits", "looked at", "by chance")


def numbers_rows(result: Result, found: Found) -> Iterator[tuple[str, ...]]:
    """List what a protocol gives for every number."""
    values = zip(result.search["number"], found.values, found.digits, found.matches, strict=True)
    for number, value, digits, matches in values:
        yield (
            number_in_words(number),
            number["published"],
            value_in_words(value),
            f"{digits} of {_digits(number)}",
            "not asked" if number["digits"] == 0 else "yes" if matches else "NO",
        )


def nearest_rows(result: Result) -> Iterator[tuple[str, ...]]:
    """List how near any protocol comes to each number by itself."""
    columns = zip(
        result.search["number"], result.nearest, result.evaluated, result.chance.shares, strict=True
    )
    for number, nearest, evaluated, share in columns:
        yield (
            number_in_words(number),
            number["published"],
            value_in_words(nearest.value) if evaluated else "not looked at",
            f"{nearest.digits} of {_digits(number)}",
            f"{evaluated:,}",
            f"{100 * share:.2g} %",
        )


def parts_rows(result: Result) -> Iterator[tuple[str, ...]]:
    """List how much each part of the numbers says of the best protocol."""
    for part in result.parts:
        numbers = [result.search["number"][place] for place in part.numbers]
        first = numbers[0]
        if not part.rounding:
            layers = ", ".join(str(number["layer"]) for number in numbers)
            moved, published = "", f"gradients of layer {layers}"
        else:
            read = str(result.classes[0].protocol["read"])
            low, high = part.rounding[read]
            digits = 3 + max(0, -math.floor(math.log10(high / low - 1)) if high > low else 6)
            where = "within" if within(result, part, read) else "outside"
            moved = f"{low:.{digits}g} to {high:.{digits}g}, published {where}"
            published = f"loss {first['published']}"
        asked = any(number["digits"] != 0 for number in numbers)
        yield (
            f"{first['activation']}, {published}",
            _share(part.chance) if asked else "not asked",
            _share(over_the_space(result, part)) if asked else "",
            moved,
        )


def _share(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= _IN_PERCENT else f"{share:.1e}"


def over_the_space(result: Result, part: Part) -> float:
    """Bound the chance that some protocol of the space gives a part by accident."""
    return min(1.0, part.chance * result.different)


def within(result: Result, part: Part, read: str) -> bool:
    """Tell whether a part's published loss lies within what rounding makes of it."""
    low, high = part.rounding[read]
    number = result.search["number"][part.numbers[0]]
    printed = Printed(number["published"], number["digits"] or None)
    half = printed.interval[1] - printed.value
    return low - half <= printed.value <= high + half


def setting_in_words(result: Result, axis: str, choice: Any) -> str:
    """Write one choice of a setting, with the hidden layers that a way to count depth makes."""
    depths = {number["depth"] for number in result.search["number"]}
    if axis != "depth_counts" or len(depths) > 1:
        return choice_in_words(choice)
    return f"{choice} ({depths.pop() + MORE_HIDDEN[choice]} hidden layers)"


def number_in_words(number: Mapping[str, Any]) -> str:
    """Name a number of a search."""
    if "layer" not in number:
        return str(number["activation"])
    return f"{number['activation']}, layer {number['layer']} after {number['updates']}"


def _digits(number: Mapping[str, Any]) -> int:
    return Printed(number["published"]).digits


def value_in_words(value: float | None) -> str:
    """Write a value that a protocol gives."""
    return "not finite" if value is None else f"{value:.9g}"


def choice_in_words(choice: Any) -> str:
    """Write one choice of a setting."""
    if isinstance(choice, Mapping):
        return "; ".join(f"{key}: {choice_in_words(value)}" for key, value in choice.items())
    if isinstance(choice, list | tuple):
        return " ".join(map(choice_in_words, choice))
    return f"{choice:g}" if isinstance(choice, float) else str(choice)
