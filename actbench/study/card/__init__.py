"""The card of an activation of one's own: what it is, and where it stands beside the eight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actbench.study.card.facts import Fact, Field
from actbench.study.card.measures import (
    COST,
    COST_TITLE,
    LEVEL,
    METHOD,
    Outcome,
    Part,
    Row,
    Values,
    row,
)
from actbench.study.catalog.activations import ACTIVATIONS, Activation
from actbench.study.theory import Critical

__all__ = ["Card", "Group", "assemble"]


@dataclass(frozen=True)
class Group:
    """Measures of one run.

    Args:
        title: What they are about.
        protocol: Under which settings, in words.
        rows: The measures.
    """

    title: str
    protocol: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Card:
    """Everything that a card says.

    Args:
        activation: Key of the activation that was tried.
        name: Its name in its code.
        formula: First line of its docstring.
        source: Digest of its file.
        parameters: Its own, by name, with their initial values in words.
        facts: What was found out about it alone.
        fields: Its mean-field theory, by initializer.
        critical: A critical initialization; ``None`` where there is none.
        settles: Whether deep networks stay there.
        groups: Comparisons with the others.
        alpha: Level of one comparison.
        environment: What it was measured with, and the stored measurements of the eight.
    """

    activation: str
    name: str
    formula: str
    source: str
    parameters: Mapping[str, str]
    facts: tuple[Fact, ...]
    fields: tuple[Field, ...]
    critical: Critical | None
    settles: bool
    groups: tuple[Group, ...]
    alpha: float
    environment: tuple[tuple[str, str], ...]

    @property
    def comparisons(self) -> int:
        """How many comparisons were made."""
        return sum(len(r.outcomes) for group in self.groups for r in group.rows)

    def count(self, outcome: Outcome) -> int:
        """Return how many comparisons ended in one way."""
        return sum(r.count(outcome) for group in self.groups for r in group.rows)

    def against(self) -> dict[str, dict[str, list[str]]]:
        """Say where it wins and loses against each other activation."""
        said: dict[str, dict[str, list[str]]] = {}
        for group in self.groups:
            for one in group.rows:
                for key, outcome in one.outcomes.items():
                    places = said.setdefault(key, {"wins": [], "ties": [], "loses": []})
                    places[outcome].append(f"{group.title.partition(':')[0].lower()} {one.label}")
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
                    "rows": [one.json() for one in group.rows],
                }
                for group in self.groups
            ],
            "environment": dict(self.environment),
        }


def assemble(
    activation: Activation,
    parameters: Mapping[str, str],
    found: tuple[list[Fact], list[Field], Critical | None, bool],
    measured: Mapping[str, tuple[Part, str, list[dict[str, Values]]]],
    cost: tuple[str, dict[str, Values]],
    environment: tuple[tuple[str, str], ...],
) -> Card:
    """Put a card together."""
    rows = sum(len(part.measures) for part, _, _ in measured.values()) + 1
    alpha = LEVEL / (rows * len(ACTIVATIONS.keys() - {activation.key}))
    groups = [
        Group(
            part.title,
            protocol,
            tuple(
                row(measure.label, measure.better, values, activation.key, alpha)
                for measure, values in zip(part.measures, table, strict=True)
            ),
        )
        for part, protocol, table in measured.values()
    ]
    timed = row(COST.label, COST.better, cost[1], activation.key, alpha, paired=True)
    groups.append(Group(COST_TITLE, cost[0], (timed,)))
    return Card(
        activation=activation.key,
        name=activation.name,
        formula=activation.formula,
        source=activation.source,
        parameters=parameters,
        facts=tuple(found[0]),
        fields=tuple(found[1]),
        critical=found[2],
        settles=found[3],
        groups=tuple(groups),
        alpha=alpha,
        environment=environment,
    )
