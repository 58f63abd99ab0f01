"""A protocol that was found, as a search file whose space is that protocol alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from actbench.recover.outcome import Found, Result
from actbench.recover.report.cells import value_in_words


def protocol_file(result: Result, found: Found) -> str:
    """Write a protocol as a search file whose space is that protocol alone."""
    search = result.search
    lines = ["# A protocol that was found; compute its numbers again with actbench recover."]
    for axis, choices in found.undecided.items():
        shown = ", ".join(map(_toml, choices))
        lines.append(f"# {axis} is not decided; the same numbers come from: {shown}")
    top = ("schema_version", "quantity", "title", "source", "width", "sample")
    lines += [f"{name} = {_toml(search[name])}" for name in top]
    lines.append(f"misses = {found.matches.count(False)}")
    for number, value in zip(search["number"], found.values, strict=True):
        lines += ["", "[[number]]", f"# found: {value_in_words(value)}"]
        lines += [f"{key} = {_toml(item)}" for key, item in number.items() if item is not None]
    lines += ["", "[space]"]
    lines += [f"{axis} = {_toml([choice])}" for axis, choice in found.protocol.items()]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A string of JSON is a basic string of TOML; so are its numbers.
    return json.dumps(value)
