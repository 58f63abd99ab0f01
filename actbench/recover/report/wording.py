"""What a search found, and what it would take, in sentences."""

from __future__ import annotations

from actbench.recover.outcome import SHOWN, Expected, Result
from actbench.stopwatch import duration

_FEWEST_SAMPLED = 20
_ACCIDENT = 0.05  # matches by chance alone, from which a match may be one of them


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
        f"networks). About {duration(seconds)} of computing, shared by {threads} "
        f"{'thread' if threads == 1 else 'threads'}."
    )


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
