"""All values of a claim on one axis with its interval and bound, as text or as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actbench.pages import rendering

if TYPE_CHECKING:
    from actbench.claims.verdicts import Judgment

_BINS = 96
_WIDEST_LINEAR = 100.0
_MOST_TICKS = 6
_LEVELS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class _Tick:
    """A number on the axis, and where it stands, from 0 to 1."""

    at: float
    label: str


@dataclass(frozen=True)
class _Strip:
    """Where everything lies on an axis from 0 to 1.

    Of each finite value its place and its height in the pile, also from 0 to 1; where the claim
    holds; the interval and center of a median or mean, which a share has not on this axis; and how
    many values are not finite.
    """

    dots: tuple[tuple[float, float], ...]
    holds: tuple[float, float]
    interval: tuple[float, float] | None
    center: float | None
    published: float | None
    ticks: tuple[_Tick, ...]
    outside: int


def _strip(judgment: Judgment) -> _Strip | None:
    """Place what a judgment rests on."""
    relation = judgment.claim.relation
    if relation is None or judgment.values is None or not np.isfinite(judgment.values).any():
        return None
    values = np.sort(judgment.values[np.isfinite(judgment.values)])
    typical = judgment.claim.quantifier in ("median", "mean")
    interval = judgment.interval if typical and judgment.interval else ()
    marks = [*relation.bounds, *interval, *_given(judgment.claim.published_value)]
    finite = [float(x) for x in (*values, *marks) if math.isfinite(x)]
    low, high = min(finite), max(finite)
    spread = low > 0 and high / low > _WIDEST_LINEAR
    pad = 0.04 * ((math.log(high / low) if spread else high - low) or abs(high) or 1.0)
    low, high = (low * math.exp(-pad), high * math.exp(pad)) if spread else (low - pad, high + pad)

    def at(value: float) -> float:
        if spread:
            value = max(value, low)
            return min(1.0, math.log(value / low) / math.log(high / low))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    places = np.array([at(float(value)) for value in values])
    ends = (at(interval[0]), at(interval[1])) if interval else None
    published = judgment.claim.published_value
    return _Strip(
        dots=tuple(zip(places.tolist(), _heights(places).tolist(), strict=True)),
        holds=(at(relation.bounds[0]), at(relation.bounds[1])),
        interval=ends,
        center=at(judgment.measured) if typical and judgment.measured is not None else None,
        published=None if published is None else at(published),
        ticks=tuple(_Tick(at(x), f"{x:.6g}") for x in _ticks(low, high, spread=spread)),
        outside=len(judgment.values) - len(values),
    )


def _given(value: float | None) -> Sequence[float]:
    return () if value is None else (value,)


def _heights(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pile the dots of one bin up, as high as the fullest."""
    bins = np.minimum((places * _BINS).astype(int), _BINS - 1)
    number = np.arange(len(bins)) - np.searchsorted(bins, bins)
    heights: NDArray[np.float64] = number / max(8, number.max() + 1)
    return heights


def _ticks(low: float, high: float, *, spread: bool) -> list[float]:
    """Round numbers within the axis; powers of ten where it is logarithmic."""
    if spread:
        powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        return [10.0**power for power in powers][:: max(1, math.ceil(len(powers) / _MOST_TICKS))]
    rough = (high - low) / _MOST_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def as_text(judgment: Judgment, width: int = 64) -> str:
    """Draw the values as bars of text, with the bound below them."""
    placed = _strip(judgment)
    if placed is None:
        return ""
    counts = np.bincount(
        [min(width - 1, int(at * width)) for at, _ in placed.dots], minlength=width
    )
    levels = np.ceil(counts / counts.max() * (len(_LEVELS) - 1)).astype(int)
    bars = "".join(_LEVELS[level] for level in levels)
    first, last = (min(width - 1, int(at * width)) for at in placed.holds)
    line = " " * first + "═" * (last - first + 1)
    low, high = placed.ticks[0], placed.ticks[-1]
    axis = [" "] * (width + 12)
    for tick in (low, high):
        start = min(width - 1, int(tick.at * width))
        axis[start : start + len(tick.label)] = tick.label
    outside = f"   {placed.outside} not finite" if placed.outside else ""
    rows = (f"{bars}{outside}", f"{line:{width}}   holds here", "".join(axis))
    return "\n".join(row.rstrip() for row in rows)


def shown(
    judgment: Judgment, margin: str = "", facts: Sequence[tuple[str, str]] = ()
) -> dict[str, object]:
    """Gather what the templates name of a verdict."""
    claim = judgment.claim
    known = [
        *facts,
        ("Found", judgment.sentence),
        ("The published value", judgment.published_run),
        ("Margin", margin),
        ("To flip it", judgment.to_flip),
        ("Why", claim.because),
        ("Stated in", claim.source),
        ("Id", claim.id),
    ]
    return {
        "id": claim.id,
        "verdict": str(judgment.verdict),
        "words": str(judgment.verdict).replace("_", " "),
        "expected": None if judgment.as_expected else str(claim.expected).replace("_", " "),
        "exploratory": claim.expected is None,
        "statement": claim.statement,
        "sentence": judgment.sentence,
        "measured": _measured(judgment),
        "margin": margin,
        "strip": _strip(judgment),
        "facts": [(label, text) for label, text in known if text.strip(". ")],
    }


def _measured(judgment: Judgment) -> str:
    if judgment.measured is None:
        return ""
    if judgment.claim.quantifier == "every":
        return f"{100 * judgment.measured:.3g} % of {judgment.seeds} runs"
    return f"{judgment.measured:.4g}"


def cell(judgments: Sequence[Judgment]) -> str:
    """Write verdicts as a notebook shows them."""
    return rendering.html("claims_cell.html.j2", {"claims": [shown(j) for j in judgments]})
