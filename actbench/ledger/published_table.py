"""Several numbers of one published table: could one run of ours have given them all?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.published_value import COVERAGE, joint_p, run_beside

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

ASSUMED = (
    "The published numbers of one table together, among our runs, if the published run is one draw "
    "of them all, as each of ours is:"
)
"""What stands before the answers."""

_FEWEST = round(1 / (1 - COVERAGE)) - 1
"""Of fewer runs no p is below 1 - COVERAGE."""


@dataclass(frozen=True)
class Together:
    """How surprising the numbers of one table are together, among runs of one protocol."""

    protocol: str
    claims: tuple[str, ...]  # their ids, one per number
    runs: int
    p: float  # that one more run lies as far out, or farther, whatever the distribution

    def __str__(self) -> str:
        """In words, such as ``"stated: a and 4 more are hardly of one such run (joint p = …)"``."""
        which = f"{self.protocol}: {self.claims[0]} and {len(self.claims) - 1} more"
        if self.runs < _FEWEST:
            return f"{which}: {_FEWEST} runs instead of {self.runs} could tell"
        could = "could be" if self.p > 1 - COVERAGE else "are hardly"
        return f"{which} {could} of one such run (joint p = {self.p:.2g}, {self.runs} runs)"

    def row(self) -> dict[str, object]:
        """Return it as JSON-ready names and values."""
        return {**asdict(self), "claims": list(self.claims)}


def together(
    judgments: Sequence[Judgment], among: Sequence[Judgment] | None = None
) -> list[Together]:
    """Ask of each published table whether one run could have given all its numbers.

    Numbers are of one table where their claims share protocol and source, and their metrics differ
    in nothing but the activation or the column. A metric that is asked about twice counts once.
    """
    tables: dict[Hashable, dict[str, Judgment]] = {}
    for judgment in among or judgments:
        claim, values = judgment.claim, judgment.values
        if values is None or run_beside(claim, values) is None:
            continue
        rest = {k: v for k, v in claim.metric.items() if k not in ("activation", "column")}
        table = claim.protocol, claim.source, repr(sorted(rest.items())), len(values)
        tables.setdefault(table, {}).setdefault(repr(sorted(claim.metric.items())), judgment)
    shown = {judgment.claim.id for judgment in judgments}
    joint = (_joint(list(found.values())) for found in tables.values() if len(found) > 1)
    return [one for one in joint if not shown.isdisjoint(one.claims)]


def _joint(judgments: Sequence[Judgment]) -> Together:
    values = np.stack([j.values for j in judgments if j.values is not None], axis=1)
    published = np.array([j.claim.published_value for j in judgments], dtype=np.float64)
    names = tuple(j.claim.id for j in judgments)
    protocol = str(judgments[0].claim.protocol)
    return Together(protocol, names, len(values), joint_p(values, published))


def sentences(judgments: Sequence[Judgment], among: Sequence[Judgment] | None = None) -> list[str]:
    """Say what ``together`` finds, a line each below what it assumes; empty where it finds none."""
    found = together(judgments, among)
    return [ASSUMED, *(f"{one}." for one in found)] if found else []
