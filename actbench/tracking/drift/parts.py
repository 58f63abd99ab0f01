"""The words and tables of a drift, in three parts, before they become a screen or a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actbench.store.terminal import plural
from actbench.tracking.drift.chains import ChainDrift, StepDrift
from actbench.tracking.drift.comparing import Drift, Unexpected
from actbench.tracking.drift.distributions import Level, MetricDrift
from actbench.tracking.drift.speed import Ratio
from actbench.tracking.records import package_of

MOST_ROWS = 20
"""Rows of one table on screen or page; JSON has all."""


@dataclass(frozen=True)
class Rows:
    """A table.

    Args:
        heading: One per column.
        rows: As many cells each.
        omitted: How many rows more there are.
    """

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    omitted: int = 0


@dataclass(frozen=True)
class Part:
    """One of the parts of a drift.

    Args:
        heading: Its title.
        answer: What it found, one sentence.
        blocks: Further sentences and tables, in order.
        alarming: Whether the answer is a failure by itself.
    """

    heading: str
    answer: str
    blocks: tuple[str | Rows, ...] = ()
    alarming: bool = False


def parts(drift: Drift) -> list[Part]:
    """Put a drift into words."""
    return [_claims(drift), _numbers(drift), _speed(drift)]


def origins(drift: Drift) -> list[str]:
    """Say which two records are compared."""
    lines = []
    for which, origin in (("old", drift.old), ("new", drift.new)):
        told = origin.environment
        package = package_of(told)
        build = told.get(package, origin.torch)
        where = told.get("device_name", told.get("cpu", "unknown machine"))
        threads = f", threads {told['threads']}" if "threads" in told else ""
        lines.append(f"{which}: {package} {build} on {where}{threads}, made {origin.made_at}")
    return lines


def _claims(drift: Drift) -> Part:
    found = drift.claims
    if found.flips:
        answer = f"{len(found.flips)} of {plural(found.compared, 'claim')} flipped."
    elif found.compared:
        answer = f"No claim flipped; {plural(found.compared, 'claim')} compared."
    else:
        answer = "No claim was compared."
    blocks: list[str | Rows] = []
    if found.flips:
        heading = ("claim", "was", "is", "expected", "value was", "value is")
        blocks.append(
            _rows(
                heading,
                [
                    (f.id, f.old, f.new, f.expected, _value(f.old_measured), _value(f.new_measured))
                    for f in found.flips
                ],
            )
        )
    if found.stored:
        blocks.append(
            f"{plural(found.stored, 'claim')} left out: judged from values stored in the package, "
            "which say nothing about this release."
        )
    if found.not_testable:
        blocks.append(f"{plural(found.not_testable, 'claim')} no experiment can decide.")
    if found.left_out:
        blocks.append(f"{plural(found.left_out, 'claim')} left out for the reasons below.")
    if found.unexpected:
        blocks.append("Not as expected in the new record: " + _unexpected(found.unexpected))
    blocks += _only("Claims", found.new, found.missing)
    return Part("Claims that flipped", answer, tuple(blocks), alarming=bool(found.flips))


def _unexpected(claims: Sequence[Unexpected]) -> str:
    found = []
    for verdict in dict.fromkeys(u.verdict for u in claims):
        these = [u for u in claims if u.verdict == verdict]
        seeds = {u.seeds for u in these}
        alike = len(seeds) == 1 and verdict == "inconclusive"
        on = f" on {plural(seeds.pop(), 'seed')}" if alike else ""
        found.append(f"{len(these)} {verdict}{on} ({_some([u.id for u in these], ', ')})")
    return "; ".join(found) + "."


def _numbers(drift: Drift) -> Part:
    compared = bool(drift.metrics.metrics or drift.chains.chains)
    if drift.first_parting:
        answer = f"The releases part first at {drift.first_parting}."
    elif drift.numbers_differ:
        where = "every fingerprint is identical" if drift.chains.chains else "no fingerprints"
        answer = f"Metrics drifted ({where})."
    else:
        answer = "Identical bits throughout." if compared else "No number was compared."
    return Part("Numbers", answer, (*_metrics(drift), *_chains(drift)))


def _metrics(drift: Drift) -> Iterator[str | Rows]:
    found, levels = drift.metrics, drift.levels()
    if found.metrics:
        told = ", ".join(f"{levels[level]} {level.words}" for level in Level if levels[level])
        yield f"{plural(len(found.metrics), 'metric')}: {told}."
        differing = [m for m in found.metrics if m.level is not Level.IDENTICAL]
        differing.sort(key=lambda m: (-m.level.rank, 1 if m.p is None else m.p, -m.relative))
        if differing:
            heading = ("metric", "drift", "median was", "is", "largest change", "p")
            paired = any(m.differing is not None for m in differing)
            rows = [
                (
                    m.name,
                    m.level.words,
                    f"{m.old_median:.6g}",
                    f"{m.new_median:.6g}",
                    "" if paired and m.differing is None else _relative(m.relative),
                    _tested(m),
                    *(_paired(m) if paired else ()),
                )
                for m in differing
            ]
            more = ("seeds that differ", "median change") if paired else ()
            yield _rows((*heading, *more), rows)
            if any(m.p is not None for m in differing):
                yield (
                    f"Beyond: p at most {found.alpha:.2g}, 0.001 over the "
                    f"{plural(found.tested, 'metric')} that can be tested, after each value has "
                    "taken back what rounding may have moved it by."
                )
    if found.left_out:
        yield f"{plural(found.left_out, 'metric')} left out: other settings (below)."
    yield from _only("Metrics", found.new, found.missing)


def _tested(metric: MetricDrift) -> str:
    if metric.p is None:
        return ""
    return f"{metric.p:.2g} ({metric.changed}{', by seed' if metric.by_seed else ''})"


def _paired(metric: MetricDrift) -> tuple[str, str]:
    if metric.differing is None:
        return "other seeds", ""
    change = metric.median_change
    told = "not finite" if change is None else f"{change:+.3g}"
    return f"{metric.differing} of {metric.seeds[1]}", told


def _chains(drift: Drift) -> Iterator[str | Rows]:
    found, differing = drift.chains, drift.chains.differing
    if found.chains:
        same = len(found.chains) - len(differing)
        yield f"{plural(len(found.chains), 'fingerprint')}: {same} identical bit for bit."
    if differing:
        heading = ("fingerprint", "parts first at", "there", "largest later", "losses")
        yield _rows(heading, [_chain(chain) for chain in differing])
        yield "ulp: units in the last place, among the few values that are kept of each step."
    uneven = [chain.name for chain in found.chains if chain.only_in_one]
    if uneven:
        yield f"Steps that only one record has were left out in {_some(uneven, ', ')}."
    yield from _only("Fingerprints", found.new, found.missing)


def _chain(chain: ChainDrift) -> tuple[str, ...]:
    first, worst = chain.first, chain.worst
    assert first is not None  # noqa: S101 - only chains that differ are listed
    assert worst is not None  # noqa: S101
    where = first.where
    if chain.independent and len(chain.differing) > 1:
        where += f" (and {len(chain.differing) - 1} of {chain.steps - 1} other steps)"
    later = "" if worst is first else f"{_units(worst)} at {worst.where}"
    losses = "" if chain.losses is None else chain.losses.words
    return chain.name, where, _units(first), later, losses


def _units(step: StepDrift) -> str:
    if step.level is Level.UNSEEN:
        return "in values not kept"
    if math.isinf(step.units):
        return "no longer finite, or finite now"
    return f"{step.units:.3g} ulp ({step.relative:.1e})"


def _speed(drift: Drift) -> Part:
    found = drift.speed
    if not found.workloads or found.mean is None:
        return Part("Speed", "No workload was compared.", tuple(_only_workloads(drift)))
    counts = {c: sum(r.change == c for r in found.workloads) for c in ("slower", "faster")}
    names = plural(len(found.workloads), "workload")
    answer = (
        f"{names}: {counts['slower']} slower, {counts['faster']} faster; on average "
        f"{_times(found.mean, found.mean_uncertainty)} the time relative to the control."
    )
    rows = [
        (r.name, f"{r.old:.4g}", f"{r.new:.4g}", _times(r.ratio, r.uncertainty), r.change)
        for r in found.workloads
    ]
    blocks: list[str | Rows] = [
        Rows(("workload", "before", "now", "ratio", "change"), tuple(rows)),
        "Before and now are durations relative to the control; a ratio above 1 is slower. Slower "
        "and faster: beyond the uncertainty, 5 %, and what the control itself changed by.",
    ]
    if found.control is not None:
        blocks.append(_control(found.control, found.control_is))
    return Part("Speed", answer, (*blocks, *_only_workloads(drift)))


def _control(control: Ratio, what: str) -> str:
    sentence = (
        f"The control itself ({what}) took {control.old:.4g} s, now {control.new:.4g} s: "
        f"{_times(control.ratio, control.uncertainty)}."
    )
    if control.change == "as before":
        return sentence
    factor = max(control.ratio, 1 / control.ratio)
    return (
        f"{sentence} The machine was in another state, so nothing below a factor of {factor:.2f} "
        "counts: measure both records again on a quiet machine."
    )


def _only_workloads(drift: Drift) -> list[str]:
    return _only("Workloads", drift.speed.new, drift.speed.missing)


def _only(what: str, new: Sequence[str], missing: Sequence[str]) -> list[str]:
    sides = ((new, "new"), (missing, "old"))
    return [
        f"{what} that only the {side} record has: {_some(names, ', ')}."
        for names, side in sides
        if names
    ]


def _rows(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Rows:
    return Rows(heading, tuple(rows[:MOST_ROWS]), max(0, len(rows) - MOST_ROWS))


def _some(names: Sequence[str], between: str) -> str:
    if len(names) <= MOST_ROWS:
        return between.join(names)
    return f"{between.join(names[:MOST_ROWS])} and {len(names) - MOST_ROWS} more"


def _value(number: float | None) -> str:
    return "not finite" if number is None else f"{number:.5g}"


def _relative(share: float) -> str:
    return "finite in one only" if math.isinf(share) else f"{share:.1e}"


def _times(ratio: float, uncertainty: float) -> str:
    if math.isinf(uncertainty):
        return f"{ratio:.3f} (one round: uncertainty unknown)"
    return f"{ratio:.3f} ± {ratio * uncertainty:.3f}"
