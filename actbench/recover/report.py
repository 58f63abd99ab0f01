"""What a search found, for the terminal, as Markdown, and as a search file of one protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from actbench.figures.saving import save
from actbench.files import write_atomic, write_json
from actbench.recover.drawing import draw_search
from actbench.recover.outcome import SHOWN, Expected, Found, Result
from actbench.stopwatch import duration

RESULT = "search.json"
_FIGURE = "search"
PAGE = "search.md"
PROTOCOL = "protocol.toml"
_FEWEST_SAMPLED = 20
_ACCIDENT = 0.05  # matches by chance alone, from which a match may be one of them


def write(result: Result, folder: Path) -> list[Path]:
    """Write a result into a folder: figure, page, everything as JSON, the protocol if there is one.

    Args:
        result: What was found.
        folder: Where to; it must exist. A protocol of an earlier search goes if none was found.

    Returns:
        The files, in the order in which they were written.

    Raises:
        ActbenchError: The folder can't be written.
    """
    written = [*save(draw_search(result), folder, _FIGURE), folder / PAGE]
    write_atomic(written[-1], markdown(result).encode())
    protocol = folder / PROTOCOL
    if result.classes:
        write_atomic(protocol, protocol_file(result, result.classes[0]).encode())
        written.append(protocol)
    else:
        protocol.unlink(missing_ok=True)
    write_json(folder / RESULT, result.model_dump(mode="json"))  # last: it says that all is there
    return [*written, folder / RESULT]


def headline(result: Result) -> str:
    """Say in one or two sentences what was found.

    Args:
        result: The result.

    Returns:
        The sentences.
    """
    count = len(result.search["number"])
    space = f"{result.different:,} different protocols" if result.different > 1 else "1 protocol"
    if not result.classes:
        allowed = result.search["misses"]
        but = f" but for at most {allowed}" if allowed else ""
        none = f"None of {space} gives the {count} numbers{but}."
        if allowed + 1 == count:
            return none
        return f"{none} Near misses are shown with misses = {allowed + 1} in the search file."
    best = result.classes[0]
    hits = sum(best.matches)
    which = f"all {count}" if hits == count else f"{hits} of {count}"
    first = f"The best of {space} gives {which} numbers."
    allowed = result.search["misses"]
    but = f" but for at most {allowed}" if allowed else ""
    classes = len(result.classes)
    sets = "one set" if classes == 1 else f"{classes} sets"
    more = " or more" if classes == SHOWN else ""
    give = "protocol gives" if result.matched == 1 else "protocols give"
    return f"{first} {result.matched:,} {give} the {count}{but}, with {sets}{more} of values."


def chance_sentence(expected: Expected, matched: int) -> str:
    """Say how many matches chance alone would give, and what that rests on.

    Args:
        expected: The estimate.
        matched: How many protocols matched.

    Returns:
        A few sentences.
    """
    if expected.sampled < _FEWEST_SAMPLED:
        return f"A sample of {expected.sampled} is too small to say what chance alone would give."
    pooled = (
        f"By chance alone {expected.pooled:.2g} protocols of this space would match if the numbers "
        "were independent over the whole space"
    )
    within = (
        ". (Too few were sampled of each setting to take settings into account.)"
        if expected.given_settings is None
        else f", and {expected.given_settings:.2g} if they are independent among the networks that "
        "one setting draws, which is the fairer number."
    )
    rests = (
        f" Estimated from {expected.sampled:,} protocols of which every number was computed, some "
        "of them readings of the same networks; not exact where networks share random numbers, and "
        "protocols that give the same numbers are counted one by one, here as among the matches."
    )
    return pooled + within + rests + (_accident_in_words(expected) if matched else "")


def _accident_in_words(expected: Expected) -> str:
    if expected.largest >= _ACCIDENT:
        return (
            " So the match may be an accident: more digits, more numbers or a smaller space would "
            "tell."
        )
    if expected.given_settings is None:
        return (
            " Whether the match is an accident can't be told from that: settings bring the numbers "
            "of a protocol near their published values together, which makes it usually too small."
        )
    return " The match is no accident of a large space."


def terminal(result: Result) -> Group:
    """Draw a result for the terminal.

    Args:
        result: What was found.

    Returns:
        Tables and sentences.
    """
    parts: list[Any] = [Text(result.search["title"], style="bold"), headline(result), ""]
    for place, found in enumerate(result.classes[:3], start=1):
        title = "Best protocol" if place == 1 else f"Next best, number {place}"
        parts.append(_numbers_table(result, found, title))
    if result.classes:
        parts.append(_settings_table(result, result.classes[0]))
    parts.append(_nearest_table(result))
    parts.append(chance_sentence(result.chance, result.matched))
    return Group(*parts)


def _numbers_table(result: Result, found: Found, title: str) -> Table:
    table = Table(title=title, box=SIMPLE, title_justify="left")
    table.add_column("number")
    for heading in ("published", "found", "digits agreed", "matches"):
        table.add_column(heading, justify="right")
    for row in _rows(result, found):
        table.add_row(*row, style=None if row[-1] == "yes" else "bold")
    return table


def _settings_table(result: Result, found: Found) -> Table:
    table = Table(title="Its settings", box=SIMPLE, title_justify="left")
    for heading in ("setting", "choice", "gives the same numbers", "searched"):
        table.add_column(heading, justify="right" if heading == "searched" else "left")
    for axis, choice in found.protocol.items():
        others = [c for c in found.undecided.get(axis, []) if c != choice]
        searched = str(len(result.search["space"][axis]))
        table.add_row(axis, _shown(choice), ", ".join(map(_shown, others)), searched)
    return table


def _nearest_table(result: Result) -> Table:
    table = Table(title="Nearest to each number by itself", box=SIMPLE, title_justify="left")
    for heading in ("number", "published", "nearest", "digits", "looked at", "by chance"):
        table.add_column(heading, justify="left" if heading == "number" else "right")
    for row in _nearest_rows(result):
        table.add_row(*row)
    return table


def _rows(result: Result, found: Found) -> Iterator[tuple[str, ...]]:
    values = zip(result.search["number"], found.values, found.digits, found.matches, strict=True)
    for number, value, digits, matches in values:
        of = _digits(number)
        yield (
            number["activation"],
            number["published"],
            _value(value),
            f"{digits} of {of}",
            "yes" if matches else "NO",
        )


def _nearest_rows(result: Result) -> Iterator[tuple[str, ...]]:
    columns = zip(
        result.search["number"], result.nearest, result.evaluated, result.chance.shares, strict=True
    )
    for number, nearest, evaluated, share in columns:
        yield (
            number["activation"],
            number["published"],
            _value(nearest.value),
            f"{nearest.digits} of {_digits(number)}",
            f"{evaluated:,}",
            f"{100 * share:.2g} %",
        )


def _digits(number: Mapping[str, Any]) -> int:
    from actbench.recover.numbers import Printed

    return Printed(number["published"]).digits


def _value(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.9g}"


def _shown(choice: Any) -> str:
    if isinstance(choice, Mapping):
        return "; ".join(f"{key}: {_shown(value)}" for key, value in choice.items())
    if isinstance(choice, list | tuple):
        return " ".join(map(_shown, choice))
    return f"{choice:g}" if isinstance(choice, float) else str(choice)


def markdown(result: Result) -> str:
    """Write a result as a Markdown page.

    Args:
        result: What was found.

    Returns:
        The page.
    """
    lines = [f"# {result.search['title']}", "", f"Source: {result.search['source']}.", ""]
    lines += [
        headline(result),
        "",
        f"![Published numbers among those of the space]({_FIGURE}.png)",
        "",
    ]
    heading: tuple[str, ...]
    for place, found in enumerate(result.classes, start=1):
        lines += [f"## Protocol {place}", ""]
        heading = ("number", "published", "found", "digits agreed", "matches")
        lines += [*_markdown_table(heading, _rows(result, found)), ""]
        settings = [
            (axis, _shown(choice), ", ".join(_shown(c) for c in found.undecided.get(axis, [])))
            for axis, choice in found.protocol.items()
        ]
        heading = ("setting", "choice", "all that give the same numbers")
        lines += [*_markdown_table(heading, settings), ""]
    lines += ["## Nearest to each number by itself", ""]
    heading = ("number", "published", "nearest", "digits", "looked at", "by chance")
    lines += [*_markdown_table(heading, _nearest_rows(result)), ""]
    lines += ["## Chance", "", chance_sentence(result.chance, result.matched), ""]
    lines += ["## What was searched", ""]
    lines += [f"{result.listed:,} protocols, of which {result.different:,} differ.", ""]
    searched = [
        (axis, " / ".join(map(_shown, choices))) for axis, choices in result.search["space"].items()
    ]
    lines += [*_markdown_table(("setting", "choices"), searched), ""]
    computed = "; ".join(f"{key} {value}" for key, value in result.environment.items())
    return "\n".join([*lines, f"Computed with: {computed}.", ""])


def _markdown_table(heading: Sequence[str], rows: Any) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading), *body]


def protocol_file(result: Result, found: Found) -> str:
    """Write a protocol as a search file whose space is that protocol alone.

    Args:
        result: Where it was found.
        found: The protocol.

    Returns:
        TOML; ``actbench recover`` computes its numbers again.
    """
    search = result.search
    lines = ["# A protocol that was found; compute its numbers again with actbench recover."]
    for axis, choices in found.undecided.items():
        shown = ", ".join(map(_toml, choices))
        lines.append(f"# {axis} is not decided; the same numbers come from: {shown}")
    top = ("schema_version", "quantity", "title", "source", "width", "sample")
    lines += [f"{name} = {_toml(search[name])}" for name in top]
    lines.append(f"misses = {found.matches.count(False)}")
    for number, value in zip(search["number"], found.values, strict=True):
        lines += ["", "[[number]]", f"# found: {_value(value)}"]
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


def plan_sentence(listed: int, drawings: int, different: int, seconds: float, threads: int) -> str:
    """Say how large a space is and how long a search takes.

    Args:
        listed: Protocols, as the product of the axes.
        drawings: Different drawings of networks.
        different: Different protocols.
        seconds: On one thread.
        threads: How many there are.

    Returns:
        Two sentences.
    """
    return (
        f"{listed:,} protocols, of which {different:,} differ ({drawings:,} different drawings of "
        f"networks). About {duration(seconds)} on one thread; {threads} would be used."
    )
