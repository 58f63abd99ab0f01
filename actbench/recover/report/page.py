"""What a search found, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actbench.recover.outcome import Result
from actbench.recover.report.cells import (
    NEAREST,
    NUMBERS,
    PARTS,
    choice_in_words,
    nearest_rows,
    numbers_rows,
    parts_rows,
    setting_in_words,
)
from actbench.recover.report.wording import chance_sentence, headline, parts_sentence

FIGURE = "search"
"""Its figure's name, without the extension."""


def markdown(result: Result) -> str:
    """Write a result as a Markdown page."""
    lines = [f"# {result.search['title']}", "", f"Source: {result.search['source']}.", ""]
    lines += [
        headline(result),
        "",
        f"![Published numbers among those of the space]({FIGURE}.png)",
        "",
    ]
    for place, found in enumerate(result.classes, start=1):
        lines += [f"## Protocol {place}", ""]
        lines += [*_markdown_table(NUMBERS, numbers_rows(result, found)), ""]
        settings = [
            (
                axis,
                setting_in_words(result, axis, choice),
                ", ".join(setting_in_words(result, axis, other) for other in others),
            )
            for axis, choice in found.protocol.items()
            for others in [found.undecided.get(axis, [])]
        ]
        heading = ("setting", "choice", "all that give the same numbers")
        lines += [*_markdown_table(heading, settings), ""]
    if result.parts:
        lines += ["## How much each part says", "", *_markdown_table(PARTS, parts_rows(result))]
        lines += ["", parts_sentence(result), ""]
    lines += ["## Nearest to each number by itself", ""]
    lines += [*_markdown_table(NEAREST, nearest_rows(result)), ""]
    lines += ["## Chance", "", chance_sentence(result), ""]
    lines += ["## What was searched", ""]
    lines += [f"{result.listed:,} protocols, of which {result.different:,} differ.", ""]
    searched = [
        (axis, " / ".join(map(choice_in_words, choices)))
        for axis, choices in result.search["space"].items()
    ]
    lines += [*_markdown_table(("setting", "choices"), searched), ""]
    computed = "; ".join(f"{key} {value}" for key, value in result.environment.items())
    return "\n".join([*lines, f"Computed with: {computed}.", ""])


def _markdown_table(heading: Sequence[str], rows: Any) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading), *body]
