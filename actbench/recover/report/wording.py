"""What a search found, and what it would take, in sentences."""

from __future__ import annotations

from actbench.recover.outcome import SHOWN, Result
from actbench.recover.report.cells import over_the_space, within
from actbench.recover.scrutiny import MOVED
from actbench.stopwatch import duration
from actbench.terminal import plural

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
