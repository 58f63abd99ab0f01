"""The page of a card, with its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from actbench.pages import rendering
from actbench.pages.colors import style_of
from actbench.pages.rendering import Drawing
from actbench.pages.saving import save
from actbench.store.files import write_atomic, write_json
from actbench.study.card import Card
from actbench.study.card.measures import COST_MARGIN, INTERVAL_LEVEL, LEVEL, METHOD
from actbench.study.card.text import (
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
from actbench.study.figures._marks import SMALL, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray as xr
    from matplotlib.axes import Axes

    from actbench.study.card.measures import Row


_SHOWN: Final = 5.0
_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#882255", "#E69F00")
_STYLES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
_OWN: Final = "#B00020"
_OUTCOME: Final[Mapping[str, str]] = {"wins": "#0072B2", "ties": "#8A8A8A", "loses": "#D55E00"}
_COLUMNS: Final = 4


def _draw_function(derivatives: xr.Dataset, flows: Iterable[xr.Dataset]) -> Figure:
    """Draw an activation with its derivative, and its error signal through 50 layers."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    one = derivatives.isel(activation=0).sel(z=slice(-_SHOWN, _SHOWN))
    left.axhline(0, color="#BBBBBB", linewidth=0.8)
    left.axvline(0, color="#BBBBBB", linewidth=0.8)
    left.plot(one["z"], safe(one["value"].to_numpy()), color=_OWN, linewidth=2, label="value")
    left.plot(
        one["z"],
        safe(one["derivative"].to_numpy()),
        color="#444444",
        linestyle="--",
        linewidth=1.6,
        label="derivative, by autograd",
    )
    left.set_xlabel("z")
    left.legend(fontsize=SMALL)
    _flow(right, flows)
    return figure


def _flow(axes: Axes, flows: Iterable[xr.Dataset]) -> None:
    axes.set_yscale("log")
    curves = [
        (str(key), dataset["deep_error_signal"].sel(initializer=key).isel(activation=0))
        for dataset in flows
        for key in dataset["initializer"].to_numpy()
    ]
    for number, (key, signal) in enumerate(curves):
        pooled = np.sqrt(np.square(signal.transpose("deep_seed", "layer").to_numpy()).mean(0))
        kept = np.isfinite(pooled) & (pooled > 0)
        label = f"critical: {key}" if key.startswith("mean_field(") else key
        axes.plot(
            signal["layer"].to_numpy()[kept],
            pooled[kept],
            color=_COLORS[number % len(_COLORS)],
            linestyle=_STYLES[number % len(_STYLES)],
            linewidth=1.8,
            label=label,
        )
    axes.set_xlabel("layer 1 = nearest the input … 51 = output")
    axes.set_ylabel("error signal, root mean square")
    axes.legend(fontsize=SMALL)


def _draw_measures(rows: Sequence[tuple[str, Row]], own: str) -> Figure:
    """Draw every measure of everyone: median and interval, the better the further left."""
    down = math.ceil(len(rows) / _COLUMNS)
    height = 2.7 * down + 0.35
    # Margins by hand: to lay out so many logarithmic axes takes longer than to draw them.
    figure = Figure(figsize=(12, height))
    figure.subplots_adjust(
        left=0.075, right=0.99, top=1 - 0.9 / height, bottom=0.35 / height, hspace=0.45, wspace=0.1
    )
    panels = figure.subplots(down, _COLUMNS, squeeze=False).ravel()
    for number, (axes, (title, row)) in enumerate(zip(panels, rows, strict=False)):
        _measure(axes, title, row, own, named=number % _COLUMNS == 0)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    _key(figure, style_of(own).name)
    return figure


def _key(figure: Figure, own: str) -> None:
    colors = {own: _OWN, **{f"{own} {outcome}": color for outcome, color in _OUTCOME.items()}}
    handles = [
        Line2D([], [], color=color, marker="D" if name == own else "o", linewidth=2.5, label=name)
        for name, color in colors.items()
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=SMALL,
        title="median and 99 % interval; further left is better",
        title_fontsize=SMALL,
    )


def _measure(axes: Axes, title: str, row: Row, own: str, *, named: bool) -> None:
    keys = list(row.estimates)
    values = [v for e in row.estimates.values() for v in (e.median, e.low, e.high) if v is not None]
    finite = [v for v in values if math.isfinite(v)]
    positive = [v for v in finite if v > 0]
    low, high = (min(positive), max(positive)) if positive else (0.1, 1.0)
    axes.set_xscale("log")
    # What is zero or infinite stands at the edge on its side.
    edges = low / 1.6, high * 1.6
    axes.set_xlim(*(edges if row.better == "low" else edges[::-1]))
    for place, key in enumerate(keys):
        estimate = row.estimates[key]
        color = _OWN if key == own else _OUTCOME[row.outcomes[key]]
        median, left, right = (
            min(max(estimate.median if v is None else v, edges[0]), edges[1])
            for v in (estimate.median, estimate.low, estimate.high)
        )
        axes.plot([left, right], [place, place], color=color, linewidth=2.5, alpha=0.75)
        marker = "D" if key == own else "o"
        axes.plot(median, place, marker, color=color, markersize=5.5, markeredgecolor="w")
        if key == own:
            axes.axvline(median, color=color, linewidth=0.7, linestyle=":")
    labels = [style_of(key).name for key in keys] if named else []
    axes.set_yticks(range(len(keys)), labels or [""] * len(keys), fontsize=SMALL)
    axes.set_ylim(len(keys) - 0.5, -0.5)
    if high > 10 * low:
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter(StrMethodFormatter("{x:g}"))
    axes.tick_params(axis="x", which="both", labelsize=7)
    label = row.label if len(row.label) < 34 else f"{row.label[:32]}…"
    axes.set_title(f"{title}\n{label}", fontsize=SMALL)


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
        "function": _draw_function(derivatives, flows.values()),
        "measures": _draw_measures(rows, card.activation),
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
