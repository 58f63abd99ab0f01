"""Which release is compared with which, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from actbench.drift import Drift, compare
from actbench.records import Record

_T = TypeVar("_T")

Partner = Literal["previous", "first"]


@dataclass(frozen=True)
class Pairs:
    """Comparisons of some records with one another, each made when it is first asked for.

    Args:
        records: One per release of one machine, oldest first.
        protocols: Each claim's protocol, by the claim's id.
    """

    records: Sequence[Record]
    protocols: Mapping[str, str | None]
    _made: dict[tuple[int, int], Drift] = field(default_factory=dict, repr=False)

    def drift(self, old: int, new: int) -> Drift:
        """Compare two releases."""
        if (old, new) not in self._made:
            self._made[old, new] = compare(self.records[old], self.records[new], self.protocols)
        return self._made[old, new]

    def comparable(self, drift: Drift, claim: str) -> bool:
        """Tell whether a comparison looked at a claim that both records measured."""
        return drift.scope.claims and drift.scope.same_claim(claim, self.protocols)

    def over(
        self,
        name: str,
        held: Sequence[Collection[str]],
        partner: Partner,
        pick: Callable[[Drift, str], _T | None],
    ) -> tuple[_T | None, ...]:
        """Compare one thing over all releases."""
        there = [number for number, names in enumerate(held) if name in names]
        found: list[_T | None] = [None] * len(held)
        for place, number in enumerate(there[1:]):
            old = there[place] if partner == "previous" else there[0]
            found[number] = pick(self.drift(old, number), name)
        return tuple(found)

    def remarks(self) -> Iterator[str]:
        """Say what neighboring releases do not allow to be compared."""
        about: dict[str, list[str]] = {}
        for number in range(1, len(self.records)):
            found = self.drift(number - 1, number)
            for sentence in found.scope.left_out:
                pair = f"{found.old.torch} and {found.new.torch}"
                about.setdefault(sentence, []).append(pair)
        for sentence, pairs in about.items():
            everywhere = len(pairs) == len(self.records) - 1
            who = "every two neighbors" if everywhere else ", ".join(pairs)
            yield f"Comparing {who}: {sentence}"
