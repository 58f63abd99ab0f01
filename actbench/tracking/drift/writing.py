"""A drift on screen, as Markdown for a job's summary, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actbench.store.files import strict_json
from actbench.store.terminal import printable
from actbench.tracking.drift.comparing import Drift
from actbench.tracking.drift.parts import Part, Rows, origins, parts
from actbench.tracking.records import package_of

FORMATS = ("table", "markdown", "json")
SCHEMA_VERSION = 1

_BESIDE = 3  # columns that a border and its padding take


def show(drift: Drift, reasons: Sequence[str], screen: Console) -> None:
    """Print a drift."""
    screen.print(Text(_title(drift), style="bold"))
    for line in origins(drift):
        screen.print(_text(line, "dim"))
    for number, part in enumerate(parts(drift), 1):
        screen.print()
        screen.print(Text(f"{number}. {part.heading}", style="bold"))
        screen.print(_text(part.answer, "bold red" if part.alarming else "bold"))
        for block in part.blocks:
            screen.print(
                _laid_out(block, screen.width) if isinstance(block, Rows) else _text(block)
            )
            if isinstance(block, Rows) and block.omitted:
                screen.print(_text(_omitted(block), "dim"))
    sentences = (*drift.scope.left_out, *drift.scope.notes)
    if sentences:
        screen.print(Text("\nWhat was left out, and what else differs", style="bold"))
        for sentence in sentences:
            screen.print(Padding(_text(sentence), (0, 0, 0, 2)))
    screen.print()
    screen.print(_text(_result(reasons), "bold red" if reasons else "bold green"))


def _laid_out(rows: Rows, width: int) -> RenderableType:
    """A table where it fits; else each row's name with the rest of it below."""
    columns = zip(rows.heading, *rows.rows, strict=True)
    needed = sum(max(map(len, column)) + _BESIDE for column in columns) + _BESIDE
    return _table(rows) if needed <= width else _stacked(rows)


def _table(rows: Rows) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1))
    for heading in rows.heading:
        table.add_column(heading)
    for row in rows.rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _stacked(rows: Rows) -> Group:
    lines: list[RenderableType] = []
    for name, *cells in rows.rows:
        told = zip(rows.heading[1:], cells, strict=True)
        lines.append(Padding(_text(name), (0, 0, 0, 2)))
        text = "; ".join(f"{heading}: {cell}" for heading, cell in told if cell)
        lines.append(Padding(_text(text, "dim"), (0, 0, 0, 6)))
    return Group(*lines)


def _text(sentence: str, style: str = "") -> Text:
    return Text(printable(sentence), style=style)


def markdown(drift: Drift, reasons: Sequence[str]) -> str:
    """Write a drift as Markdown."""
    lines = [f"# {_escaped(_title(drift))}", "", f"**{_escaped(_result(reasons))}**", ""]
    lines += [f"- {_escaped(line)}" for line in origins(drift)]
    for number, part in enumerate(parts(drift), 1):
        lines += ["", f"## {number}. {part.heading}", "", f"**{_escaped(part.answer)}**"]
        lines += _blocks(part)
    sentences = (*drift.scope.left_out, *drift.scope.notes)
    if sentences:
        lines += ["", "## What was left out, and what else differs", ""]
        lines += [f"- {_escaped(sentence)}" for sentence in sentences]
    return "\n".join([*lines, ""])


def _blocks(part: Part) -> list[str]:
    lines = []
    for block in part.blocks:
        lines.append("")
        if isinstance(block, str):
            lines.append(_escaped(block))
            continue
        lines += [_row(block.heading), "|---" * len(block.heading) + "|"]
        lines += [_row(row) for row in block.rows]
        if block.omitted:
            lines += ["", _omitted(block)]
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;")
    for mark in ("\\", "|", "`", "*", "_", "["):
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def as_json(drift: Drift, reasons: Sequence[str]) -> str:
    """Write a drift as one JSON object."""
    content: dict[str, Any] = {
        "kind": "actbench drift",
        "schema_version": SCHEMA_VERSION,
        "failed": bool(reasons),
        "reasons": list(reasons),
        "old": dataclasses.asdict(drift.old),
        "new": dataclasses.asdict(drift.new),
        "left_out": list(drift.scope.left_out),
        "notes": list(drift.scope.notes),
        "claims": dataclasses.asdict(drift.claims),
        "numbers": {
            "differ": drift.numbers_differ,
            "first_parting": drift.first_parting or None,
            "levels": {str(level): count for level, count in drift.levels().items()},
            "metrics": dataclasses.asdict(drift.metrics),
            "chains": {
                **dataclasses.asdict(drift.chains),
                "chains": [
                    {**dataclasses.asdict(chain), "level": chain.level}
                    for chain in drift.chains.chains
                ],
            },
        },
        "speed": {
            **dataclasses.asdict(drift.speed),
            "workloads": [
                {**dataclasses.asdict(ratio), "change": ratio.change}
                for ratio in drift.speed.workloads
            ],
        },
    }
    return strict_json(content)


def _title(drift: Drift) -> str:
    package = package_of(drift.old.environment)
    return f"Drift from {drift.old.named} to {drift.new.named.removeprefix(f'{package} ')}"


def _omitted(rows: Rows) -> str:
    return f"… and {rows.omitted} more rows: --format json has them all."


def _result(reasons: Sequence[str]) -> str:
    return f"FAILED: {' '.join(reasons)}" if reasons else "Passed."
