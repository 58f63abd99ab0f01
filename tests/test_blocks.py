"""A page of blocks says the same in a terminal and as Markdown, whatever its texts contain."""

from __future__ import annotations

import io
import re

import pytest
from calls import printed
from rich.console import Console

from actbench.pages import blocks
from actbench.pages.blocks import (
    Block,
    Code,
    Emphasis,
    Figure,
    Heading,
    Items,
    Rows,
    Sentence,
    Strong,
)

ROWS = Rows(("name", "size"), ((Code("1|2"), "1.5"), ("two | b", "12")), right=("size",))


def drawn(*page: Block, width: int = 60, color: bool = False) -> str:
    """What a terminal shows, without the blanks at the ends of lines."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=True, color_system="standard", no_color=not color
    )
    console.print(blocks.terminal(page, width))
    text = file.getvalue() if color else re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_a_page_in_both_forms() -> None:
    """Every kind of block, and what stands between them."""
    page = (
        Heading("A page", 1),
        Sentence("Bad.", "bad"),
        Sentence(""),
        Sentence(("See ", Code("a_b|c"), ", ", Strong("now"), " and ", Emphasis("then"), ".")),
        Heading("Its part"),
        Items(("first", "- second")),
        ROWS,
        Rows(("a",), (("x",),), title="More", omitted=3),
        Figure("a figure.png", "What is *seen*"),
    )
    more = "… and 3 more rows: --format json has them all."
    assert blocks.markdown(page) == "\n".join(
        [
            *("# A page", "", "**Bad.**", "", "See `a_b|c`, **now** and *then*.", ""),
            *("## Its part", "", "- first", r"- \- second", ""),
            *("| name | size |", "|---|---|", r"| `1\|2` | 1.5 |", r"| two \| b | 12 |", ""),
            *("**More**", "", "| a |", "|---|", "| x |", "", more, ""),
            *(r"![What is \*seen\*](a%20figure.png)", ""),
        ]
    )
    assert drawn(*page).splitlines() == [
        *("A page", "Bad.", "", "See a_b|c, now and then.", "", "Its part"),
        *("  first", "  - second"),
        *("", "  name      size", " ────────────────", "  1|2        1.5", "  two | b     12", ""),
        *("More", "", "  a", " ───", "  x", "", more),
    ]


def test_a_table_that_is_too_wide_stands_row_by_row_or_is_folded() -> None:
    """No cell is lost; empty ones are left out."""
    wide = Rows(("name", "what", "why"), (("one", "a sentence", ""), ("two", "b", "c")), title="T")
    assert drawn(wide, width=26).splitlines() == [
        *("T", "  one", "      what: a sentence", "  two", "      what: b; why: c")
    ]
    assert "name" in drawn(wide, width=31)
    folded = Rows(wide.heading, wide.rows, folds=True)
    assert max(map(len, drawn(folded, width=22).splitlines())) <= 22


def test_tones_and_bold_rows() -> None:
    """What a terminal shows in color and in bold."""
    page = [Sentence(tone, tone) for tone in ("plain", "quiet", "strong", "good", "bad")]
    assert drawn(*page, color=True).splitlines() == [
        *("plain", "\x1b[2mquiet\x1b[0m", "\x1b[1mstrong\x1b[0m"),
        *("\x1b[1;32mgood\x1b[0m", "\x1b[1;31mbad\x1b[0m"),
    ]
    rows = Rows(("a",), (("x",), ("y",)), bold=(1,))
    lines = drawn(rows, color=True).splitlines()
    assert [("\x1b[1m" in line) for line in lines] == [False, True, False, False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b, 2 * 3, c|d", r"a_b, 2 \* 3, c\|d"),
        ("_x_ and __y__", r"\_x\_ and \_\_y\_\_"),
        ("<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;"),
        ("[a](http://b) ~~c~~ $d$ `e` \\", r"\[a\](http://b) \~\~c\~\~ \$d\$ \`e\` " + "\\\\"),
        ("one\n\ntwo\tthree\x1b[31m", r"one two three \[31m"),
    ],
)
def test_what_a_text_contains_is_no_markup(text: str, expected: str) -> None:
    """In a sentence and in a cell, on one line."""
    assert blocks.escaped(text) == expected
    assert blocks.table(("a",), [(text,)]).splitlines()[2] == f"| {expected} |"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("1. one", r"1\. one"), ("12) one", r"12\) one"), ("- one", r"\- one")),
        *(("# one", r"\# one"), ("---", r"\---"), ("-0.5 or 1.5", "-0.5 or 1.5")),
    ],
)
def test_a_line_begins_no_list_and_no_heading(text: str, expected: str) -> None:
    """Only where a character would begin one."""
    assert blocks.markdown([Sentence(text)]) == f"{expected}\n"
    assert blocks.markdown([Items((text,))]) == f"- {expected}\n"
    assert blocks.markdown([Heading(f"{text} #")]) == f"## {blocks.escaped(text)} \\#\n"


def test_writing_markdown_needs_no_library_for_terminals() -> None:
    """So a claims file is judged without it."""
    code = (
        "import sys; from actbench.pages.blocks import Rows, markdown; "
        "markdown([Rows(('a',), (('b',),))]); sys.exit('rich.table' in sys.modules)"
    )
    assert printed("-c", code) == ""
