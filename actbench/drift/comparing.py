"""Two records in; flips, numbers and speed out, each apart, and what a CI job makes of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from actbench.drift.chains import ChainsDrift, compare_chains, first_parting
from actbench.drift.distributions import MetricsDrift, compare_distributions
from actbench.drift.flips import ClaimsDrift, compare_verdicts
from actbench.drift.levels import Level
from actbench.drift.scope import Scope, scope_of
from actbench.drift.speed import Speed, compare_timings
from actbench.errors import ActbenchError
from actbench.records import Record, package_of
from actbench.terminal import plural


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
