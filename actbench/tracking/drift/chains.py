"""Second part of a drift: where two releases part, step by step of what they computed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from actbench.tracking.drift.distributions import LAST_DIGIT_UNITS, Level, Number, worst
from actbench.tracking.records import Chain, Dtype, Record, Step

ENGINES: Final = ("streams", "initial weights", "operations", "reference", "stack", "own")
"""In the order in which a first difference is looked for: what is simple explains what is not."""

_INDEPENDENT: Final = ("streams", "initial weights", "operations")


@dataclass(frozen=True)
class StepDrift:
    """One step that differs.

    Args:
        name: What was computed, such as ``"derivative"``.
        epoch: Updates made before it; ``None`` outside of a training.
        after_epoch: The previous recorded epoch, between which and ``epoch`` the releases parted;
            ``None`` where the step before belongs to the same epoch.
        position: Place in the chain, from 0.
        count: How many numbers the step has.
        kept: How many of them the records keep.
        units: Largest distance of two kept values, in units in the last place.
        relative: The same as a share of the larger value.
        level: How much it drifted.
    """

    name: str
    epoch: int | None
    after_epoch: int | None
    position: int
    count: int
    kept: int
    units: float
    relative: float
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
    """One chain of results in two records.

    Args:
        name: Such as ``"reference/gelu/float64"``.
        engine: Such as ``"reference"``.
        steps: How many are in both records.
        differing: Those of them that differ, in order.
        only_in_one: How many steps only one of the records has.
    """

    name: str
    engine: str
    steps: int
    differing: tuple[StepDrift, ...]
    only_in_one: int

    @property
    def level(self) -> Level:
        """Its largest drift; identical where no step differs."""
        levels = (step.level for step in self.differing)
        return max(levels, key=lambda level: level.rank, default=Level.IDENTICAL)

    @property
    def independent(self) -> bool:
        """Whether each step has an input of its own, so that none rests on those before it."""
        return self.engine in _INDEPENDENT

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
        levels = [step.level for step in self.differing if step.name == "loss"]
        return max(levels, key=lambda level: level.rank, default=None)


@dataclass(frozen=True)
class ChainsDrift:
    """What became of the fingerprints.

    Args:
        chains: Those in both records, in the order of ``ENGINES``.
        new: Names of those that only the new record has.
        missing: Names of those that only the old record has.
    """

    chains: tuple[ChainDrift, ...] = ()
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[ChainDrift, ...]:
        """Chains with a step that differs."""
        return tuple(chain for chain in self.chains if chain.differing)


def compare_chains(old: Record, new: Record) -> ChainsDrift:
    """Compare fingerprints of one machine, step by step."""
    before, now = ({chain.name: chain for chain in r.chains} for r in (old, new))
    found = [compare_chain(before[name], now[name]) for name in before if name in now]
    found.sort(key=lambda chain: ENGINES.index(chain.engine))
    return ChainsDrift(
        tuple(found),
        new=tuple(name for name in now if name not in before),
        missing=tuple(name for name in before if name not in now),
    )


def compare_chain(old: Chain, new: Chain) -> ChainDrift:
    """Compare one fingerprint with another of the same thing, step by step."""
    after = _numbered(new.steps)
    pairs = [(step, after.get(key)) for key, step in _numbered(old.steps).items()]
    shared = [(a, b) for a, b in pairs if b is not None]
    differing: list[StepDrift] = []
    epoch: int | None = None
    for position, (a, b) in enumerate(shared):
        if (a.digest, a.count) != (b.digest, b.count):
            since = epoch if epoch != a.epoch else None
            differing.append(_step(a, b, new.dtype, position, since))
        epoch = a.epoch
    only = len(old.steps) + len(new.steps) - 2 * len(shared)
    return ChainDrift(new.name, new.engine, len(shared), tuple(differing), only)


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
    alike = len(old.values) == len(new.values)
    units = worst(old.values, new.values, dtype) if alike else math.inf
    relative = worst(old.values, new.values) if alike else math.inf
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
    checks: list[tuple[Sequence[Number], tuple[float, float]]] = []
    if old.spread is not None:
        checks.append((new.values, old.spread))
    if new.spread is not None:
        checks.append((old.values, new.spread))
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


def first_parting(drift: ChainsDrift) -> str:
    """Say in one sentence at which operation two releases part first."""
    parted = [(chain, chain.first) for chain in drift.chains if chain.first is not None]
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
        more = len(kind) - 1
        sentence += f"; {more} more of {earliest.engine} part"
    return sentence
