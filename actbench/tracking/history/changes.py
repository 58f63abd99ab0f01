"""What changed between neighbouring releases: claims, chains of numbers, speed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from actbench.claims import Claim, ClaimsFile
from actbench.tracking.drift import ChainDrift, Drift, Flip, Ratio, compare
from actbench.tracking.drift.chains import ENGINES
from actbench.tracking.records import Record, Verdict

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


@dataclass(frozen=True)
class ChainRow:
    """One chain of numeric results.

    Args:
        name: Such as ``"reference/gelu/float64"``.
        engine: Such as ``"reference"``.
        since_previous: Per release, against the last one before that has the chain; ``None`` where
            there is nothing to compare.
        since_first: Per release, against the first that has the chain.
    """

    name: str
    engine: str
    since_previous: tuple[ChainDrift | None, ...]
    since_first: tuple[ChainDrift | None, ...]

    @property
    def changed_at(self) -> tuple[int, ...]:
        """Numbers of the releases whose bits are not those of the release before."""
        return tuple(n for n, found in enumerate(self.since_previous) if found and found.differing)

    @property
    def back_at(self) -> tuple[int, ...]:
        """Numbers of the releases that changed the bits back to those of the first."""
        return tuple(
            number
            for number in self.changed_at
            if (first := self.since_first[number]) is not None and not first.differing
        )


def chain_rows(pairs: Pairs) -> tuple[ChainRow, ...]:
    """Lay out how much each chain changed."""
    engines = {chain.name: chain.engine for r in pairs.records for chain in r.chains}
    held = [{chain.name for chain in record.chains} for record in pairs.records]
    return tuple(
        ChainRow(
            name,
            engines[name],
            pairs.over(name, held, "previous", _chain),
            pairs.over(name, held, "first", _chain),
        )
        for name in sorted(engines, key=lambda name: ENGINES.index(engines[name]))
    )


def _chain(drift: Drift, name: str) -> ChainDrift | None:
    return next((chain for chain in drift.chains.chains if chain.name == name), None)


Unit = Literal["tolerances", "factor"]

NO_GROUP = "not in the claims file"
"""Where a claim stands that today's claims file does not have."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim that was measured for a record at least once.

    Args:
        id: Of the claim.
        group: Key of the experiment that decides it.
        unit: What ``margins`` are in; ``None`` where that is not known.
        expected: The verdict that the newest record's claims file pins.
        verdicts: Per release; ``None`` where it was not measured for that record.
        margins: Per release, how far that verdict is from flipping; ``None`` where there is none.
        compared: Per release, whether its verdict can be compared with the one measured last; not
            where that was by other settings or another claims file.
        flips: Per release, what changed since it was measured last; ``None`` where nothing did.
    """

    id: str
    group: str
    unit: Unit | None
    expected: str
    verdicts: tuple[str | None, ...]
    margins: tuple[float | None, ...]
    compared: tuple[bool, ...]
    flips: tuple[Flip | None, ...]

    @property
    def flipped_at(self) -> tuple[int, ...]:
        """Numbers of the releases that changed the verdict."""
        return tuple(number for number, flip in enumerate(self.flips) if flip is not None)

    @property
    def smallest_margin(self) -> float | None:
        """The smallest over all releases."""
        return min((margin for margin in self.margins if margin is not None), default=None)


def claim_rows(pairs: Pairs, claims: ClaimsFile) -> tuple[ClaimRow, ...]:
    """Lay out what was judged for the records themselves, not from stored values."""
    fresh = [{v.id: v for v in record.verdicts if v.fresh} for record in pairs.records]
    known = {claim.id: claim for claim in claims.claim}
    ids = dict.fromkeys([*known, *(name for said in fresh for name in said)])
    rows = [
        _row(
            [said.get(name) for said in fresh],
            known.get(name),
            claims,
            pairs.over(name, fresh, "previous", pairs.comparable),
            pairs.over(name, fresh, "previous", _flip),
        )
        for name in ids
        if any(name in said for said in fresh)
    ]
    groups = list(dict.fromkeys(row.group for row in rows))
    return tuple(sorted(rows, key=lambda row: groups.index(row.group)))


def _flip(drift: Drift, claim: str) -> Flip | None:
    return next((flip for flip in drift.claims.flips if flip.id == claim), None)


def _row(
    said: Sequence[Verdict | None],
    claim: Claim | None,
    claims: ClaimsFile,
    compared: tuple[bool | None, ...],
    flips: tuple[Flip | None, ...],
) -> ClaimRow:
    newest = next(v for v in reversed(said) if v is not None)
    unit = _unit(claim, newest.expected)
    group = NO_GROUP
    if claim is not None and claim.protocol is not None:
        group = claims.protocol[claim.protocol].experiment
    return ClaimRow(
        id=newest.id,
        group=group,
        unit=unit,
        expected=newest.expected,
        verdicts=tuple(None if v is None else v.verdict for v in said),
        # A margin to another bound, that of another verdict, may be in another unit.
        margins=tuple(
            None if v is None or _unit(claim, v.verdict) != unit else v.margin for v in said
        ),
        compared=tuple(map(bool, compared)),
        flips=flips,
    )


def _unit(claim: Claim | None, verdict: str) -> Unit | None:
    relation = None if claim is None else claim.decisive(verdict)
    if relation is None:
        return None
    return "tolerances" if relation.kind == "equals" else "factor"


@dataclass(frozen=True)
class SpeedRow:
    """How long one workload takes.

    Args:
        workload: Its name.
        first: Number of the first release that timed it.
        since_previous: Per release, against the last one before that timed it; ``None`` where
            there is nothing to compare.
        since_first: Per release, against the first that timed it.
    """

    workload: str
    first: int
    since_previous: tuple[Ratio | None, ...]
    since_first: tuple[Ratio | None, ...]


def interval(ratio: Ratio) -> tuple[float, float] | None:
    """Return the interval of a ratio, so that one that begins above 1 is slower."""
    if math.isinf(ratio.uncertainty):
        return None
    return ratio.ratio / (1 + ratio.uncertainty), ratio.ratio * (1 + ratio.uncertainty)


def mean_since_first(rows: Sequence[SpeedRow], number: int) -> float | None:
    """Average over workloads how long they take at a release, relative to the first timed one."""
    first = min((row.first for row in rows), default=None)
    if number == first:
        return 1.0
    since = [row.since_first[number] for row in rows if row.first == first]
    ratios = [found.ratio for found in since if found is not None]
    return statistics.geometric_mean(ratios) if ratios else None


def speed_rows(pairs: Pairs) -> tuple[SpeedRow, ...]:
    """Lay out how long each workload takes, relative to the control."""
    timed = [record.timings.workloads if record.timings else [] for record in pairs.records]
    held = [[workload.name for workload in workloads] for workloads in timed]
    return tuple(
        SpeedRow(
            name,
            next(number for number, names in enumerate(held) if name in names),
            pairs.over(name, held, "previous", _ratio),
            pairs.over(name, held, "first", _ratio),
        )
        for name in dict.fromkeys(name for names in held for name in names)
    )


def _ratio(drift: Drift, workload: str) -> Ratio | None:
    return next((ratio for ratio in drift.speed.workloads if ratio.name == workload), None)
