"""How numbers and names are written in sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from actbench.colors import style_of
from actbench.terminal import plural as plural  # noqa: PLC0414 - part of how a sentence is written


def number(value: float, digits: int = 3) -> str:
    """Write a number as the study does, such as ``2.6e7`` or ``0.00804``.

    Args:
        value: Any number.
        digits: Significant digits, at least 1.

    Returns:
        The number in words where it is not finite.
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinity"
    return re.sub(r"e([+-])0*", lambda found: f"e{found[1].strip('+')}", f"{value:.{digits}g}")


def listed(words: Iterable[str]) -> str:
    """Join words as in a sentence.

    Args:
        words: What to join.

    Returns:
        Such as ``"a, b and c"``; empty without any words.
    """
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def name(activation: object) -> str:
    """Write an activation as figures do.

    Args:
        activation: Its key, such as ``"leaky_relu"``.

    Returns:
        Such as ``"Leaky ReLU"``.
    """
    return style_of(str(activation)).name


def by_activation(values: Mapping[str, float], digits: int = 3) -> str:
    """List a number per activation.

    Args:
        values: By activation key.
        digits: Significant digits, at least 1.

    Returns:
        Such as ``"ReLU 1.93 and GELU 0.828"``.
    """
    return listed(f"{name(key)} {number(value, digits)}" for key, value in values.items())


def words(key: str) -> str:
    """Write a verdict or a setting as words.

    Args:
        key: Such as ``"not_reproduced"``.

    Returns:
        Such as ``"not reproduced"``.
    """
    return key.replace("_", " ")


def settings(chosen: dict[str, Any]) -> str:
    """Write settings as a list.

    Args:
        chosen: Names and values.

    Returns:
        Such as ``"depth 50, skip yes"``; of none, that they are the defaults.
    """
    parts = [f"{words(name)} {value_in_words(value)}" for name, value in chosen.items()]
    return ", ".join(parts) or "at its defaults"


def value_in_words(value: object) -> str:
    """Write one setting's value.

    Args:
        value: What JSON can hold.

    Returns:
        Numbers without needless digits, lists with commas, whole runs of seeds by their ends.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        run = list(value)
        whole = all(type(n) is int for n in run)
        if whole and len(run) > 2 and run == list(range(run[0], run[0] + len(run))):
            return f"{run[0]} to {run[-1]} ({len(run)})"
        return ", ".join(value_in_words(part) for part in run)
    return f"{value:g}" if isinstance(value, float) else str(value)
