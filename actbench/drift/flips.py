"""First part of a drift: claims whose verdict is another than before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actbench.records import Verdict

_NOT_TESTABLE = "not_testable"


@dataclass(frozen=True)
class Flip:
    """One claim with another verdict.

    Args:
        id: The claim.
        expected: What the claims file pins.
        old: Its verdict before.
        new: Its verdict now.
        old_measured: The value before; ``None`` where it is not finite.
        new_measured: The value now.
        old_margin: How far the verdict was from flipping; ``None`` where that has no meaning.
        new_margin: How far it is now.
    """

    id: str
    expected: str
    old: str
    new: str
    old_measured: float | None
    new_measured: float | None
    old_margin: float | None
    new_margin: float | None


@dataclass(frozen=True)
class Unexpected:
    """One claim of the new record with another verdict than its file pins.

    Args:
        id: The claim.
        expected: What is pinned.
        verdict: What came out.
        seeds: How many were measured; too few of them make a claim inconclusive.
    """

    id: str
    expected: str
    verdict: str
    seeds: int


@dataclass(frozen=True)
class ClaimsDrift:
    """What became of the claims.

    Args:
        compared: How many were measured for both records.
        flips: Those of them with another verdict.
        unexpected: Claims measured for the new record whose verdict is not the expected one.
        new: Claims that only the new record has.
        missing: Claims that only the old record has.
        stored: How many were left out because at least one record judged them from values stored
            in the package, which say nothing about its release.
        left_out: How many were left out because their protocol has other settings.
        not_testable: How many no experiment can decide.
    """

    compared: int = 0
    flips: tuple[Flip, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    stored: int = 0
    left_out: int = 0
    not_testable: int = 0


def compare_verdicts(
    old: Sequence[Verdict], new: Sequence[Verdict], comparable: Callable[[str], bool]
) -> ClaimsDrift:
    """Compare verdicts, claim by claim."""
    before, now = {v.id: v for v in old}, {v.id: v for v in new}
    shared = [(v, now[v.id]) for v in before.values() if v.id in now]
    both = [pair for pair in shared if any(v.verdict != _NOT_TESTABLE for v in pair)]
    fresh = [(a, b) for a, b in both if a.fresh and b.fresh]
    pairs = [(a, b) for a, b in fresh if comparable(a.id)]
    return ClaimsDrift(
        compared=len(pairs),
        flips=tuple(_flip(a, b) for a, b in pairs if a.verdict != b.verdict),
        unexpected=tuple(
            Unexpected(v.id, v.expected, v.verdict, v.seeds)
            for v in now.values()
            if v.fresh and v.expected and v.verdict != v.expected
        ),
        new=tuple(claim for claim in now if claim not in before),
        missing=tuple(claim for claim in before if claim not in now),
        stored=len(both) - len(fresh),
        left_out=len(fresh) - len(pairs),
        not_testable=len(shared) - len(both),
    )


def _flip(old: Verdict, new: Verdict) -> Flip:
    return Flip(
        new.id,
        new.expected,
        old.verdict,
        new.verdict,
        old.measured,
        new.measured,
        old.margin,
        new.margin,
    )
