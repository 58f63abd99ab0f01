"""What a search for a change found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from actbench.store.terminal import plural
from actbench.tracking.records import Record, Step
from actbench.tracking.releases.changes import Found, Place, Target, steps_of, verdict_of
from actbench.tracking.releases.shelf import Shelf

_INDEPENDENT = ("streams", "initial weights", "operations")
"""Engines whose steps do not rest on one another: each that differs is news."""
_SHOWN_VALUES = 3


def sentences(target: Target, found: Found, shelf: Shelf) -> list[str]:
    """Say which release changed a target, what changed in it, and what this rests on."""
    return [
        *_answer(target, found),
        *_evidence(target, found, shelf),
        *_history(target, found),
        *_basis(target, found, shelf),
    ]


def _answer(target: Target, found: Found) -> Iterator[str]:
    good, bad, of = found.releases[0], found.releases[-1], target.package
    if found.values[good] == found.values[bad]:
        end = ": nothing to find." if found.monotonic else ", but not always in between."
        yield f"{target.text} is the same in {of} {good} and {of} {bad}{end}"
    if found.first_change is None:
        return
    before, after = found.first_change
    if found.suspects == [after]:
        yield f"{target.text} first changed in {of} {after}; {of} {before} is the last before."
    else:
        yield (
            f"{target.text} first changed in one of {of} {', '.join(found.suspects)}: all but the "
            "last can't be measured."
        )
    if found.values[after] != found.values[bad]:
        yield f"What {of} {after} has is not what {of} {bad} has: it changed again since."


def _evidence(target: Target, found: Found, shelf: Shelf) -> Iterator[str]:
    if found.first_change is None:
        return
    before, after = (shelf.records[release][1] for release in found.first_change)
    if target.places:
        yield from _differing_steps(target, before, after)
    else:
        for record in (before, after):
            verdict = verdict_of(target.text, record)
            yield (
                f"  {target.package} {record.release}: {verdict.verdict}, measured "
                f"{verdict.measured} over {plural(verdict.seeds, 'seed')}"
            )


def _differing_steps(target: Target, before: Record, after: Record) -> Iterator[str]:
    old, new = steps_of(before), steps_of(after)
    chains: dict[str, list[Place]] = {}
    for place in target.places:
        if old[place][1].digest != new[place][1].digest:
            chains.setdefault(place[0], []).append(place)
    for name, places in chains.items():
        of_chain = sum(place[0] == name for place in target.places)
        independent = old[places[0]][0].engine in _INDEPENDENT
        yield f"  {name}: {len(places)} of {of_chain} steps differ" + (
            "" if independent else ", the first of them:"
        )
        for place in places if independent else places[:1]:
            yield f"    {_step_name(place)}: {_values(old[place][1], new[place][1])}"


def _step_name(place: Place) -> str:
    _, step, epoch = place
    return step if epoch is None else f"{step} at epoch {epoch}"


def _values(old: Step, new: Step) -> str:
    """Show stored values that differ, in full: the difference may be in the last digit only."""
    pairs = [(a, b) for a, b in zip(old.values, new.values, strict=False) if a != b]
    if not pairs:
        return f"the stored values are equal, others of its {old.count} numbers differ"
    shown = ", ".join(f"{a!r} -> {b!r}" for a, b in pairs[:_SHOWN_VALUES])
    sizes = [abs(b - a) / abs(a) for a, b in pairs if a and b is not None]
    size = f" (relative difference up to {max(sizes):.1e})" if sizes else ""
    return f"{shown}{size}"


def _history(target: Target, found: Found) -> Iterator[str]:
    """Say plainly that a history does not change just once, and list all that is known."""
    if found.monotonic:
        return
    good, bad = found.values[found.releases[0]], found.values[found.releases[-1]]
    of = target.package
    yield "Its history is not one change. All changes that are known:"
    for before, after in found.transitions:
        value = found.values[after]
        if value == good:
            what = f"back to what {of} {found.releases[0]} has"
        elif value == bad:
            what = f"to what {of} {found.releases[-1]} has"
        else:
            what = "to a value that neither end has"
        yield f"  {of} {before} -> {after}: {what}"


def _basis(target: Target, found: Found, shelf: Shelf) -> Iterator[str]:
    of = target.package
    kept = [release for release in found.values if release not in shelf.made]
    if kept:
        folders = sorted({str(shelf.records[release][0].parent) for release in kept})
        yield f"Records that were there ({', '.join(folders)}): {of} {', '.join(kept)}."
    if shelf.made:
        folder = shelf.records[shelf.made[0]][0].parent
        yield f"Records made now, kept in {folder}: {of} {', '.join(shelf.made)}."
    if shelf.make is None:
        cpu = shelf.records[found.releases[0]][1].environment.get("cpu", "another machine")
        yield (
            f"These were all made on another machine ({cpu}), where no more can be made from here. "
            "To measure everything on this one, name an empty folder: --records EMPTY"
        )
    for release in found.releases:
        if release in shelf.refused:
            yield f"Skipped: {of} {release}: {shelf.refused[release]}"
    tried = {*found.values, *shelf.refused}
    unseen = [release for release in found.releases if release not in tried]
    if unseen and found.first_change is not None:
        yield (
            f"Not looked at: {of} {', '.join(unseen)}; that there are no further changes in them "
            "is not known."
        )
