"""Two records in; flips, numbers and speed out, and what a CI job makes of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from actbench.store.errors import ActbenchError
from actbench.store.terminal import plural
from actbench.tracking.drift.chains import ChainsDrift, compare_chains, first_parting
from actbench.tracking.drift.distributions import Level, MetricsDrift, compare_distributions
from actbench.tracking.drift.scope import Scope, scope_of
from actbench.tracking.drift.speed import Speed, compare_timings
from actbench.tracking.records import Record, Verdict, package_of

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


@dataclass(frozen=True)
class Origin:
    """Where a record comes from.

    Args:
        torch: The release, such as ``"2.13.0"``.
        made_at: When, UTC, ISO 8601.
        environment: Versions and hardware, flat.
    """

    torch: str
    made_at: str
    environment: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """Package and release, such as ``"torch 2.13.0"``."""
        package = package_of(self.environment)
        return f"{package} {self.torch if package == 'torch' else self.environment[package]}"


@dataclass(frozen=True)
class Drift:
    """What changed between two records.

    Args:
        old: Where the one comes from.
        new: Where the other comes from.
        scope: What was compared, and what was left out.
        claims: Claims that flipped.
        metrics: Metrics over seeds.
        chains: Fingerprints.
        speed: Relative durations.
    """

    old: Origin
    new: Origin
    scope: Scope
    claims: ClaimsDrift
    metrics: MetricsDrift
    chains: ChainsDrift
    speed: Speed

    @property
    def numbers_differ(self) -> bool:
        """Whether a bit of a metric or of a fingerprint differs."""
        return bool(self.chains.differing) or any(
            m.level is not Level.IDENTICAL for m in self.metrics.metrics
        )

    @property
    def speed_differs(self) -> bool:
        """Whether a workload is slower or faster by more than what counts as a change."""
        return any(r.change in ("slower", "faster") for r in self.speed.workloads)

    @property
    def first_parting(self) -> str:
        """At which operation the releases part first; empty where they do not."""
        return first_parting(self.chains)

    def __bool__(self) -> bool:
        return bool(self.claims.flips) or self.numbers_differ or self.speed_differs

    def levels(self) -> Counter[Level]:
        """Count the metrics of each level."""
        return Counter(m.level for m in self.metrics.metrics)


def compare(old: Record, new: Record, protocols: Mapping[str, str | None]) -> Drift:
    """Compare what two releases of torch did."""
    scope = scope_of(old, new)

    def comparable(claim: str) -> bool:
        return scope.same_claim(claim, protocols)

    speed = Speed()
    if scope.speed and old.timings is not None and new.timings is not None:
        speed = compare_timings(old.timings, new.timings)
    return Drift(
        Origin(old.torch, old.made_at, old.environment),
        Origin(new.torch, new.made_at, new.environment),
        scope,
        compare_verdicts(old.verdicts, new.verdicts, comparable) if scope.claims else ClaimsDrift(),
        compare_distributions(old, new, scope.protocols, scope.changed),
        compare_chains(old, new) if scope.bits else ChainsDrift(),
        speed,
    )


def failures(drift: Drift, *, strict: bool, max_slowdown: float | None) -> list[str]:
    """Say what makes a job fail."""
    _require_something(drift, strict, max_slowdown)
    found = []
    if drift.claims.flips:
        ids = ", ".join(flip.id for flip in drift.claims.flips)
        found.append(f"{plural(len(drift.claims.flips), 'claim')} flipped: {ids}.")
    if strict:
        metrics = drift.metrics.metrics
        left = [m.name for m in metrics if m.level is Level.OUTSIDE_SPREAD]
        left += [c.name for c in drift.chains.chains if c.level is Level.OUTSIDE_SPREAD]
        if left:
            found.append(f"--strict: numbers moved beyond seeds and rounding: {_some(left)}.")
        larger = [m.name for m in metrics if m.level is Level.LARGER]
        if larger:
            found.append(f"--strict: beyond the last digit, on few seeds: {_some(larger)}.")
    if max_slowdown is not None:
        slow = [
            f"{r.name} ({r.ratio:.3g} times)"
            for r in drift.speed.workloads
            if r.beyond(max_slowdown)
        ]
        if slow:
            found.append(f"--max-slowdown {max_slowdown:g}: slower are {_some(slow)}.")
    return found


def _require_something(drift: Drift, strict: bool, max_slowdown: float | None) -> None:
    if max_slowdown is not None and not (math.isfinite(max_slowdown) and max_slowdown >= 1):
        raise ActbenchError(
            f"--max-slowdown is {max_slowdown:g}, but must be a finite factor of at least 1, such "
            "as 1.3"
        )
    numbers = drift.metrics.metrics or drift.chains.chains
    because = " ".join(drift.scope.left_out) or "They share neither claim, metric nor workload."
    if not (drift.claims.compared or numbers or drift.speed.workloads):
        raise ActbenchError(f"the two records have nothing that can be compared. {because}")
    if strict and not numbers:
        raise ActbenchError(f"--strict has no numbers to look at. {because}")
    if max_slowdown is not None and not drift.speed.workloads:
        raise ActbenchError(f"--max-slowdown has no workload to look at. {because}")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
