"""How numbers and names are written in sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from actbench.pages.colors import style_of


def number(value: float, digits: int = 3) -> str:
    """Write a number as the study does, such as ``2.6e7`` or ``0.00804``."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinity"
    return re.sub(r"e([+-])0*", lambda found: f"e{found[1].strip('+')}", f"{value:.{digits}g}")


def listed(words: Iterable[str]) -> str:
    """Join words as in a sentence."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def name(activation: object) -> str:
    """Write an activation as figures do."""
    return style_of(str(activation)).name


def by_activation(values: Mapping[str, float], digits: int = 3) -> str:
    """List a number per activation."""
    return listed(f"{name(key)} {number(value, digits)}" for key, value in values.items())


def words(key: str) -> str:
    """Write a verdict or a setting as words."""
    return key.replace("_", " ")


def settings(chosen: dict[str, Any]) -> str:
    """Write settings as a list."""
    parts = [f"{words(name)} {value_in_words(value)}" for name, value in chosen.items()]
    return ", ".join(parts) or "at its defaults"


def value_in_words(value: object) -> str:
    """Write one setting's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        run = list(value)
        whole = all(type(n) is int for n in run)
        if whole and len(run) > 2 and run == list(range(run[0], run[0] + len(run))):
            return f"{run[0]} to {run[-1]} ({len(run)})"
        return ", ".join(value_in_words(part) for part in run)
    return f"{value:g}" if isinstance(value, float) else str(value)
