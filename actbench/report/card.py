"""The page of a card: one HTML file that needs nothing else, with figures and data beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.card import Card
from actbench.card.comparing import COST_MARGIN, INTERVAL_LEVEL, LEVEL, METHOD
from actbench.card.text import (
    PLACES,
    SIGN,
    critical_in_words,
    direction,
    estimate_in_words,
    field_values,
    notes,
    others,
    summary,
)
from actbench.colors import style_of
from actbench.figures import card as figures
from actbench.figures.saving import save
from actbench.files import write_atomic, write_json
from actbench.pages import rendering
from actbench.report.parts import Drawing

if TYPE_CHECKING:
    import xarray as xr

_CAPTIONS = {
    "function": "Left: the activation and its derivative. Right: the error signal that arrives at "
    "each layer of 32 networks of depth 50 before training; level is what one wants.",
    "measures": "Medians with their 99 % intervals; the further left, the better. Blue: yours "
    "wins. Gray: a tie. Orange: yours loses. At an edge: zero or infinite.",
}


def write(
    folder: Path, card: Card, derivatives: xr.Dataset, flows: Mapping[str, xr.Dataset]
) -> list[Path]:
    """Write a card as a page, as data, and as figures."""
    rows = [(group.title.partition(":")[0], one) for group in card.groups for one in group.rows]
    drawn = {
        "function": figures.draw_function(derivatives, flows.values()),
        "measures": figures.draw_measures(rows, card.activation),
    }
    written, drawings = [], []
    for name, figure in drawn.items():
        paths = save(figure, folder, name)
        written += paths
        drawings.append(Drawing(name, _CAPTIONS[name], paths[1].read_bytes(), png=True))
    page, data = folder / "card.html", folder / "card.json"
    write_atomic(page, html(card, drawings).encode())
    write_json(data, card.json())
    return [page, data, *written]


def html(card: Card, drawings: list[Drawing]) -> str:
    """Render a card as a page that needs no other file and no network."""
    variables = {
        "card": card,
        "drawings": drawings,
        "summary": summary(card),
        "critical": critical_in_words(card),
        "against": card.against(),
        "name_of": lambda key: card.name if key == card.activation else style_of(key).name,
        "field_values": field_values,
        "notes": notes(card),
        "sign": SIGN,
        "places": PLACES,
        "direction": direction,
        "estimate": estimate_in_words,
        "others": others,
        "method": METHOD,
        "level": LEVEL,
        "interval": 100 * (1 - INTERVAL_LEVEL),
        "margin": COST_MARGIN,
    }
    return rendering.html("card.html.j2", variables)
