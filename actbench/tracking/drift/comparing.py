"""Two records in; flips, numbers and speed out, and what a CI job makes of them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from actbench.claims.statistics import noise_of_median
from actbench.store.errors import ActbenchError
from actbench.store.terminal import plural
from actbench.tracking.drift.chains import ChainsDrift, compare_chains
from actbench.tracking.drift.distributions import Level, MetricsDrift, compare_distributions
from actbench.tracking.drift.scope import Scope, join, scope_of
from actbench.tracking.records import Record, Timings, Verdict

NOT_TESTABLE = "not_testable"


@dataclass(frozen=True)
class Flip:
    """One claim with another verdict; a value is ``None`` where it is not finite."""

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
    """One claim of the new record with another verdict than its file pins."""

    id: str
    expected: str
    verdict: str
    seeds: int  # too few of them make a claim inconclusive


@dataclass(frozen=True)
class ClaimsDrift:
    """What became of the claims."""

    compared: int = 0  # measured for both records
    flips: tuple[Flip, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()  # of those that were measured for the new record
    new: tuple[str, ...] = ()  # claims that only the new record has
    missing: tuple[str, ...] = ()  # claims that only the old record has
    # How many at least one record judged from values stored in the package, which say nothing
    # about its release; how many are of a protocol with other settings; how many nothing decides.
    stored: int = 0
    left_out: int = 0
    not_testable: int = 0


def _verdicts(
    old: Sequence[Verdict], new: Sequence[Verdict], comparable: Callable[[str], bool]
) -> ClaimsDrift:
    """Compare verdicts, claim by claim."""
    shared, added, missing = join({v.id: v for v in old}, {v.id: v for v in new})
    both = [pair for pair in shared if any(v.verdict != NOT_TESTABLE for v in pair)]
    fresh = [(a, b) for a, b in both if a.fresh and b.fresh]
    pairs = [(a, b) for a, b in fresh if comparable(a.id)]
    return ClaimsDrift(
        compared=len(pairs),
        flips=tuple(
            Flip(
                b.id,
                b.expected,
                *(a.verdict, b.verdict),
                *(a.measured, b.measured),
                *(a.margin, b.margin),
            )
            for a, b in pairs
            if a.verdict != b.verdict
        ),
        unexpected=tuple(
            Unexpected(v.id, v.expected, v.verdict, v.seeds)
            for v in new
            if v.fresh and v.expected and v.verdict != v.expected
        ),
        new=tuple(v.id for v in added),
        missing=tuple(v.id for v in missing),
        stored=len(both) - len(fresh),
        left_out=len(fresh) - len(pairs),
        not_testable=len(shared) - len(both),
    )


_SMALLEST_CHANGE: Final = 0.05
"""A change of speed below this share is not told, however precisely it was measured."""


@dataclass(frozen=True)
class Ratio:
    """How much longer something takes than before."""

    name: str  # of the workload
    old: float  # median, relative to the control (seconds for the control itself)
    new: float
    ratio: float  # new over old; above 1 is slower
    # As a share of the ratio: the notches of both medians (McGill, Tukey and Larsen 1978, section
    # 7), added as independent errors; infinite where a record has one round only, which tells
    # nothing about noise.
    uncertainty: float
    # The smallest factor, to either side, that counts as a change: beyond the uncertainty, 5 %, and
    # for a workload what the control itself changed by. A ratio to the control makes up for a
    # machine in another mood, but not wholly.
    least: float

    @property
    def change(self) -> Literal["slower", "faster", "as before", "unknown"]:
        """Whether it is slower or faster by more than ``least``."""
        if math.isinf(self.least):
            return "unknown"
        if self.ratio > self.least:
            return "slower"
        return "faster" if self.ratio * self.least < 1 else "as before"

    def beyond(self, max_slowdown: float) -> bool:
        """Tell whether it is slower, and by more than a factor beyond its uncertainty."""
        return self.change == "slower" and self.ratio > max_slowdown * (1 + self.uncertainty)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the ratio: one that begins above 1 is slower; ``None`` where noise is not known."""
        if math.isinf(self.uncertainty):
            return None
        return self.ratio / (1 + self.uncertainty), self.ratio * (1 + self.uncertainty)


@dataclass(frozen=True)
class Speed:
    """What became of the speed."""

    workloads: tuple[Ratio, ...] = ()  # those in both records
    mean: float | None = None  # geometric, of their ratios
    # As a share, as if all errors were one, since every ratio rests on the same control.
    mean_uncertainty: float = 0.0
    control: Ratio | None = None  # its own durations in seconds, not relative to anything
    control_is: str = ""  # what it computes
    new: tuple[str, ...] = ()  # names of the workloads that only the new record has
    missing: tuple[str, ...] = ()  # names of those that only the old record has


def _timings(old: Timings, new: Timings) -> Speed:
    """Compare durations of one machine with the same control."""
    found = join(*({w.name: w for w in timings.workloads} for timings in (old, new)))
    control = _ratio("control", old.control_durations_s, new.control_durations_s)
    moved = max(control.ratio, 1 / control.ratio) if control.change != "as before" else 1.0
    ratios = [_ratio(a.name, a.relative, b.relative, moved) for a, b in found.pairs]
    logs = [math.log(r.ratio) for r in ratios]
    return Speed(
        tuple(ratios),
        math.exp(statistics.fmean(logs)) if logs else None,
        statistics.fmean(r.uncertainty for r in ratios) if ratios else 0.0,
        control,
        new.control,
        new=tuple(w.name for w in found.new),
        missing=tuple(w.name for w in found.missing),
    )


def _ratio(name: str, old: Sequence[float], new: Sequence[float], moved: float = 1.0) -> Ratio:
    then, now = statistics.median(old), statistics.median(new)
    uncertainty = math.inf
    if min(len(old), len(new)) > 1:
        uncertainty = math.hypot(noise_of_median(old), noise_of_median(new))
    least = max(1 + max(uncertainty, _SMALLEST_CHANGE), moved)
    return Ratio(name, then, now, now / then, uncertainty, least)


@dataclass(frozen=True)
class Drift:
    """What changed between two records."""

    old: Record
    new: Record
    scope: Scope  # what was compared, and what was left out
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

    def __bool__(self) -> bool:
        return bool(self.claims.flips) or self.numbers_differ or self.speed_differs

    def levels(self) -> Counter[Level]:
        """Count the metrics of each level."""
        return Counter(m.level for m in self.metrics.metrics)


def compare(old: Record, new: Record, protocols: Mapping[str, str | None]) -> Drift:
    """Compare what two releases did; ``protocols`` names that of each claim."""
    scope = scope_of(old, new)

    def comparable(claim: str) -> bool:
        return scope.same_claim(claim, protocols)

    speed = Speed()
    if scope.speed and old.timings is not None and new.timings is not None:
        speed = _timings(old.timings, new.timings)
    return Drift(
        old,
        new,
        scope,
        _verdicts(old.verdicts, new.verdicts, comparable) if scope.claims else ClaimsDrift(),
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
