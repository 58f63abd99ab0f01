"""What a search found, in sentences, for the terminal and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actbench.pages.blocks import Block, Figure, Heading, Rows, Sentence
from actbench.study.recover.numbers import Printed
from actbench.study.recover.outcome import SHOWN, Found, Result
from actbench.study.recover.scrutiny import MOVED, Part
from actbench.study.recover.space import MORE_HIDDEN

FIGURE = "search"
"""Its figure's name, without the extension."""
_IN_PERCENT = 1e-3
_FEWEST_SAMPLED = 20
_ACCIDENT = 0.05  # matches by chance alone, from which a match may be one of them


def _table(title: str, left: str, right: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Rows:
    return Rows((left, *right), tuple(rows), title, right, folds=True)


def _numbers(result: Result, found: Found, title: str = "") -> Rows:
    """What a protocol gives for every number."""
    values = zip(result.search["number"], found.values, found.digits, found.matches, strict=True)
    rows = [
        (
            _number(number),
            number["published"],
            value_in_words(value),
            f"{digits} of {_digits(number)}",
            "not asked" if number["digits"] == 0 else "yes" if matches else "NO",
        )
        for number, value, digits, matches in values
    ]
    table = _table(title, "number", ("published", "found", "digits agreed", "matches"), rows)
    return replace(table, bold=tuple(n for n, row in enumerate(rows) if row[-1] != "yes"))


def _settings(result: Result) -> Rows:
    """The settings of the best protocol, and what else gives its numbers."""
    found = result.classes[0]
    rows = tuple(
        (
            axis,
            _setting(result, axis, choice),
            _settings_of(result, axis, (c for c in found.undecided.get(axis, []) if c != choice)),
            str(len(result.search["space"][axis])),
        )
        for axis, choice in found.protocol.items()
    )
    heading = ("setting", "choice", "gives the same numbers", "searched")
    return Rows(heading, rows, "Its settings", ("searched",), folds=True)


def _nearest(result: Result, title: str = "") -> Rows:
    """How near any protocol comes to each number by itself."""
    columns = zip(
        result.search["number"], result.nearest, result.evaluated, result.chance.shares, strict=True
    )
    rows = (
        (
            _number(number),
            number["published"],
            value_in_words(nearest.value) if evaluated else "not looked at",
            f"{nearest.digits} of {_digits(number)}",
            f"{evaluated:,}",
            f"{100 * share:.2g} %",
        )
        for number, nearest, evaluated, share in columns
    )
    right = ("published", "nearest", "digits", "looked at", "by chance")
    return _table(title, "number", right, rows)


def _parts(result: Result, title: str = "") -> Rows:
    """How much each part of the numbers says of the best protocol."""
    right = ("other seeds that give it", "over the space", "what rounding makes of it")
    return _table(title, "part", right, (_part(result, part) for part in result.parts))


def _part(result: Result, part: Part) -> tuple[str, ...]:
    numbers = [result.search["number"][place] for place in part.numbers]
    first = numbers[0]
    if not part.rounding:
        layers = ", ".join(str(number["layer"]) for number in numbers)
        moved, published = "", f"gradients of layer {layers}"
    else:
        read = str(result.classes[0].protocol["read"])
        low, high = part.rounding[read]
        digits = 3 + max(0, -math.floor(math.log10(high / low - 1)) if high > low else 6)
        where = "within" if _within(result, part, read) else "outside"
        moved = f"{low:.{digits}g} to {high:.{digits}g}, published {where}"
        published = f"loss {first['published']}"
    asked = any(number["digits"] != 0 for number in numbers)
    return (
        f"{first['activation']}, {published}",
        _share(part.chance) if asked else "not asked",
        _share(_over_the_space(result, part)) if asked else "",
        moved,
    )


def _share(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= _IN_PERCENT else f"{share:.1e}"


def _over_the_space(result: Result, part: Part) -> float:
    """Bound the chance that some protocol of the space gives a part by accident."""
    return min(1.0, part.chance * result.different)


def _within(result: Result, part: Part, read: str) -> bool:
    """Tell whether a part's published loss lies within what rounding makes of it."""
    low, high = part.rounding[read]
    number = result.search["number"][part.numbers[0]]
    printed = Printed(number["published"], number["digits"] or None)
    half = printed.interval[1] - printed.value
    return low - half <= printed.value <= high + half


def _setting(result: Result, axis: str, choice: Any) -> str:
    """Write one choice of a setting, with the hidden layers that a way to count depth makes."""
    depths = {number["depth"] for number in result.search["number"]}
    if axis != "depth_counts" or len(depths) > 1:
        return _choice(choice)
    return f"{choice} ({depths.pop() + MORE_HIDDEN[choice]} hidden layers)"


def _settings_of(result: Result, axis: str, choices: Iterable[Any]) -> str:
    return ", ".join(_setting(result, axis, choice) for choice in choices)


def _number(number: Mapping[str, Any]) -> str:
    """Name a number of a search."""
    if "layer" not in number:
        return str(number["activation"])
    return f"{number['activation']}, layer {number['layer']} after {number['updates']}"


def _digits(number: Mapping[str, Any]) -> int:
    return Printed(number["published"]).digits


def value_in_words(value: float | None) -> str:
    """Write a value that a protocol gives."""
    return "not finite" if value is None else f"{value:.9g}"


def _choice(choice: Any) -> str:
    """Write one choice of a setting."""
    if isinstance(choice, Mapping):
        return "; ".join(f"{key}: {_choice(value)}" for key, value in choice.items())
    if isinstance(choice, list | tuple):
        return " ".join(map(_choice, choice))
    return f"{choice:g}" if isinstance(choice, float) else str(choice)


def _headline(result: Result) -> str:
    """Say in one or two sentences what was found."""
    asked = [place for place, n in enumerate(result.search["number"]) if n["digits"] != 0]
    count, allowed = len(asked), result.search["misses"]
    space = f"{result.different:,} different protocols" if result.different > 1 else "1 protocol"
    but = f" but for at most {allowed}" if allowed else ""
    if not result.classes:
        none = f"None of {space} gives the {count} numbers{but}."
        if allowed + 1 == count:
            return none
        return f"{none} Near misses are shown with misses = {allowed + 1} in the search file."
    hits = sum(result.classes[0].matches[place] for place in asked)
    which = f"all {count}" if hits == count else f"{hits} of {count}"
    classes = len(result.classes)
    sets = "one set" if classes == 1 else f"{classes} sets"
    more = " or more" if classes == SHOWN else ""
    give = "protocol gives" if result.matched == 1 else "protocols give"
    return (
        f"The best of {space} gives {which} numbers. {result.matched:,} {give} the {count}{but}, "
        f"with {sets}{more} of values."
    )


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
        if part.rounding and not _within(result, part, read)
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
    least = min((_over_the_space(result, part) for part in result.parts), default=1.0)
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


def in_terminal(result: Result) -> list[Block]:
    """Say what was found: the best protocols, and how near others came."""
    said: list[Block] = [
        Heading(result.search["title"], 1),
        Sentence(_headline(result)),
        Sentence(""),
    ]
    for place, found in enumerate(result.classes[:3], start=1):
        title = "Best protocol" if place == 1 else f"Next best, number {place}"
        said.append(_numbers(result, found, title))
    if result.classes:
        said.append(_settings(result))
    if result.parts:
        said += [_parts(result, "How much each part says"), Sentence(parts_sentence(result))]
        said.append(Sentence(""))
    return [
        *said,
        _nearest(result, "Nearest to each number by itself"),
        Sentence(chance_sentence(result)),
    ]


def page(result: Result) -> list[Block]:
    """Say all that was found and searched, beside its figure."""
    computed = "; ".join(f"{key} {value}" for key, value in result.environment.items())
    said: list[Block] = [
        Heading(result.search["title"], 1),
        Sentence(f"Source: {result.search['source']}."),
        Sentence(_headline(result)),
        Figure(f"{FIGURE}.png", "Published numbers among those of the space"),
    ]
    for place, found in enumerate(result.classes, start=1):
        said += [Heading(f"Protocol {place}"), _numbers(result, found)]
        settings = tuple(
            (axis, _setting(result, axis, choice), _settings_of(result, axis, undecided))
            for axis, choice in found.protocol.items()
            for undecided in [found.undecided.get(axis, [])]
        )
        said.append(Rows(("setting", "choice", "all that give the same numbers"), settings))
    if result.parts:
        said += [Heading("How much each part says"), _parts(result)]
        said.append(Sentence(parts_sentence(result)))
    searched = tuple(
        (axis, " / ".join(map(_choice, choices)))
        for axis, choices in result.search["space"].items()
    )
    return [
        *said,
        Heading("Nearest to each number by itself"),
        _nearest(result),
        Heading("Chance"),
        Sentence(chance_sentence(result)),
        Heading("What was searched"),
        Sentence(f"{result.listed:,} protocols, of which {result.different:,} differ."),
        Rows(("setting", "choices"), searched),
        Sentence(f"Computed with: {computed}."),
    ]
