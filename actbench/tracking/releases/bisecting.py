"""Which release changed a claim or a fingerprint, with few measurements, and in sentences."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import pairwise

from actbench.claims import ClaimsFile, published
from actbench.store.errors import ActbenchError, unknown_name
from actbench.store.terminal import plural
from actbench.tracking.drift.chains import INDEPENDENT
from actbench.tracking.records import Chain, Record, Step, Verdict
from actbench.tracking.releases.measuring import parse_release, release_name
from actbench.tracking.releases.shelf import Shelf
from actbench.tracking.releases.subject import STUDY, Subject


@dataclass(frozen=True)
class Found:
    """What a search knows at its end; releases stand with the oldest first."""

    values: Mapping[str, Hashable]  # what was known or measured
    skipped: tuple[str, ...]  # releases that could not be measured
    releases: tuple[str, ...]  # all that were searched

    @property
    def transitions(self) -> list[tuple[str, str]]:
        """Neighbors among the known releases that differ: the last before and the first after."""
        known = list(self.values)
        return [(a, b) for a, b in pairwise(known) if self.values[a] != self.values[b]]

    @property
    def first_change(self) -> tuple[str, str] | None:
        """The first of the transitions; ``None`` where nothing differs."""
        return next(iter(self.transitions), None)

    @property
    def monotonic(self) -> bool:
        """Whether everything known fits a history that changes once."""
        return len(self.transitions) <= 1

    @property
    def suspects(self) -> list[str]:
        """Releases that may have made the first change: one, or more where some were skipped."""
        if self.first_change is None:
            return []
        before, after = map(self.releases.index, self.first_change)
        return list(self.releases[before + 1 : after + 1])


def search(
    releases: Sequence[str],
    known: Mapping[str, Hashable],
    measure: Callable[[str], Hashable | None],
) -> Found:
    """Find the first release whose value differs from the oldest one's."""
    place = {release: number for number, release in enumerate(releases)}
    values = dict(known)
    skipped: set[str] = set()

    def found() -> Found:
        ordered = sorted((r for r in values if r in place), key=place.__getitem__)
        return Found(
            {release: values[release] for release in ordered},
            tuple(sorted(skipped, key=place.__getitem__)),
            tuple(releases),
        )

    if values[releases[0]] == values[releases[-1]]:
        return found()
    while True:
        change = found().first_change
        assert change is not None  # noqa: S101 - the ends differ
        low, high = (place[release] for release in change)
        untried = [r for r in releases[low + 1 : high] if r not in skipped]
        if not untried:
            return found()
        middle = untried[len(untried) // 2]
        value = measure(middle)
        if value is None:
            skipped.add(middle)
        else:
            values[middle] = value


Place = tuple[str, str, int | None]
"""A step: its chain's name, its own, its epoch."""


@dataclass(frozen=True)
class Target:
    """What is asked after: one claim's verdict, or some steps of fingerprints."""

    text: str  # as the user wrote it
    places: tuple[Place, ...] = ()  # the steps; none for a claim
    package: str = "torch"

    def value(self, record: Record) -> tuple[str, ...]:
        """Return what is compared between releases."""
        if not self.places:
            return (verdict_of(self.text, record).verdict,)
        steps = _steps_of(record)
        lacking = [place for place in self.places if place not in steps]
        if lacking:
            chain, step, _ = lacking[0]
            raise ActbenchError(
                f"its record has no {chain}:{step}; another version of actbench made it"
            )
        return tuple(steps[place][1].digest for place in self.places)


def _steps_of(record: Record) -> dict[Place, tuple[Chain, Step]]:
    """Return the steps of all fingerprints of a record."""
    return {
        (chain.name, step.name, step.epoch): (chain, step)
        for chain in record.chains
        for step in chain.steps
    }


def verdict_of(claim: str, record: Record) -> Verdict:
    """Return the verdict on a claim that was measured for a record."""
    found = next((v for v in record.verdicts if v.id == claim), None)
    if found is None:
        raise ActbenchError(f"its record has no verdict on {claim}")
    if not found.fresh:
        raise ActbenchError(
            f"its record judges {claim} from values that are stored in actbench, which say nothing "
            "about the release"
        )
    return found


def part_of(text: str) -> str:
    """Return which part of a record a target is in."""
    return "verdicts" if text in {claim.id for claim in published().claim} else "fingerprints"


def resolve(text: str, record: Record) -> Target:
    """Find what a text names."""
    if part_of(text) == "verdicts":
        return Target(text)
    chain, _, step = text.partition(":")
    steps = _steps_of(record)
    places = tuple(p for p in steps if fnmatchcase(p[0], chain) and fnmatchcase(p[1], step or "*"))
    if places:
        return Target(text, places)
    chosen = {name: None for name, _, _ in steps if fnmatchcase(name, chain)}
    if chosen:
        names = dict.fromkeys(name for of, name, _ in steps if of in chosen)
        raise unknown_name(f"step of {chain}", step, names)
    raise _unknown_target(text, [*dict.fromkeys(name for name, _, _ in steps)])


def _unknown_target(text: str, chains: Sequence[str]) -> ActbenchError:
    """Name the kinds of fingerprints, not the dozens of them, and the nearest name."""
    kinds = ", ".join(dict.fromkeys(f"{name.partition('/')[0]}/*" for name in chains))
    near = get_close_matches(text, [*(c.id for c in published().claim), *chains], 1, 0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ActbenchError(
        f"unknown claim or fingerprint {text!r}; fingerprints are {kinds or 'not recorded'}, and "
        f"actbench claims lists the claims.{hint}"
    )


def require_code(claim: str, file: ClaimsFile) -> None:
    """Refuse a claim of somebody's own that is the same whatever is installed."""
    protocol = file.get(claim).protocol
    if protocol is None or file.protocol[protocol].table:
        raise ActbenchError(
            f"{file.path}: claim {claim!r} is judged from numbers that are there, which no release "
            "changes. Name a claim about a function, a command or an experiment"
        )


def ask(
    text: str,
    ends: tuple[str, str],
    shelf: Shelf,
    examples: Iterable[Record],
    offered: Callable[[], Iterable[str]],
    subject: Subject = STUDY,
) -> tuple[Target, Found]:
    """Search for the first release that changed what a text names."""
    if subject.file is not None:
        target = Target(text, package=subject.package)
    else:
        for example in examples:
            if part_of(text) == "fingerprints" and example.chains:
                resolve(text, example)
                break
        target = resolve(text, shelf.get(ends[0]))
    for end in ends:
        try:
            target.value(shelf.get(end))
        except ActbenchError as error:
            named = f"{subject.package} {end}"
            raise ActbenchError(f"{named} can't be an end of the search: {error}") from error
    same = target.value(shelf.get(ends[0])) == target.value(shelf.get(ends[1]))
    names = between([*shelf.records, *([] if same else offered())], *ends)
    values = {name: shelf.value(target.value, name) for name in names if name in shelf.records}
    known = {name: value for name, value in values.items() if value is not None}
    return target, search(names, known, lambda name: shelf.value(target.value, name))


def between(releases: Iterable[str], good: str, bad: str) -> list[str]:
    """Return the final releases from one to another, with both of these, oldest first."""
    low, high = parse_release(good), parse_release(bad)
    versions = {parse_release(release) for release in releases}
    inner = sorted(v for v in versions if low < v < high and not v.is_prerelease)
    return [good, *(release_name(str(version)) for version in inner), bad]


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
    old, new = _steps_of(before), _steps_of(after)
    chains: dict[str, list[Place]] = {}
    for place in target.places:
        if old[place][1].digest != new[place][1].digest:
            chains.setdefault(place[0], []).append(place)
    for name, places in chains.items():
        of_chain = sum(place[0] == name for place in target.places)
        independent = old[places[0]][0].engine in INDEPENDENT
        yield f"  {name}: {len(places)} of {of_chain} steps differ" + (
            "" if independent else ", the first of them:"
        )
        for place in places if independent else places[:1]:
            _, step, epoch = place
            when = "" if epoch is None else f" at epoch {epoch}"
            yield f"    {step}{when}: {_values(old[place][1], new[place][1])}"


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
