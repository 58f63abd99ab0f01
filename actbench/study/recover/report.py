"""What a search found, in sentences, for the terminal and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from actbench.store.environment import duration
from actbench.store.terminal import plural
from actbench.study.recover.numbers import Printed
from actbench.study.recover.outcome import SHOWN, Found, Result
from actbench.study.recover.scrutiny import MOVED, Part
from actbench.study.recover.space import MORE_HIDDEN

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


_FEWEST_SAMPLED = 20
_ACCIDENT = 0.05  # matches by chance alone, from which a match may be one of them


def plan_sentence(listed: int, drawings: int, different: int, seconds: float, threads: int) -> str:
    """Say how large a space is and how long a search takes."""
    return (
        f"{listed:,} protocols, of which {different:,} differ ({drawings:,} different drawings of "
        f"networks). About {duration(seconds)} of computing, shared by "
        f"{plural(threads, 'thread')}."
    )


def headline(result: Result) -> str:
    """Say in one or two sentences what was found."""
    asked = [place for place, n in enumerate(result.search["number"]) if n["digits"] != 0]
    count = len(asked)
    space = f"{result.different:,} different protocols" if result.different > 1 else "1 protocol"
    if not result.classes:
        allowed = result.search["misses"]
        but = f" but for at most {allowed}" if allowed else ""
        none = f"None of {space} gives the {count} numbers{but}."
        if allowed + 1 == count:
            return none
        return f"{none} Near misses are shown with misses = {allowed + 1} in the search file."
    best = result.classes[0]
    hits = sum(best.matches[place] for place in asked)
    which = f"all {count}" if hits == count else f"{hits} of {count}"
    first = f"The best of {space} gives {which} numbers."
    allowed = result.search["misses"]
    but = f" but for at most {allowed}" if allowed else ""
    classes = len(result.classes)
    sets = "one set" if classes == 1 else f"{classes} sets"
    more = " or more" if classes == SHOWN else ""
    give = "protocol gives" if result.matched == 1 else "protocols give"
    return f"{first} {result.matched:,} {give} the {count}{but}, with {sets}{more} of values."


def parts_sentence(result: Result) -> str:
    """Say what the table of parts rests on."""
    reads = {read: None for part in result.parts for read in part.rounding}
    excluded = [
        f" If {read} was read, rounding leaves out what is published of {', '.join(outside)}."
        for read in reads
        for outside in [_left_out(result, read)]
        if outside
    ]
    others = max(part.others for part in result.parts)
    return (
        f"The best protocol was run with {others} other seeds: which share of them "
        "would give a part's numbers as closely (of several numbers from a normal distribution "
        f"fitted to their logarithms), and that times the {result.different:,} protocols. A part "
        "that many seeds give says little of how the random stream was spent. Rounding: the "
        f"range of {MOVED} runs in which every initial weight is moved by one unit in its last "
        "place."
    ) + "".join(excluded)


def _left_out(result: Result, read: str) -> list[str]:
    return [
        str(result.search["number"][part.numbers[0]]["activation"])
        for part in result.parts
        if part.rounding and not within(result, part, read)
    ]


def chance_sentence(result: Result) -> str:
    """Say how many matches chance alone would give, and what that rests on."""
    expected = result.chance
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
    return pooled + within + rests + (_accident_in_words(result) if result.matched else "")


def _accident_in_words(result: Result) -> str:
    expected = result.chance
    least = min((over_the_space(result, part) for part in result.parts), default=1.0)
    if least < _ACCIDENT:
        return f" The match is no accident: of one part alone the chance is {least:.1e}."
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
