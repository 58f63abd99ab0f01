"""Second part of a drift: where two releases part, step by step of what they computed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from actbench.tracking.drift.distributions import LAST_DIGIT_UNITS, Level, Number, largest_distance
from actbench.tracking.drift.scope import join
from actbench.tracking.records import Chain, Dtype, Engine, Record, Step

ENGINES: Final = get_args(Engine)

INDEPENDENT: Final = ("streams", "initial weights", "operations")
"""Engines whose steps have an input each, so that none rests on those before it."""


@dataclass(frozen=True)
class StepDrift:
    """One step that differs."""

    name: str
    epoch: int | None
    after_epoch: int | None  # the epoch recorded before, if another: they parted between the two
    position: int  # in the chain, from 0
    count: int
    kept: int  # how many of the numbers the records keep
    units: float  # largest distance of two kept values, in units in the last place
    relative: float  # the same as a share of the larger value
    level: Level

    def __str__(self) -> str:
        return f"{self.where}, {self.how_far}"

    @property
    def where(self) -> str:
        """Such as ``"loss, between epochs 50 and 100"``."""
        if self.epoch is None:
            return self.name
        if self.after_epoch is None:
            return f"{self.name} at epoch {self.epoch}"
        return f"{self.name}, between epochs {self.after_epoch} and {self.epoch}"

    @property
    def how_far(self) -> str:
        """Such as ``"up to 2 units in the last place (1.7e-16 relative) in 4 of 4096 values"``."""
        if self.level is Level.UNSEEN:
            return f"in values other than the {self.kept} of {self.count} that are kept"
        if math.isinf(self.units):
            return "finite in one record only"
        if self.units == 0:
            return "in the sign of a zero, or in what is not a number"
        unit = "unit" if self.units <= 1 else "units"
        told = f"up to {self.units:.3g} {unit} in the last place ({self.relative:.2g} relative)"
        return told if self.kept == self.count else f"{told} in {self.kept} of {self.count} values"


@dataclass(frozen=True)
class ChainDrift:
    """One chain of results in two records."""

    name: str
    engine: str
    steps: int  # in both records
    differing: tuple[StepDrift, ...]  # of them, in order
    only_in_one: int  # steps that only one of the records has

    @property
    def level(self) -> Level:
        """Its largest drift; identical where no step differs."""
        return _largest(self.differing) or Level.IDENTICAL

    @property
    def independent(self) -> bool:
        """Whether no step rests on those before it."""
        return self.engine in INDEPENDENT

    @property
    def first(self) -> StepDrift | None:
        """Where the releases part; ``None`` where they do not."""
        return self.differing[0] if self.differing else None

    @property
    def worst(self) -> StepDrift | None:
        """The step with the largest distance; ``None`` where none differs."""
        return max(self.differing, key=lambda step: step.units, default=None)

    @property
    def losses(self) -> Level | None:
        """The largest drift of a loss; ``None`` where no loss differs."""
        return _largest(step for step in self.differing if step.name == "loss")


def _largest(steps: Iterable[StepDrift]) -> Level | None:
    return max((step.level for step in steps), key=lambda level: level.rank, default=None)


@dataclass(frozen=True)
class ChainsDrift:
    """What became of the fingerprints."""

    chains: tuple[ChainDrift, ...] = ()  # those in both records, in the order of ``ENGINES``
    new: tuple[str, ...] = ()  # names of those that only the new record has
    missing: tuple[str, ...] = ()  # names of those that only the old record has

    @property
    def differing(self) -> tuple[ChainDrift, ...]:
        """Chains with a step that differs."""
        return tuple(chain for chain in self.chains if chain.differing)

    @property
    def first_parting(self) -> str:
        """Say in one sentence at which operation the releases part first; empty if nowhere."""
        parted = [(chain, chain.first) for chain in self.chains if chain.first is not None]
        if not parted:
            return ""

        def simplest(found: tuple[ChainDrift, StepDrift]) -> tuple[int, int]:
            chain, step = found
            return ENGINES.index(chain.engine), 0 if chain.independent else step.position

        earliest, step = min(parted, key=simplest)
        kind = [chain for chain, _ in parted if chain.engine == earliest.engine]
        sentence = f"{earliest.name}: {step}"
        others = sum(len(chain.differing) for chain in kind) - 1
        if earliest.independent and others:
            sentence += f"; {others} more of {earliest.engine} differ"
        elif len(kind) > 1:
            sentence += f"; {len(kind) - 1} more of {earliest.engine} part"
        return sentence


def compare_chains(old: Record, new: Record) -> ChainsDrift:
    """Compare fingerprints of one machine, step by step."""
    found = join(*({chain.name: chain for chain in record.chains} for record in (old, new)))
    compared = [compare_chain(*pair) for pair in found.pairs]
    return ChainsDrift(
        tuple(sorted(compared, key=lambda chain: ENGINES.index(chain.engine))),
        new=tuple(chain.name for chain in found.new),
        missing=tuple(chain.name for chain in found.missing),
    )


def compare_chain(old: Chain, new: Chain) -> ChainDrift:
    """Compare one fingerprint with another of the same thing, step by step."""
    found = join(_numbered(old.steps), _numbered(new.steps))
    differing: list[StepDrift] = []
    epoch: int | None = None
    for position, (a, b) in enumerate(found.pairs):
        if (a.digest, a.count) != (b.digest, b.count):
            since = epoch if epoch != a.epoch else None
            differing.append(_step(a, b, new.dtype, position, since))
        epoch = a.epoch
    only = len(found.new) + len(found.missing)
    return ChainDrift(new.name, new.engine, len(found.pairs), tuple(differing), only)


def _numbered(steps: Sequence[Step]) -> dict[Hashable, Step]:
    """Steps by name, epoch and how often that pair came before."""
    seen: Counter[Hashable] = Counter()
    found: dict[Hashable, Step] = {}
    for step in steps:
        key = (step.name, step.epoch)
        found[*key, seen[key]] = step
        seen[key] += 1
    return found


def _step(old: Step, new: Step, dtype: Dtype, position: int, since: int | None) -> StepDrift:
    units = largest_distance(old.values, new.values, dtype)
    relative = largest_distance(old.values, new.values)
    kept = min(len(old.values), len(new.values))
    if units > LAST_DIGIT_UNITS:
        level = _by_spread(old, new)
    else:
        level = Level.UNSEEN if units == 0 and kept < new.count else Level.LAST_DIGIT
    return StepDrift(new.name, new.epoch, since, position, new.count, kept, units, relative, level)


def _by_spread(old: Step, new: Step) -> Level:
    """Hold each value against the other record's spread over seeds, widened by its own width.

    One training is one draw, and of n draws another lies beyond all of them in 2 of n + 1 cases;
    as factors, because losses spread over orders of magnitude.
    """
    checks = [
        (step.values, other.spread)
        for step, other in ((new, old), (old, new))
        if other.spread is not None
    ]
    if not checks:
        return Level.LARGER
    inside = all(_inside(value, spread) for values, spread in checks for value in values)
    return Level.WITHIN_SPREAD if inside else Level.OUTSIDE_SPREAD


def _inside(value: Number, spread: tuple[float, float]) -> bool:
    low, high = spread
    if value is None:
        return False
    if low <= 0:
        return low - (high - low) <= value <= high + (high - low)
    return low * (low / high) <= value <= high * (high / low)
