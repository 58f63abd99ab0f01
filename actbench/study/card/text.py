"""The card in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from actbench.pages.blocks import Block, Rows, Sentence, Strong, terminal
from actbench.pages.colors import ACTIVATION_STYLES
from actbench.pages.wording import listed, number
from actbench.store.terminal import plural
from actbench.study.card import Card, Group
from actbench.study.card.facts import NEAR, SEARCHED_Q, Field, initializer_of
from actbench.study.card.measures import Estimate, Row

_NONE = "-"
_MARK = "*"
_BEYOND = 1e9  # a chi above it grows with q without end
SIGN = "positive: the error signal shrinks toward the input"
"""What the sign of decades per layer means, wherever they stand with one."""
PLACES = (
    "Place ranks medians, also where nothing can be told apart; it ties with all that are named "
    "neither under wins nor under loses."
)


def show(card: Card, width: int) -> list[RenderableType]:
    """Lay the card out for a terminal."""
    theory: list[Block] = [
        Sentence(""),
        _fields(card),
        *map(Sentence, notes(card)),
        Sentence(f"Critical initialization: {critical_in_words(card)}"),
        *(Sentence(""), Sentence(PLACES), Sentence("")),
    ]
    parts: list[RenderableType] = [terminal(_heading(card), width), _facts(card)]
    parts.append(terminal(theory, width))
    for group in card.groups:
        parts += [_comparisons(group, width), Text()]
    return [*parts, terminal([Sentence(summary(card), "strong")], width)]


def _heading(card: Card) -> Iterator[Sentence]:
    yield Sentence((Strong(card.name), f"  {card.formula}"))
    yield Sentence(card.activation + (f", SHA-256 {card.source}..." if card.source else ""))
    for name, value in card.parameters.items():
        yield Sentence(
            f"learned: {name}, one per layer and network, starts at {value}; function, derivative "
            "and theory are shown there"
        )
    yield Sentence("")


def _facts(card: Card) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for fact in card.facts:
        table.add_row(
            Text(fact.label),
            Text(fact.text, style="" if fact.good else "bold").append(
                f"\n{fact.evidence}", style="dim"
            ),
        )
    return table


def _fields(card: Card) -> Rows:
    numbers = ("q*", "c*", "chi", "predicted", "measured")
    return Rows(
        ("start", *numbers),
        tuple((field.initializer, *field_values(field)) for field in card.fields),
        title="Mean-field theory, hidden layers of 64 units. chi multiplies the squared error "
        f"signal per layer; predicted and measured: decades per layer, {SIGN}",
        right=numbers,
        folds=True,
    )


def field_values(field: Field) -> tuple[str, ...]:
    """Write the numbers of one initialization."""
    values = (field.q, field.c, _chi_shown(field), field.predicted, field.measured)
    # Rounding of the quadrature is no drift.
    q, c, chi, *decades = (
        _NONE if v is None else number(0.0 if abs(v) < 1e-9 else v, 3) for v in values
    )
    return (q, c, chi + _MARK if field.away else chi, *decades)


def _chi_shown(field: Field) -> float | None:
    # Where q* is infinite, chi is that of the large number that stands for it.
    beyond = field.q == math.inf and field.chi is not None and field.chi > _BEYOND
    return math.inf if beyond else field.chi


def notes(card: Card) -> list[str]:
    """Say where the numbers of mean-field theory do not follow from one another, and why."""
    away = [_away_in_words(field) for field in card.fields if field.away]
    said = [
        f"{_MARK} chi belongs to q*; the prediction follows q from layer to layer, and differs by "
        f"more than {NEAR:g} from -log10(chi) / 2:",
        *away,
    ]
    unsettled = [f for f in card.fields if f.chi is None and f.predicted is not None]
    lost = (
        "No fixed point of q and c was found from "
        f"{listed(f.initializer for f in unsettled)}, hence no chi; the prediction follows q from "
        "layer to layer and needs none."
    )
    return (said if away else []) + ([lost] if unsettled else [])


def _away_in_words(field: Field) -> str:
    limit = field.limit or 0.0
    text = f"{field.initializer}: chi alone would give {number(limit if abs(limit) > 1e-6 else 0)}"
    if field.q is None or field.q_of_layers is None:
        return f"{text}."
    first, last = field.q_of_layers
    reached = math.isclose(last, field.q, rel_tol=0.01)
    how = "reaches late" if reached else "does not reach within 50 layers"
    where = f"q* = {number(field.q)}" if math.isfinite(field.q) else "an infinite q*"
    return (
        f"{text}, at {where}, which this network {how} (q is {number(first)} in layer 10, "
        f"{number(last)} in layer 50)."
    )


def critical_in_words(card: Card) -> str:
    """Say where error signals neither vanish nor explode."""
    point = card.critical
    if point is None:
        low, high = SEARCHED_Q
        return f"none was found with a fixed point of q from {low:g} to {high:g}."
    if point.q is None:
        where = "at every q"
    else:
        where = "in the limit q -> 0" if point.q == 0 else f"at q* = {number(point.q)}"
    drift = "" if card.settles else "; but q moves away from there in deep networks"
    return (
        f"sigma_w^2 = {number(point.sigma_w2, 4)}, sigma_b^2 = {number(point.sigma_b2, 4)} "
        f"(chi = 1 {where}{drift}); train from it with: actbench run sine-regression "
        f'-a {card.activation} --initializer "{initializer_of(point)}"'
    )


def _comparisons(group: Group, width: int) -> Table:
    table = Table(
        title=group.title,
        caption=f"{group.protocol}. {direction(group)}",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        width=max(40, min(width, 120)),
    )
    table.add_column("", ratio=4)
    table.add_column("yours", ratio=2)
    table.add_column("place", justify="right")
    table.add_column("wins over", ratio=3)
    table.add_column("loses to", ratio=3)
    for row in group.rows:
        table.add_row(
            Text(row.label),
            Text(estimate_in_words(next(iter(row.estimates.values())))),
            f"{row.place} of {len(row.estimates)}",
            others(row, "wins"),
            others(row, "loses"),
        )
    return table


def direction(group: Group) -> str:
    """Say which values of a group are better."""
    return f"The {'smaller' if group.rows[0].better == 'low' else 'larger'}, the better."


def estimate_in_words(estimate: Estimate) -> str:
    """Write a median with its interval."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.median)
    return f"{number(estimate.median)} ({number(estimate.low)} to {number(estimate.high)})"


def others(row: Row, outcome: str) -> str:
    """List the activations against which a measure ended in one way."""
    found = [key for key, how in row.outcomes.items() if how == outcome]
    if len(found) == len(ACTIVATION_STYLES):
        return "all eight"
    return ", ".join(ACTIVATION_STYLES[key].name for key in found) or _NONE


def summary(card: Card) -> str:
    """Say in a sentence or two how the activation did."""
    text = (
        f"Of {card.comparisons} comparisons with the eight it wins {card.count('wins')}, ties "
        f"{card.count('ties')} and loses {card.count('loses')} (level "
        f"{number(card.alpha, 2)} each)."
    )
    against = card.against()
    unbeaten = [
        ACTIVATION_STYLES[key].name
        for key, places in against.items()
        if places["wins"] and not places["loses"]
    ]
    beaten = [
        ACTIVATION_STYLES[key].name
        for key, places in against.items()
        if places["loses"] and not places["wins"]
    ]
    same = [ACTIVATION_STYLES[key].name for key, p in against.items() if not p["wins"] + p["loses"]]
    if unbeaten:
        text += f" It wins somewhere and loses nowhere against {listed(unbeaten)}."
    if beaten:
        text += f" It loses somewhere and wins nowhere against {listed(beaten)}."
    if same:
        text += f" Nothing tells it from {listed(same)} at {plural(8, 'seed')}."
    return text
