"""What is said of one claim: its numbers, its rule, and everything about it in full."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actbench.claims import measured, metrics
from actbench.claims.claim import Verdict
from actbench.ledger import published_table
from actbench.ledger.judgments import seeds_to_settle
from actbench.pages.wording import number, settings, words
from actbench.store import studies
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from actbench.claims.claim import Claim, PublishedMean, Relation
    from actbench.claims.claims_file import ClaimsFile, Protocol
    from actbench.claims.verdicts import Judgment

MEANING = {
    Verdict.REPRODUCED: "the claim holds as worded, with its whole interval where it has one",
    Verdict.DIRECTION_ONLY: "a weaker form of it holds (an ordering, a sign, a looser bound)",
    Verdict.NOT_REPRODUCED: "it does not hold, nor does a weaker form where it has one",
    Verdict.INCONCLUSIVE: "too few seeds for the claim's wording, or the evidence is on the edge",
    Verdict.NOT_TESTABLE: "no experiment here can decide it",
}
"""What each verdict says of a claim."""


def four_digits(value: float | PublishedMean | None) -> str:
    """Write a value, or a mean with its parts, with four digits, or nothing where there is none."""
    return "" if value is None else f"{value:.4g}"


def found(judgment: Judgment) -> str:
    """Write the measured value, with its interval where that decides nothing."""
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else four_digits(judgment.measured)
    # The value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else four_digits(end) for end in judgment.interval)
        text += f" (between {low} and {high})" if low != high else ""
    return text


def margin(judgment: Judgment) -> str:
    """Say how far a verdict is from flipping."""
    decisive = judgment.claim.decisive(judgment.verdict)
    if judgment.margin is None or decisive is None:
        return ""
    kind = decisive.kind
    return f"{judgment.margin:.3g} tol." if kind == "equals" else f"factor {judgment.margin:.3g}"


def redraw(judgment: Judgment) -> str:
    """Say how likely all runs, made again, are to end in another verdict; empty if not known."""
    chance = judgment.flip_probability
    if chance is None or judgment.claim.quantifier == "exact":
        return ""
    return f"{chance:.0%}" if chance >= 0.01 else "<1%"


def rule(claim: Claim) -> str:
    """Say what is measured for a claim, and where it must lie."""
    if claim.relation is None:
        return ""
    every = f"{claim.share:.0%} of all seeds "
    of = {"exact": "", "median": "median ", "mean": "mean ", "every": every}
    text = _measures(claim).removesuffix(".")
    text = f"{text}: {'' if claim.pooled else of[claim.quantifier]}{_where(claim.relation)}"
    if claim.direction is not None:
        text += f"; direction only if {_where(claim.direction)}"
    return text


def _measures(claim: Claim) -> str:
    if "name" in claim.metric:
        return metrics.definition(str(claim.metric["name"]))
    from actbench.runs import columns

    return str(columns.parse(claim.metric))


def _where(relation: Relation) -> str:
    low, high = relation.bounds
    if math.isinf(high):
        return f"at least {low:.4g}"
    return f"at most {high:.4g}" if math.isinf(low) else f"from {low:.4g} to {high:.4g}"


def elsewhere(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say what studies remark on each claim, such as in how many other settings it holds."""
    said: dict[str, str] = {}
    for part in studies.parts("remarks"):
        said |= part.remarks(claims, judgments)
    return said


def in_full(
    judgment: Judgment, claims: ClaimsFile, *, stored: bool, others: Sequence[Judgment] = ()
) -> str:
    """Write everything about one claim, a line each."""
    claim = judgment.claim
    facts: list[tuple[str, str | None]] = [
        ("says", claim.statement),
        ("stated in", claim.source),
        ("verdict", f"{judgment.verdict} (expected: {claim.expected})"),
        ("why", claim.because),
    ]
    if claim.protocol is not None and claim.relation is not None:
        protocol = claims.protocol[claim.protocol]
        facts += _asked(claim, claim.relation, protocol)
        facts += _answered(judgment, claims, "stored measurements" if stored else "results")
        facts += [
            ("rerun", _test(claims, claim.id, protocol)),
            ("elsewhere", elsewhere(claims, [judgment]).get(claim.id)),
            *(("beside", _told_beside(other, claims)) for other in others),
            ("measured", _made(claim.protocol, claims) if stored else None),
        ]
    return "\n".join(
        [claim.id, *(f"  {about:11}{text}" for about, text in facts if text is not None)]
    )


def _asked(claim: Claim, relation: Relation, protocol: Protocol) -> list[tuple[str, str]]:
    arguments = ", ".join(f"{k}={v}" for k, v in claim.metric.items() if k != "name")
    metric = f"{claim.metric['name']}({arguments}): " if "name" in claim.metric else ""
    facts = [
        ("protocol", f"{claim.protocol}: {protocol.experiment}, {_settings(protocol)}"),
        ("metric", f"{metric}{_measures(claim)}"),
        ("holds if", f"{claim.quantifier} {_within(relation)}"),
    ]
    return facts + ([("direction", _within(claim.direction))] if claim.direction else [])


def _within(relation: Relation) -> str:
    low, high = relation.bounds
    return f"in [{low:.6g}, {high:.6g}]: {relation.reason}"


def _answered(
    judgment: Judgment, claims: ClaimsFile, evidence: str
) -> list[tuple[str, str | None]]:
    interval = "none, as it is one value"
    if judgment.interval is None:
        interval = "none"
    elif judgment.interval[0] != judgment.interval[1]:
        interval = f"{judgment.interval[0]:.6g} to {judgment.interval[1]:.6g}"
    settling, flips = seeds_to_settle(judgment), redraw(judgment)
    about = "about " if judgment.seeds >= judgment.seeds_needed else ""
    return [
        ("found", f"{judgment.sentence} ({evidence})"),
        ("published", judgment.published_run or None),
        ("interval", f"{interval}, error level {claims.level(judgment.claim):.2g}"),
        ("margin", f"{margin(judgment) or 'none'} to the bound"),
        ("seeds", f"{judgment.seeds}; the wording needs {judgment.seeds_needed}"),
        ("to flip", judgment.to_flip),
        ("redraw", f"of all runs flips it in {flips} of cases" if flips else None),
        ("to decide", f"{about}{plural(settling, 'seed')}" if settling else None),
    ]


def _told_beside(judgment: Judgment, claims: ClaimsFile) -> str:
    claim = judgment.claim
    told = _settings(claims.protocol[claim.protocol]) if claim.protocol else "no protocol"
    return (
        f"{claim.id}, judged under {claim.protocol} ({told}): {judgment.verdict}; "
        f"{judgment.sentence}"
    )


def _settings(protocol: Protocol) -> str:
    return ", ".join(f"{k}={v}" for k, v in protocol.settings.items()) or "defaults"


def _test(claims: ClaimsFile, claim_id: str, protocol: Protocol) -> str:
    slow = " --actbench-slow" if protocol.slow else ""
    if claims.of_the_study:
        return f"pytest 'tests/test_claims.py::test_claim[{claim_id}]'{slow}"
    return f"pytest --actbench-claims {shlex.quote(str(claims.path))} -k {claim_id}{slow}"


def _made(protocol: str, claims: ClaimsFile) -> str:
    made = measured.load(protocol, claims.measured_folder).environment
    return f"with torch {made.get('torch')} on {made.get('cpu')}"


@dataclass(frozen=True)
class Entry:
    """A claim as a report shows it, in the style of the study.

    Args:
        judgment: The verdict with its evidence.
        experiment: Key of the experiment that decides it; ``None`` where nothing here can.
        facts: Everything else that is known about it, in the order in which to show it.
        commands: Those that judge it again.
    """

    judgment: Judgment
    experiment: str | None
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The claim's id."""
        return self.judgment.claim.id

    @property
    def statement(self) -> str:
        """What the claim says."""
        return self.judgment.claim.statement

    @property
    def verdict(self) -> str:
        """The verdict's key."""
        return str(self.judgment.verdict)

    @property
    def why(self) -> str:
        """Why the verdict is what it is."""
        claim, judgment = self.judgment.claim, self.judgment
        if judgment.as_expected:
            return claim.because
        if judgment.verdict is Verdict.INCONCLUSIVE:
            return f"Undecided: it takes {judgment.to_flip}."
        return (
            "This is not the expected verdict, "
            f"{words(str(claim.expected))}, for which the reason on file is: "
            f"{claim.because}"
        )

    @property
    def published(self) -> str:
        """The published value."""
        value = self.judgment.claim.published
        return number(value, 4) if isinstance(value, float) else four_digits(value)

    @property
    def measured(self) -> str:
        """The measured value; of a claim about every seed, the share of seeds that agree."""
        value = self.judgment.measured
        if value is None:
            return ""
        if self.judgment.claim.quantifier == "every":
            return f"{100 * value:.3g} % of {plural(self.judgment.seeds, 'seed')} agree"
        return number(value, 4)

    @property
    def interval(self) -> str:
        """The interval of the measured value; empty where no seed enters."""
        interval = self.judgment.interval
        if interval is None or self.judgment.claim.quantifier == "exact":
            return ""
        if self.judgment.claim.quantifier == "every":
            return f"{100 * interval[0]:.3g} % to {100 * interval[1]:.3g} %"
        return f"{number(interval[0], 4)} to {number(interval[1], 4)}"

    @property
    def margin(self) -> str:
        """How far the verdict is from flipping."""
        return margin(self.judgment)


def entry_of(
    judgment: Judgment, claims: ClaimsFile, stored: bool, elsewhere: str | None, table: str = ""
) -> Entry:
    """Prepare one claim for a report."""
    claim = judgment.claim
    stated = ("Stated in", claim.source)
    if claim.protocol is None or claim.relation is None:
        return Entry(judgment, None, (stated,))
    protocol = claims.protocol[claim.protocol]
    name = str(claim.metric["name"])
    arguments = settings({k: v for k, v in claim.metric.items() if k != "name"})
    needed = f"{judgment.seeds}; the claim's wording needs {judgment.seeds_needed}."
    flips = redraw(judgment)
    evidence = "These results."
    if stored:
        evidence = (
            "Stored measurements, as the folder has no results of this protocol; they were made "
            f"{_made(claim.protocol, claims)}."
        )
    facts = [
        stated,
        ("Protocol", f"{claim.protocol}: {protocol.experiment}, {settings(protocol.settings)}"),
        ("Metric", f"{name} ({arguments}): {metrics.definition(name)}"),
        ("Holds if", _condition(claim, claim.relation)),
        ("Direction holds if", _condition(claim, claim.direction) if claim.direction else ""),
        ("Found", _begun(judgment.sentence)),
        ("The published value", _begun(judgment.published_run)),
        ("With its table", f"{published_table.ASSUMED} {table}." if table else ""),
        ("Measured in", evidence),
        ("To flip it", _begun(judgment.to_flip)),
        ("A redraw", f"Of all runs flips it in {flips} of cases." if flips else ""),
        ("Seeds", needed if claim.quantifier != "exact" else ""),
        ("In other settings", _begun(elsewhere or "")),
    ]
    commands = (_test(claims, claim.id, protocol), f"actbench claims show {claim.id}")
    return Entry(judgment, protocol.experiment, tuple(fact for fact in facts if fact[1]), commands)


def _begun(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _condition(claim: Claim, relation: Relation) -> str:
    what = {
        "exact": "The metric is",
        "median": "The median over seeds is",
        "mean": "The mean over networks is",
        "every": f"In at least {100 * claim.share:g} % of all seeds the metric is",
    }[claim.quantifier]
    low, high = (number(bound, 6) for bound in relation.bounds)
    where = {
        "above": f"at least {low}",
        "below": f"at most {high}",
        "equals": f"between {low} and {high}",
    }[relation.kind]
    return f"{what} {where}. {relation.reason}"
