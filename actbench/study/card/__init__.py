"""The card of an activation of one's own: what it is, and where it stands beside the eight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actbench.study.card.facts import Fact, Field
from actbench.study.card.measures import METHOD, Outcome, Row
from actbench.study.theory import Critical


@dataclass(frozen=True)
class Group:
    """Measures of one run, with its settings in words."""

    title: str
    protocol: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Card:
    """Everything that a card says."""

    activation: str  # its key
    name: str  # in its code
    formula: str  # first line of its docstring
    source: str  # digest of its file
    parameters: Mapping[str, str]  # its own, by name, with their initial values in words
    facts: tuple[Fact, ...]
    fields: tuple[Field, ...]
    critical: Critical | None
    settles: bool  # whether deep networks stay there
    groups: tuple[Group, ...]
    alpha: float  # level of one comparison
    environment: tuple[tuple[str, str], ...]  # of its measurements and of those of the eight

    @property
    def comparisons(self) -> int:
        """How many comparisons were made."""
        return sum(len(row.outcomes) for group in self.groups for row in group.rows)

    def count(self, outcome: Outcome) -> int:
        """Return how many comparisons ended in one way."""
        return sum(row.count(outcome) for group in self.groups for row in group.rows)

    def against(self) -> dict[str, dict[str, list[str]]]:
        """Say where it wins and loses against each other activation."""
        said: dict[str, dict[str, list[str]]] = {}
        for group in self.groups:
            for row in group.rows:
                for key, outcome in row.outcomes.items():
                    places = said.setdefault(key, {"wins": [], "ties": [], "loses": []})
                    places[outcome].append(f"{group.title.partition(':')[0].lower()} {row.label}")
        return said

    def json(self) -> dict[str, Any]:
        """Return the card as JSON-ready names and values."""
        return {
            "activation": self.activation,
            "name": self.name,
            "formula": self.formula,
            "source_sha256_start": self.source,
            "parameters": dict(self.parameters),
            "facts": [asdict(fact) for fact in self.facts],
            "mean_field": [asdict(field) for field in self.fields],
            "critical": None if self.critical is None else asdict(self.critical),
            "deep_networks_stay_critical": self.settles,
            "method": METHOD,
            "comparisons": self.comparisons,
            "level_of_one_comparison": self.alpha,
            "wins": self.count("wins"),
            "ties": self.count("ties"),
            "loses": self.count("loses"),
            "groups": [
                {
                    "title": group.title,
                    "protocol": group.protocol,
                    "rows": [row.json() for row in group.rows],
                }
                for group in self.groups
            ],
            "environment": dict(self.environment),
        }
