"""What a search found, for the terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from actbench.recover.outcome import Found, Result
from actbench.recover.report.cells import (
    NEAREST,
    NUMBERS,
    PARTS,
    nearest_rows,
    numbers_rows,
    parts_rows,
    setting_in_words,
)
from actbench.recover.report.wording import chance_sentence, headline, parts_sentence


def terminal(result: Result) -> Group:
    """Draw a result for the terminal."""
    parts: list[Any] = [Text(result.search["title"], style="bold"), headline(result), ""]
    for place, found in enumerate(result.classes[:3], start=1):
        title = "Best protocol" if place == 1 else f"Next best, number {place}"
        parts.append(_numbers_table(result, found, title))
    if result.classes:
        parts.append(_settings_table(result, result.classes[0]))
    if result.parts:
        parts += [_parts_table(result), parts_sentence(result), ""]
    parts.append(_nearest_table(result))
    parts.append(chance_sentence(result))
    return Group(*parts)


def _numbers_table(result: Result, found: Found, title: str) -> Table:
    table = Table(title=title, box=SIMPLE, title_justify="left")
    table.add_column(NUMBERS[0])
    for heading in NUMBERS[1:]:
        table.add_column(heading, justify="right")
    for row in numbers_rows(result, found):
        table.add_row(*row, style=None if row[-1] == "yes" else "bold")
    return table


def _settings_table(result: Result, found: Found) -> Table:
    table = Table(title="Its settings", box=SIMPLE, title_justify="left")
    for heading in ("setting", "choice", "gives the same numbers", "searched"):
        table.add_column(heading, justify="right" if heading == "searched" else "left")
    for axis, choice in found.protocol.items():
        others = [c for c in found.undecided.get(axis, []) if c != choice]
        searched = str(len(result.search["space"][axis]))
        table.add_row(
            axis,
            setting_in_words(result, axis, choice),
            ", ".join(setting_in_words(result, axis, other) for other in others),
            searched,
        )
    return table


def _parts_table(result: Result) -> Table:
    table = Table(title="How much each part says", box=SIMPLE, title_justify="left")
    for heading in PARTS:
        table.add_column(heading, justify="left" if heading == PARTS[0] else "right")
    for row in parts_rows(result):
        table.add_row(*row)
    return table


def _nearest_table(result: Result) -> Table:
    table = Table(title="Nearest to each number by itself", box=SIMPLE, title_justify="left")
    for heading in NEAREST:
        table.add_column(heading, justify="left" if heading == "number" else "right")
    for row in nearest_rows(result):
        table.add_row(*row)
    return table
