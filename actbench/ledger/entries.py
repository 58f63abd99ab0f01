"""A claim with its verdict, in the words and numbers that a page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actbench import ledger
from actbench.claims import Claim, ClaimsFile, Protocol, Relation, Verdict, measured, metrics
from actbench.claims.verdicts import Judgment
from actbench.ledger import published_table
from actbench.pages.wording import number, settings, words
from actbench.store.terminal import plural

MEANING = {
    Verdict.REPRODUCED: "the claim holds as worded, with its whole interval where it has one",
    Verdict.DIRECTION_ONLY: "a weaker form of it holds (an ordering, a sign, a looser bound)",
    Verdict.NOT_REPRODUCED: "it does not hold, nor does a weaker form where it has one",
    Verdict.INCONCLUSIVE: "too few seeds for the claim's wording, or the evidence is on the edge",
    Verdict.NOT_TESTABLE: "no experiment here can decide it",
}
"""What each verdict says of a claim."""


@dataclass(frozen=True)
class Fact:
    """One line about a claim.

    Args:
        label: What it is about.
        text: What it says.
        code: Whether it is a command.
    """

    label: str
    text: str
    code: bool = False


@dataclass(frozen=True)
class Entry:
    """A line of the ledger.

    Args:
        judgment: The verdict with its evidence.
        experiment: Key of the experiment that decides it; ``None`` where nothing here can.
        facts: Everything else that is known about it, in the order in which to show it.
    """

    judgment: Judgment
    experiment: str | None
    facts: tuple[Fact, ...]

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
            f"This is not the expected verdict, {words(str(claim.expected))}, for which the reason "
            f"on file is: {claim.because}"
        )

    @property
    def published(self) -> str:
        """The published value."""
        value = self.judgment.claim.published
        if value is None:
            return ""
        return number(value, 4) if isinstance(value, float) else f"{value:.4g}"

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
        return ledger.margin(self.judgment)


@dataclass(frozen=True)
class Group:
    """Claims from one place about one metric that had the same verdict for the same reason.

    Args:
        first: The one to show.
        others: Those to name.
        variants: Of the first one's statement under other protocols.
    """

    first: Entry
    others: tuple[Entry, ...]
    variants: tuple[Entry, ...] = ()


def group(
    entries: Sequence[Entry], variants: Mapping[str, Sequence[Entry]] | None = None
) -> list[Group]:
    """Gather claims that are alike, so that a list of them can be read at a glance."""
    found: dict[tuple[str, object, str], list[Entry]] = {}
    for entry in entries:
        claim = entry.judgment.claim
        # One reason is given for the group, so it must be the reason of each.
        alike = claim.source, claim.metric.get("name"), claim.because
        found.setdefault(alike, []).append(entry)
    return [
        Group(first, tuple(others), tuple((variants or {}).get(first.id, ())))
        for first, *others in found.values()
    ]


def entry_of(
    judgment: Judgment, claims: ClaimsFile, stored: bool, elsewhere: str | None, table: str = ""
) -> Entry:
    """Prepare one claim for a page."""
    claim = judgment.claim
    if claim.protocol is None or claim.relation is None:
        return Entry(judgment, None, (Fact("Stated in", claim.source),))
    protocol = claims.protocol[claim.protocol]
    name = str(claim.metric["name"])
    arguments = settings({k: v for k, v in claim.metric.items() if k != "name"})
    facts = [
        Fact("Stated in", claim.source),
        Fact("Protocol", f"{claim.protocol}: {protocol.experiment}, {settings(protocol.settings)}"),
        Fact("Metric", f"{name} ({arguments}): {metrics.definition(name)}"),
        Fact("Holds if", _condition(claim, claim.relation)),
    ]
    if claim.direction is not None:
        facts.append(Fact("Direction holds if", _condition(claim, claim.direction)))
    flips = filter(None, [ledger.redraw(judgment)])
    facts += [
        Fact("Found", _begin(judgment.sentence)),
        *[Fact("The published value", _begin(t)) for t in [judgment.published_run] if t],
        *[Fact("With its table", f"{published_table.ASSUMED} {t}.") for t in [table] if t],
        Fact("Measured in", _evidence(claim.protocol) if stored else "These results."),
        Fact("To flip it", _begin(judgment.to_flip)),
        *[Fact("A redraw", f"Of all runs flips it in {t} of cases.") for t in flips],
    ]
    if claim.quantifier != "exact":
        needed = f"{judgment.seeds}; the claim's wording needs {judgment.seeds_needed}."
        facts.append(Fact("Seeds", needed))
    if elsewhere:
        facts.append(Fact("In other settings", _begin(elsewhere)))
    facts += [Fact("Rerun", command, code=True) for command in _rerun(claim.id, protocol)]
    return Entry(judgment, protocol.experiment, tuple(facts))


def _begin(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


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


def _evidence(protocol: str) -> str:
    made = measured.load(protocol).environment
    return (
        "Stored measurements, as the folder has no results of this protocol; they were made with "
        f"torch {made.get('torch')} on {made.get('cpu')}."
    )


def _rerun(claim_id: str, protocol: Protocol) -> tuple[str, str]:
    slow = " --actbench-slow" if protocol.slow else ""
    return (
        f"pytest 'tests/test_claims.py::test_claim[{claim_id}]'{slow}",
        f"actbench claims show {claim_id}",
    )
