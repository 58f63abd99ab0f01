"""Finding where a history changed, with as few measurements as possible.

A history is a value per release. Between two known releases with different values there is a
change; halving the gap finds one in log2 steps, whatever the other releases do. That it is the
only change, or the first, follows only for a history that changes once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Found:
    """What a search knows at its end.

    Args:
        values: What was known or measured, oldest release first.
        skipped: Releases that could not be measured, oldest first.
        releases: All releases that were searched, oldest first.
    """

    values: Mapping[str, Hashable]
    skipped: tuple[str, ...]
    releases: tuple[str, ...]

    @property
    def transitions(self) -> list[tuple[str, str]]:
        """Neighbors among the known releases that differ: the last before and the first after."""
        known = list(self.values)
        return [(a, b) for a, b in pairwise(known) if self.values[a] != self.values[b]]

    @property
    def first_change(self) -> tuple[str, str] | None:
        """The first of the transitions; ``None`` where nothing differs."""
        return next(iter(self.transitions), None)

    @property
    def monotonic(self) -> bool:
        """Whether everything known fits a history that changes once."""
        return len(self.transitions) <= 1

    @property
    def suspects(self) -> list[str]:
        """Releases that may have made the first change: one, or more where some were skipped."""
        if self.first_change is None:
            return []
        before, after = map(self.releases.index, self.first_change)
        return list(self.releases[before + 1 : after + 1])


def search(
    releases: Sequence[str],
    known: Mapping[str, Hashable],
    measure: Callable[[str], Hashable | None],
) -> Found:
    """Find the first release whose value differs from the oldest one's."""
    place = {release: number for number, release in enumerate(releases)}
    values = dict(known)
    skipped: set[str] = set()

    def found() -> Found:
        ordered = sorted((r for r in values if r in place), key=place.__getitem__)
        return Found(
            {release: values[release] for release in ordered},
            tuple(sorted(skipped, key=place.__getitem__)),
            tuple(releases),
        )

    if values[releases[0]] == values[releases[-1]]:
        return found()
    while True:
        change = found().first_change
        assert change is not None  # noqa: S101 - the ends differ
        low, high = (place[release] for release in change)
        untried = [r for r in releases[low + 1 : high] if r not in skipped]
        if not untried:
            return found()
        middle = untried[len(untried) // 2]
        value = measure(middle)
        if value is None:
            skipped.add(middle)
        else:
            values[middle] = value
