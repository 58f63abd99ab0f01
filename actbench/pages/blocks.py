"""A page of headings, sentences, lists, tables and figures, for a terminal and as Markdown."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from actbench.store.terminal import printable

if TYPE_CHECKING:
    from rich.console import Group, JustifyMethod, RenderableType
    from rich.table import Table
    from rich.text import Text


class Code(str):
    """Text that a computer reads, such as an id or a command."""


class Strong(str):
    """Text in bold."""


class Emphasis(str):
    """Text in italics."""


Words: TypeAlias = str | tuple[str, ...]
"""What stands in a sentence or a cell: plain text, one of the above, or several in a row."""

Tone: TypeAlias = Literal["plain", "quiet", "strong", "good", "bad"]


@dataclass(frozen=True)
class Heading:
    """A title: of the page at level 1, of a part of it below."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Sentence:
    """A sentence or a paragraph; an empty one is a blank line of a terminal."""

    words: Words
    tone: Tone = "plain"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: tuple[Words, ...]


@dataclass(frozen=True)
class Rows:
    """A table.

    Args:
        heading: One per column.
        rows: As many cells each.
        title: Stands above it.
        right: The columns that a terminal aligns to the right.
        bold: Places of the rows that a terminal shows in bold.
        folds: Whether cells are broken where a terminal is too narrow for the table; else each
            row's first cell stands alone there, with the rest of the row below.
        omitted: How many rows more there are.
    """

    heading: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]
    title: str = ""
    right: tuple[str, ...] = ()
    bold: tuple[int, ...] = ()
    folds: bool = False
    omitted: int = 0


@dataclass(frozen=True)
class Figure:
    """A picture in a file beside the page, which a terminal leaves out."""

    file: str
    caption: str


Block: TypeAlias = Heading | Sentence | Items | Rows | Figure

_TONES: Final[dict[Tone, str]] = {
    "plain": "",
    "quiet": "dim",
    "strong": "bold",
    "good": "bold green",
    "bad": "bold red",
}
_STYLES: Final[dict[type[str], str]] = {Strong: "bold", Emphasis: "italic"}
_BESIDE: Final = 3  # columns that a border and its padding take


def terminal(blocks: Iterable[Block], width: int) -> Group:
    """Draw a page for a terminal of some columns."""
    from rich.console import Group

    return Group(*chain.from_iterable(_drawn(block, width) for block in blocks))


def _drawn(block: Block, width: int) -> Iterator[RenderableType]:
    from rich.padding import Padding

    match block:
        case Heading(text, level):
            if level > 1:
                yield _text("")
            yield _text(text, "bold")
        case Sentence(words, tone):
            yield _text(words, _TONES[tone])
        case Items(items):
            yield from (Padding(_text(words), (0, 0, 0, 2)) for words in items)
        case Rows():
            yield from [_table(block)] if block.folds or _fits(block, width) else _stacked(block)
            if block.omitted:
                yield _text(_omitted(block), "dim")


def _fits(block: Rows, width: int) -> bool:
    columns = zip(block.heading, *block.rows, strict=True)
    longest = (max(_text(cell).cell_len for cell in column) for column in columns)
    return sum(cells + _BESIDE for cells in longest) + _BESIDE <= width


def _table(block: Rows) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    title = _text(block.title, "table.title") if block.title else None
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in block.heading:
        justify: JustifyMethod = "right" if heading in block.right else "left"
        table.add_column(_text(heading), justify=justify, overflow="fold")
    for place, row in enumerate(block.rows):
        table.add_row(*map(_text, row), style="bold" if place in block.bold else None)
    return table


def _stacked(block: Rows) -> Iterator[RenderableType]:
    from rich.padding import Padding

    if block.title:
        yield _text(block.title, "bold")
    for place, (first, *cells) in enumerate(block.rows):
        yield Padding(_text(first, "bold" if place in block.bold else ""), (0, 0, 0, 2))
        told = zip(block.heading[1:], map(_text, cells), strict=True)
        line = "; ".join(f"{heading}: {cell.plain}" for heading, cell in told if cell)
        yield Padding(_text(line, "dim"), (0, 0, 0, 6))


def _text(words: Words, style: str = "") -> Text:
    from rich.text import Text

    parts = [words] if isinstance(words, str) else words
    return Text.assemble(
        *((printable(part), _STYLES.get(type(part), "")) for part in parts), style=style
    )


def _omitted(block: Rows) -> str:
    return f"… and {block.omitted} more rows: --format json has them all."


def markdown(blocks: Iterable[Block]) -> str:
    """Write a page as GitHub's Markdown; everything that it is told is text, not markup."""
    return "\n\n".join(filter(None, map(_written, blocks))) + "\n"


def table(heading: Sequence[str], rows: Iterable[Sequence[Words]]) -> str:
    """Write one table as GitHub's Markdown, without the last line break."""
    return "\n".join([_row(heading), "|---" * len(heading) + "|", *map(_row, rows)])


def _written(block: Block) -> str:
    match block:
        case Heading(text, level):
            # Number signs at the end would be taken for a part of the mark.
            title = re.sub(r"(#+)$", r"\\\1", escaped(text))
            return f"{'#' * level} {title}" if title else ""
        case Sentence(words, tone):
            text = _begun(words)
            return text if tone in ("plain", "quiet") or not text else f"**{text}**"
        case Items(items):
            return "\n".join(f"- {_begun(words)}" for words in items)
        case Figure(file, caption):
            return f"![{escaped(caption)}]({urllib.parse.quote(file)})"
    parts = [f"**{escaped(block.title)}**"] if block.title else []
    parts += [table(block.heading, block.rows)]
    return "\n\n".join([*parts, _omitted(block)] if block.omitted else parts)


def _row(cells: Sequence[Words]) -> str:
    return f"| {' | '.join(_marked(cell, in_table=True) for cell in cells)} |"


def _begun(words: Words) -> str:
    """Words at the beginning of a line, where some characters begin a list or a heading."""
    return re.sub(r"^(\d{0,9})(#{1,6}|[-+.)]+)(?=\s|$)", r"\1\\\2", _marked(words))


def _marked(words: Words, *, in_table: bool = False) -> str:
    if isinstance(words, tuple):
        return "".join(_marked(part, in_table=in_table) for part in words)
    if isinstance(words, Code):
        return code(words, in_table=in_table)
    mark = {Strong: "**", Emphasis: "*"}.get(type(words), "")
    return f"{mark}{escaped(words)}{mark}"


def escaped(text: str) -> str:
    """Write a text so that GitHub's Markdown shows it as it is, on one line."""
    plain = re.sub(r"\s+", " ", printable(text))
    # An underscore within a word is no markup.
    plain = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        plain = plain.replace(character, name)
    return plain


def code(text: str, *, in_table: bool) -> str:
    """Write a text as GitHub's Markdown shows code, where only a table knows vertical bars."""
    shown = "`{}`".format(printable(text).replace("`", "'"))
    return shown.replace("|", "\\|") if in_table else shown
