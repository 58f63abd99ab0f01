"""How often a comparison of two records errs, and what it sees, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actbench.claims.measured import FALSE_ALARM
from actbench.claims.twosample import Margin, by_pairs, location, spread
from actbench.store.terminal import markdown

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

_POWER: Final = 0.8
_DRAWS: Final = 200
_CORRELATIONS: Final = (0.999, 0.9, 0.0)
_SEARCHED: Final = {"shift": (1e-3, 8.0), "ratio": (1.0, 32.0)}

_SEEDS: Final = 16
_LEVELS: Final = (0.05, 0.01)
_KINDS: Final[Mapping[str, Draw]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(size=shape),
    "discrete": lambda rng, shape: rng.integers(0, 4, size=shape).astype(np.float64),
    "bimodal": lambda rng, shape: rng.normal(size=shape) / 10 + rng.integers(0, 2, size=shape),
    "half diverged": lambda rng, shape: np.where(
        rng.random(shape) < 0.5, np.inf, rng.random(shape)
    ),
}


def table(seeds: Sequence[int] = (16, 100), metrics: Sequence[int] = (1, 10, 100)) -> str:
    """Return what is seen with a probability of 80 %, of normal values, as a table in Markdown."""
    among = [*(f"pairs, {c:g}" for c in _CORRELATIONS), "other seeds"]
    columns = [f"{what}: {which}" for what in _SEARCHED for which in among]
    rows = [["seeds", "metrics", *columns], ["---"] * (2 + len(columns))]
    for count in seeds:
        for shared_by in metrics:
            alpha = FALSE_ALARM / shared_by
            cells = [
                _smallest(what, count, alpha, correlation)
                for what in _SEARCHED
                for correlation in (*_CORRELATIONS, None)
            ]
            rows.append([str(count), str(shared_by), *cells])
    return markdown(rows)


def _smallest(what: str, seeds: int, alpha: float, correlation: float | None) -> str:
    """The least change that is seen, by bisection; without a correlation, on other seeds."""

    def seen(change: float) -> bool:
        return share_seen(what, change, seeds, alpha, correlation) >= _POWER

    low, high = _SEARCHED[what]
    if not seen(high):
        return f"> {high:g}"
    while high / low > 1.03:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if seen(middle) else (middle, high)
    return f"{high:.2f}" if high < 10 else f"{high:.0f}"


def share_seen(
    what: str, change: float, seeds: int, alpha: float, correlation: float | None
) -> float:
    """How often a shift, or a ratio of standard deviations, is found."""
    paired = correlation is not None and by_pairs(seeds, alpha)
    rng = np.random.default_rng(0)
    old, own = rng.normal(size=(2, _DRAWS, seeds))
    share = correlation or 0.0
    new = share * old + np.sqrt(1 - share**2) * own
    test, moved = (location, new + change) if what == "shift" else (spread, new * change)
    pairs = zip(old, moved, strict=True)
    return float(np.mean([test(a, b, Margin(), paired=paired) <= alpha / 2 for a, b in pairs]))


def errors(draws: int = 10_000, kinds: Sequence[str] = tuple(_KINDS)) -> str:
    """Return how often each test finds a drift where there is none, as a table in Markdown."""
    tests = {f"{t.__name__}, {w}": (t, w) for t in (location, spread) for w in ("pairs", "others")}
    rows = [["values", *tests, "location, pairs, moved by the margin"]]
    rows.append(["---"] * len(rows[0]))
    for kind in kinds:
        rng = np.random.default_rng(0)
        base, one, two = (_KINDS[kind](rng, (draws, _SEEDS)) for _ in range(3))
        cells = [
            _share(test, base + one, base + two, Margin())
            if which == "pairs"
            else _share(test, one, two, Margin(), paired=False)
            for test, which in tests.values()
        ]
        margin = Margin(absolute=0.25)
        cells.append(_share(location, base + one, base + two + margin.absolute, margin))
        rows.append([kind, *cells])
    return markdown(rows)


def _share(
    test: Callable[..., float], old: Floats, new: Floats, margin: Margin, *, paired: bool = True
) -> str:
    found = np.array([test(a, b, margin, paired=paired) for a, b in zip(old, new, strict=True)])
    return ", ".join(f"{(found <= level).mean():.4f}" for level in _LEVELS)
