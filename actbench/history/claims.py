"""Verdicts and margins over releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from actbench.claims import Claim, ClaimsFile
from actbench.drift import Drift, Flip
from actbench.history.pairs import Pairs
from actbench.records import Verdict

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
