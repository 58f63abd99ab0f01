"""A drift on screen, as Markdown for a job's summary, and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from actbench.pages import blocks
from actbench.pages.blocks import Block, Heading, Items, Rows, Sentence
from actbench.store.files import strict_json
from actbench.store.terminal import plural
from actbench.tracking.drift.chains import ChainDrift, StepDrift
from actbench.tracking.drift.comparing import Drift, Ratio, Unexpected
from actbench.tracking.drift.distributions import Level, MetricDrift
from actbench.tracking.records import Record

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "markdown", "json")

_SCHEMA_VERSION: Final = 1
_MOST_ROWS: Final = 20  # of one table on screen or page; JSON has all


def show(drift: Drift, reasons: Sequence[str], screen: Console) -> None:
    """Print a drift."""
    page = [
        Heading(_title(drift), 1),
        *(Sentence(line, "quiet") for line in _origins(drift)),
        *_parts(drift),
        Sentence(""),
        Sentence(_result(reasons), "bad" if reasons else "good"),
    ]
    screen.print(blocks.terminal(page, screen.width))


def markdown(drift: Drift, reasons: Sequence[str]) -> str:
    """Write a drift as Markdown."""
    result = Sentence(_result(reasons), "strong")
    origins = Items(tuple(_origins(drift)))
    return blocks.markdown([Heading(_title(drift), 1), result, origins, *_parts(drift)])


def as_json(drift: Drift, reasons: Sequence[str]) -> str:
    """Write a drift as one JSON object."""
    content: dict[str, Any] = {
        "kind": "actbench drift",
        "schema_version": _SCHEMA_VERSION,
        "failed": bool(reasons),
        "reasons": list(reasons),
        "old": _origin(drift.old),
        "new": _origin(drift.new),
        "left_out": list(drift.scope.left_out),
        "notes": list(drift.scope.notes),
        "claims": dataclasses.asdict(drift.claims),
        "numbers": {
            "differ": drift.numbers_differ,
            "first_parting": drift.chains.first_parting or None,
            "levels": {str(level): count for level, count in drift.levels().items()},
            "metrics": dataclasses.asdict(drift.metrics),
            "chains": {
                **dataclasses.asdict(drift.chains),
                "chains": [
                    {**dataclasses.asdict(chain), "level": chain.level}
                    for chain in drift.chains.chains
                ],
            },
        },
        "speed": {
            **dataclasses.asdict(drift.speed),
            "workloads": [
                {**dataclasses.asdict(ratio), "change": ratio.change}
                for ratio in drift.speed.workloads
            ],
        },
    }
    return strict_json(content)


def _origin(record: Record) -> dict[str, Any]:
    return {
        "torch": record.torch,
        "made_at": record.made_at,
        "environment": record.environment,
    }


def _title(drift: Drift) -> str:
    old, new = (
        record.release if record.package == "torch" else record.environment[record.package]
        for record in (drift.old, drift.new)
    )
    package = drift.new.package
    return f"Drift from {drift.old.package} {old} to " + (
        f"{new}" if package == drift.old.package else f"{package} {new}"
    )


def _result(reasons: Sequence[str]) -> str:
    return f"FAILED: {' '.join(reasons)}" if reasons else "Passed."


def _origins(drift: Drift) -> Iterator[str]:
    for which, record in (("old", drift.old), ("new", drift.new)):
        told = record.environment
        build = told.get(record.package, record.torch)
        where = told.get("device_name", told.get("cpu", "unknown machine"))
        threads = f", threads {told['threads']}" if "threads" in told else ""
        yield f"{which}: {record.package} {build} on {where}{threads}, made {record.made_at}"


def _parts(drift: Drift) -> Iterator[Block]:
    parts = (("Claims that flipped", _claims), ("Numbers", _numbers), ("Speed", _speed))
    for number, (heading, told) in enumerate(parts, 1):
        yield Heading(f"{number}. {heading}")
        yield from told(drift)
    sentences = (*drift.scope.left_out, *drift.scope.notes)
    if sentences:
        yield Heading("What was left out, and what else differs")
        yield Items(sentences)


def _claims(drift: Drift) -> Iterator[Block]:
    found = drift.claims
    compared = plural(found.compared, "claim")
    if found.flips:
        yield Sentence(f"{len(found.flips)} of {compared} flipped.", "bad")
        rows = [
            (f.id, f.old, f.new, f.expected, _value(f.old_measured), _value(f.new_measured))
            for f in found.flips
        ]
        yield _rows(("claim", "was", "is", "expected", "value was", "value is"), rows)
    elif found.compared:
        yield Sentence(f"No claim flipped; {compared} compared.", "strong")
    else:
        yield Sentence("No claim was compared.", "strong")
    for count, told in (
        (
            found.stored,
            "left out: judged from values stored in the package, which say nothing about this "
            "release.",
        ),
        (found.not_testable, "no experiment can decide."),
        (found.left_out, "left out for the reasons below."),
    ):
        if count:
            yield Sentence(f"{plural(count, 'claim')} {told}")
    if found.unexpected:
        yield Sentence("Not as expected in the new record: " + _unexpected(found.unexpected))
    yield from _only("Claims", found.new, found.missing)


def _unexpected(claims: Sequence[Unexpected]) -> str:
    found = []
    for verdict in dict.fromkeys(u.verdict for u in claims):
        these = [u for u in claims if u.verdict == verdict]
        seeds = {u.seeds for u in these}
        alike = len(seeds) == 1 and verdict == "inconclusive"
        on = f" on {plural(seeds.pop(), 'seed')}" if alike else ""
        found.append(f"{len(these)} {verdict}{on} ({_some([u.id for u in these])})")
    return "; ".join(found) + "."


def _numbers(drift: Drift) -> Iterator[Block]:
    compared = bool(drift.metrics.metrics or drift.chains.chains)
    if drift.chains.first_parting:
        answer = f"The releases part first at {drift.chains.first_parting}."
    elif drift.numbers_differ:
        where = "every fingerprint is identical" if drift.chains.chains else "no fingerprints"
        answer = f"Metrics drifted ({where})."
    else:
        answer = "Identical bits throughout." if compared else "No number was compared."
    yield Sentence(answer, "strong")
    yield from _metrics(drift)
    yield from _chains(drift)


def _metrics(drift: Drift) -> Iterator[Block]:
    found, levels = drift.metrics, drift.levels()
    if found.metrics:
        told = ", ".join(f"{levels[level]} {level.words}" for level in Level if levels[level])
        yield Sentence(f"{plural(len(found.metrics), 'metric')}: {told}.")
    differing = [m for m in found.metrics if m.level is not Level.IDENTICAL]
    if differing:
        yield _differing(differing)
    if any(m.p is not None for m in differing):
        yield Sentence(
            f"Beyond: p at most {found.alpha:.2g}, 0.001 over the "
            f"{plural(found.tested, 'metric')} that can be tested, after each value has taken back "
            "what rounding may have moved it by."
        )
    if found.left_out:
        yield Sentence(f"{plural(found.left_out, 'metric')} left out: other settings (below).")
    yield from _only("Metrics", found.new, found.missing)


def _differing(metrics: Sequence[MetricDrift]) -> Rows:
    heading = ("metric", "drift", "median was", "is", "largest change", "p")
    paired = any(m.differing is not None for m in metrics)
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
        for m in sorted(
            metrics, key=lambda m: (-m.level.rank, 1 if m.p is None else m.p, -m.relative)
        )
    ]
    return _rows((*heading, *(("seeds that differ", "median change") if paired else ())), rows)


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


def _chains(drift: Drift) -> Iterator[Block]:
    found, differing = drift.chains, drift.chains.differing
    if found.chains:
        same = len(found.chains) - len(differing)
        count = plural(len(found.chains), "fingerprint")
        yield Sentence(f"{count}: {same} identical bit for bit.")
    if differing:
        heading = ("fingerprint", "parts first at", "there", "largest later", "losses")
        yield _rows(heading, [_chain(chain) for chain in differing])
        yield Sentence(
            "ulp: units in the last place, among the few values that are kept of each step."
        )
    uneven = [chain.name for chain in found.chains if chain.only_in_one]
    if uneven:
        yield Sentence(f"Steps that only one record has were left out in {_some(uneven)}.")
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


def _speed(drift: Drift) -> Iterator[Block]:
    found = drift.speed
    if not found.workloads or found.mean is None:
        yield Sentence("No workload was compared.", "strong")
    else:
        counts = {c: sum(r.change == c for r in found.workloads) for c in ("slower", "faster")}
        yield Sentence(
            f"{plural(len(found.workloads), 'workload')}: {counts['slower']} slower, "
            f"{counts['faster']} faster; on average {_times(found.mean, found.mean_uncertainty)} "
            "the time relative to the control.",
            "strong",
        )
        rows = [
            (r.name, f"{r.old:.4g}", f"{r.new:.4g}", _times(r.ratio, r.uncertainty), r.change)
            for r in found.workloads
        ]
        yield Rows(("workload", "before", "now", "ratio", "change"), tuple(rows))
        yield Sentence(
            "Before and now are durations relative to the control; a ratio above 1 is slower. "
            "Slower and faster: beyond the uncertainty, 5 %, and what the control itself changed "
            "by."
        )
        if found.control is not None:
            yield Sentence(_control(found.control, found.control_is))
    yield from _only("Workloads", found.new, found.missing)


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


def _only(what: str, new: Sequence[str], missing: Sequence[str]) -> Iterator[Sentence]:
    for names, side in ((new, "new"), (missing, "old")):
        if names:
            yield Sentence(f"{what} that only the {side} record has: {_some(names)}.")


def _rows(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Rows:
    omitted = max(0, len(rows) - _MOST_ROWS)
    return Rows(heading, tuple(rows[:_MOST_ROWS]), omitted=omitted)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_ROWS
    return ", ".join(names[:_MOST_ROWS]) + (f" and {more} more" if more > 0 else "")


def _value(number: float | None) -> str:
    return "not finite" if number is None else f"{number:.5g}"


def _relative(share: float) -> str:
    return "finite in one only" if math.isinf(share) else f"{share:.1e}"


def _times(ratio: float, uncertainty: float) -> str:
    if math.isinf(uncertainty):
        return f"{ratio:.3f} (one round: uncertainty unknown)"
    return f"{ratio:.3f} ± {ratio * uncertainty:.3f}"
