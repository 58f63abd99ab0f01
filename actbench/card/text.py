"""The card in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from actbench.card import Card, Group
from actbench.card.comparing import Estimate, Row
from actbench.card.facts import Field, initializer_of
from actbench.colors import ACTIVATION_STYLES
from actbench.findings.wording import listed, number, plural

_NONE = "-"


def show(card: Card, width: int) -> list[RenderableType]:
    """Lay the card out for a terminal.

    Args:
        card: What it says.
        width: Columns, at least 40.

    Returns:
        What to print, in order.
    """
    parts: list[RenderableType] = [_heading(card), _facts(card), _fields(card)]
    parts += [Text(f"Critical initialization: {critical_in_words(card)}"), Text()]
    parts += [_comparisons(group, width) for group in card.groups]
    return [*parts, Text(summary(card), style="bold")]


def _heading(card: Card) -> Text:
    text = Text(f"{card.name}", style="bold")
    text.append(f"  {card.formula}\n{card.activation}", style="not bold")
    text.append(f", SHA-256 {card.source}...\n" if card.source else "\n", style="not bold")
    for name, value in card.parameters.items():
        text.append(
            f"learned: {name}, one per layer and network, starts at {value}; function, derivative "
            "and theory are shown there\n",
            style="not bold",
        )
    return text


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


def _fields(card: Card) -> Table:
    title = "Mean-field theory, hidden layers of 64 units; error signal in decades per layer"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("start", overflow="fold")
    for heading in ("q*", "c*", "chi", "predicted", "measured"):
        table.add_column(heading, justify="right")
    for field in card.fields:
        table.add_row(Text(field.initializer), *field_values(field))
    return table


def field_values(field: Field) -> tuple[str, ...]:
    """Write the numbers of one initialization.

    Args:
        field: Its mean-field theory.

    Returns:
        q*, c*, chi, predicted and measured decades per layer.
    """
    values = (field.q, field.c, field.chi, field.predicted, field.measured)
    # Rounding of the quadrature is no drift.
    return tuple(_NONE if v is None else number(0.0 if abs(v) < 1e-9 else v, 3) for v in values)


def critical_in_words(card: Card) -> str:
    """Say where error signals neither vanish nor explode.

    Args:
        card: The card.

    Returns:
        A sentence.
    """
    point = card.critical
    if point is None:
        return "none was found: no weights and biases make chi = 1 at a fixed point of q."
    if point.q is None:
        where = "at every q"
    else:
        where = "in the limit q -> 0" if point.q == 0 else f"at q* = {number(point.q)}"
    drift = "" if card.settles else "; but q moves away from there in deep networks"
    return (
        f"sigma_w^2 = {number(point.sigma_w2, 4)}, sigma_b^2 = {number(point.sigma_b2, 4)} "
        f'(chi = 1 {where}{drift}); try it with --initializer "{initializer_of(point)}"'
    )


def _comparisons(group: Group, width: int) -> Table:
    table = Table(
        title=group.title,
        caption=group.protocol,
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


def estimate_in_words(estimate: Estimate) -> str:
    """Write a median with its interval.

    Args:
        estimate: The median.

    Returns:
        Such as ``"0.012 (0.01 to 0.02)"``.
    """
    if estimate.low is None or estimate.high is None:
        return number(estimate.median)
    return f"{number(estimate.median)} ({number(estimate.low)} to {number(estimate.high)})"


def others(row: Row, outcome: str) -> str:
    """List the activations against which a measure ended in one way.

    Args:
        row: The measure.
        outcome: ``"wins"``, ``"ties"`` or ``"loses"``.

    Returns:
        Their names; ``"all eight"`` where it is all of them, a dash where it is none.
    """
    found = [key for key, how in row.outcomes.items() if how == outcome]
    if len(found) == len(ACTIVATION_STYLES):
        return "all eight"
    return ", ".join(ACTIVATION_STYLES[key].name for key in found) or _NONE


def summary(card: Card) -> str:
    """Say in a sentence or two how the activation did.

    Args:
        card: The card.

    Returns:
        Counts, and against whom it never loses or never wins.
    """
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
