"""Numeric drift over releases."""

from __future__ import annotations

from dataclasses import dataclass

from actbench.drift import ChainDrift, Drift
from actbench.drift.chains import ENGINES
from actbench.history.pairs import Pairs


@dataclass(frozen=True)
class ChainRow:
    """One chain of numeric results.

    Args:
        name: Such as ``"reference/gelu/float64"``.
        engine: Such as ``"reference"``.
        since_previous: Per release, against the last one before that has the chain; ``None`` where
            there is nothing to compare.
        since_first: Per release, against the first that has the chain.
    """

    name: str
    engine: str
    since_previous: tuple[ChainDrift | None, ...]
    since_first: tuple[ChainDrift | None, ...]

    @property
    def changed_at(self) -> tuple[int, ...]:
        """Numbers of the releases whose bits are not those of the release before."""
        return tuple(n for n, found in enumerate(self.since_previous) if found and found.differing)

    @property
    def back_at(self) -> tuple[int, ...]:
        """Numbers of the releases that changed the bits back to those of the first."""
        return tuple(
            number
            for number in self.changed_at
            if (first := self.since_first[number]) is not None and not first.differing
        )


def chain_rows(pairs: Pairs) -> tuple[ChainRow, ...]:
    """Lay out how much each chain changed."""
    engines = {chain.name: chain.engine for r in pairs.records for chain in r.chains}
    held = [{chain.name for chain in record.chains} for record in pairs.records]
    return tuple(
        ChainRow(
            name,
            engines[name],
            pairs.over(name, held, "previous", _chain),
            pairs.over(name, held, "first", _chain),
        )
        for name in sorted(engines, key=lambda name: ENGINES.index(engines[name]))
    )


def _chain(drift: Drift, name: str) -> ChainDrift | None:
    return next((chain for chain in drift.chains.chains if chain.name == name), None)
