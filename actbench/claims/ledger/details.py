"""One claim of the ledger in full."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from actbench.claims import measured
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.ledger.judging import seeds_to_settle
from actbench.claims.ledger.wording import elsewhere, margin, measures, redraw
from actbench.terminal import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.claims.claim import Claim, Relation
    from actbench.claims.claims_file import Protocol
    from actbench.claims.verdicts import Judgment


def in_full(
    judgment: Judgment, claims: ClaimsFile, *, stored: bool, others: Sequence[Judgment] = ()
) -> str:
    """Write everything about one claim."""
    claim = judgment.claim
    lines = [
        claim.id,
        f"  says       {claim.statement}",
        f"  stated in  {claim.source}",
        f"  verdict    {judgment.verdict} (expected: {claim.expected})",
        f"  why        {claim.because}",
    ]
    if claim.protocol is None or claim.relation is None:
        return "\n".join(lines)
    protocol = claims.protocol[claim.protocol]
    lines += _asked(claim, claim.relation, protocol)
    lines += _found(judgment, claims, "stored measurements" if stored else "results")
    lines.append(
        f"  rerun      {_rerun(claims, claim.id)}" + (" --actbench-slow" if protocol.slow else "")
    )
    sentence = elsewhere(claims, [judgment]).get(claim.id)
    if sentence:
        lines.append(f"  elsewhere  {sentence}")
    lines += [_told_beside(other, claims) for other in others]
    if stored:
        made = measured.load(claim.protocol, claims.measured_folder).environment
        lines.append(f"  measured   with torch {made.get('torch')} on {made.get('cpu')}")
    return "\n".join(lines)


def _asked(claim: Claim, relation: Relation, protocol: Protocol) -> list[str]:
    arguments = ", ".join(f"{k}={v}" for k, v in claim.metric.items() if k != "name")
    metric = f"{claim.metric['name']}({arguments}): " if "name" in claim.metric else ""
    low, high = relation.bounds
    lines = [
        f"  protocol   {claim.protocol}: {protocol.experiment}, {_settings(protocol)}",
        f"  metric     {metric}{measures(claim)}",
        f"  holds if   {claim.quantifier} in [{low:.6g}, {high:.6g}]: {relation.reason}",
    ]
    if claim.direction is not None:
        low, high = claim.direction.bounds
        lines.append(f"  direction  in [{low:.6g}, {high:.6g}]: {claim.direction.reason}")
    return lines


def _found(judgment: Judgment, claims: ClaimsFile, evidence: str) -> list[str]:
    interval = "none, as it is one value"
    if judgment.interval is None:
        interval = "none"
    elif judgment.interval[0] != judgment.interval[1]:
        interval = f"{judgment.interval[0]:.6g} to {judgment.interval[1]:.6g}"
    settling, flips = seeds_to_settle(judgment), redraw(judgment)
    about = "about " if judgment.seeds >= judgment.seeds_needed else ""
    return [
        f"  found      {judgment.sentence} ({evidence})",
        *([f"  published  {judgment.published_run}"] if judgment.published_run else []),
        f"  interval   {interval}, error level {claims.level(judgment.claim):.2g}",
        f"  margin     {margin(judgment) or 'none'} to the bound",
        f"  seeds      {judgment.seeds}; the wording needs {judgment.seeds_needed}",
        f"  to flip    {judgment.to_flip}",
        *([f"  redraw     of all runs flips it in {flips} of cases"] if flips else []),
        *([f"  to decide  {about}{plural(settling, 'seed')}"] if settling else []),
    ]


def _told_beside(judgment: Judgment, claims: ClaimsFile) -> str:
    claim = judgment.claim
    settings = _settings(claims.protocol[claim.protocol]) if claim.protocol else "no protocol"
    return (
        f"  beside     {claim.id}, judged under {claim.protocol} ({settings}): {judgment.verdict}; "
        f"{judgment.sentence}"
    )


def _settings(protocol: Protocol) -> str:
    return ", ".join(f"{k}={v}" for k, v in protocol.settings.items()) or "defaults"


def _rerun(claims: ClaimsFile, claim_id: str) -> str:
    if claims.of_the_study:
        return f"pytest 'tests/test_claims.py::test_claim[{claim_id}]'"
    return f"pytest --actbench-claims {shlex.quote(str(claims.path))} -k {claim_id}"
