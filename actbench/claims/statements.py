"""What the statements of a publication come to, each counted once however often it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from actbench.claims.claim import Verdict
from actbench.terminal import plural

if TYPE_CHECKING:
    from actbench.claims.claims_file import ClaimsFile
    from actbench.claims.verdicts import Judgment


class Standing(StrEnum):
    """Where a statement holds, from the best to the worst."""

    DOCUMENTED = "as documented"
    AS_RUN = "only as run"
    PARTLY = "only under some settings"
    DIRECTION = "in direction only"
    NOWHERE = "nowhere"
    UNDECIDED = "undecided"
    UNTESTABLE = "not testable"


_FAILED = {Verdict.DIRECTION_ONLY, Verdict.NOT_REPRODUCED}


@dataclass(frozen=True)
class Statement:
    """A statement of the publication.

    Args:
        standing: Where it holds.
        shown: The judgment that says so best.
        others: Of the same statement under other protocols.
    """

    standing: Standing
    shown: Judgment
    others: tuple[Judgment, ...]


def statements(claims: ClaimsFile | None, judgments: Sequence[Judgment]) -> list[Statement]:
    """Gather what was judged into statements; claims that are ours are none."""
    families: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        if not judgment.claim.ours:
            first = judgment.claim.variant_of or judgment.claim.id
            families.setdefault(first, []).append(judgment)
    return [_statement(claims, family) for family in families.values()]


def _statement(claims: ClaimsFile | None, family: Sequence[Judgment]) -> Statement:
    run = claims.as_run if claims is not None else frozenset()
    documented = [j.verdict for j in family if j.claim.protocol not in run]
    held = [j for j in family if j.verdict is Verdict.REPRODUCED]
    found = {judgment.verdict for judgment in family}
    if found == {Verdict.NOT_TESTABLE}:
        standing = Standing.UNTESTABLE
    elif documented and set(documented) == {Verdict.REPRODUCED}:
        standing = Standing.DOCUMENTED
    elif Verdict.REPRODUCED in documented and set(documented) & _FAILED:
        standing = Standing.PARTLY
    elif held and Verdict.INCONCLUSIVE not in documented:  # it may still hold as documented
        standing = Standing.AS_RUN
    elif Verdict.INCONCLUSIVE in found:
        standing = Standing.UNDECIDED
    elif Verdict.DIRECTION_ONLY in found:
        standing = Standing.DIRECTION
    else:
        standing = Standing.NOWHERE
    shown = held[0] if standing is Standing.AS_RUN else family[0]
    return Statement(standing, shown, tuple(j for j in family if j is not shown))


def counted(claims: ClaimsFile | None, judgments: Sequence[Judgment]) -> list[str]:
    """Count what was judged: statements by where they hold, and claims of ours by verdict."""
    ours = [j for j in judgments if j.claim.ours]
    if not ours and not any(j.claim.variant_of for j in judgments):
        return [f"{plural(len(judgments), 'claim')}: {_by_verdict(judgments)}"]
    stated = [s.standing for s in statements(claims, judgments)]
    parts = [f"{n} {standing}" for standing in Standing if (n := stated.count(standing))]
    texts = [f"{plural(len(stated), 'statement')}: {', '.join(parts) or 'none'}"]
    return texts + [f"{plural(len(ours), 'claim')} of ours: {_by_verdict(ours)}"] * bool(ours)


def _by_verdict(judgments: Sequence[Judgment]) -> str:
    found = [j.verdict for j in judgments]
    parts = [f"{number} {verdict}" for verdict in Verdict if (number := found.count(verdict))]
    return ", ".join(parts) or "none"
