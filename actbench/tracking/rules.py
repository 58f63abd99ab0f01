"""The rules of ``docs/statistics.md``: a picture of each, and what a drift sees and how it errs.

``python -m actbench.tracking.rules FILE.png`` draws them; ``errors`` and ``power`` are tables.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actbench import claims
from actbench.claims import looks, measured
from actbench.claims.comparisons import paired_superiority, unpaired_superiority
from actbench.claims.measured import FALSE_ALARM
from actbench.claims.published_value import RULES, WORST
from actbench.claims.redraws import flip_probability
from actbench.claims.statistics import prediction_interval
from actbench.claims.twosample import Margin, by_pairs, location, spread
from actbench.pages import blocks
from actbench.store.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVEL: Final = 1e-4
_SINGLE: Final = "leaky-relu-final-mse"
_MARKERS: Final = "os^Dv"


def _decisions(axes: Axes) -> None:
    """The probability of a verdict at a single look, over the number of runs."""
    runs = range(10, 401, 3)
    for p0, share, name in (
        (0.5, 0.95, "median, 95 % agree"),
        (0.5, 0.8, "median, 80 % agree"),
        (0.95, 1.0, "every, all agree"),
        (0.95, 0.99, "every, 99 % agree"),
    ):
        shown = [looks.crossing(looks.boundaries((n,), p0, _LEVEL), share).above for n in runs]
        axes.plot(runs, shown, label=name)
    axes.set(title="Median and every: one look", xlabel="runs", ylabel="probability of a verdict")


def _stopping(axes: Axes) -> None:
    """The counts at which a claim about a median is decided, look by look."""
    for alpha in (0.01, _LEVEL):
        bounds = looks.boundaries(looks.schedule(0.5, alpha), 0.5, alpha)
        runs = [look.runs for look in bounds]
        for side in ("at_least", "at_most"):
            share = [getattr(look, side) / look.runs for look in bounds]
            color = "C0" if alpha == _LEVEL else "C1"
            label = f"alpha {alpha:g}" if side == "at_least" else None
            axes.plot(runs, share, ".", color=color, label=label)
    axes.axhline(0.5, color="0.7", zorder=0)
    axes.set(title="Until decided: a median's looks", xlabel="runs")
    axes.set_ylabel("share above the bound that decides")


def _saved(axes: Axes) -> None:
    """How many runs it takes on average to decide, over the share that agrees."""
    shares = np.linspace(0.5, 1, 51)
    for p0, name in ((0.5, "median"), (0.95, "every, 95 %")):
        schedule = looks.schedule(p0, _LEVEL)
        bounds = looks.boundaries(schedule, p0, _LEVEL)
        (line,) = axes.plot(shares, [looks.crossing(bounds, p).runs for p in shares], label=name)
        axes.axhline(schedule[-1], color=line.get_color(), linestyle=":", linewidth=1)
    axes.set(title="Until decided: what it saves", xlabel="share of all runs that agrees")
    axes.set_ylabel("runs on average; dotted: the most")


def _flips(axes: Axes) -> None:
    """How probable another verdict is if all runs were made again."""
    claim = next(c for c in claims.published().claim if c.id == "relu-learns-every-target")
    runs = range(15, 101)
    for alpha in (0.01, _LEVEL):
        again = [flip_probability(claim, np.zeros(n), alpha) or np.nan for n in runs]
        axes.plot(runs, again, label=f"alpha {alpha:g}")
    axes.axhline(0.01, color="0.7", zorder=0)
    axes.set_yscale("log")
    axes.set(title="Would it flip? All runs agree", xlabel="runs", ylabel="probability", ylim=1e-6)


def _one_published(axes: Axes) -> None:
    """A published number beside runs, and where one more run would lie."""
    claim = next(c for c in claims.published().claim if c.id == _SINGLE)
    values = np.sort(measured.load(str(claim.protocol)).values(claim.metric))
    axes.plot(values, np.arange(1, len(values) + 1), ".", label=f"{len(values)} runs")
    interval = prediction_interval(values, 0.95)
    if interval is not None:
        axes.axvspan(*interval, color="0.9", zorder=0, label="95 % for one more")
    axes.axvline(claim.published_value or np.nan, color="C3", label="published")
    axes.set(title=f"One published run: {_SINGLE}", xlabel="final mean squared error")
    axes.set_ylabel("rank")


def _published_means(axes: Axes) -> None:
    """The worst that a simulation found of the parametric rules, at 1 %."""
    numbers = sorted(WORST)
    for place, rule in enumerate(RULES):
        worst = [WORST[n][place][1] for n in numbers]
        axes.plot(numbers, worst, marker=_MARKERS[place], label=rule)
    axes.axhline(0.01, color="0.7", zorder=0)
    axes.set_yscale("log")
    axes.set(title="A published mean: worst error at 1 %", xlabel="published runs", xticks=numbers)
    axes.set_ylabel("share of wrong answers")


def _better(axes: Axes) -> None:
    """The interval of how often A exceeds B, over how often it did."""
    shares = np.linspace(0, 1, 41)
    for color, runs in (("C0", 20), ("C1", 100)):
        won = [np.repeat([1.0, 0.0], [round(s * runs), runs - round(s * runs)]) for s in shares]
        low, high = np.array([paired_superiority(w, 0.05) for w in won]).T
        axes.fill_between(shares, low, high, color=color, alpha=0.25, label=f"{runs} pairs")
    matrices = [np.repeat(s, 400).reshape(20, 20) for s in shares]
    ends = np.array([unpaired_superiority(m, 0.05) for m in matrices]).T
    for end, label in zip(ends, ("20 and 20 runs, not paired", None), strict=True):
        axes.plot(shares, end, "k:", linewidth=1, label=label)
    axes.axline((0, 0), slope=1, color="0.7")
    axes.set(title="A better than B, at 95 %", xlabel="share of comparisons that A wins")
    axes.set_ylabel("probability that A exceeds B")


def _drift(axes: Axes) -> None:
    """Which shift between two records is seen."""
    shifts = np.linspace(0, 2.5, 26)
    for seeds, correlation, name in (
        (16, None, "16 other seeds"),
        (16, 0.9, "16 pairs, correlation 0.9"),
        (100, None, "100 other seeds"),
        (100, 0.9, "100 pairs, correlation 0.9"),
    ):
        seen = [_share_seen("shift", shift, seeds, FALSE_ALARM, correlation) for shift in shifts]
        axes.plot(shifts, seen, label=name)
    axes.set(title="Drift: one metric", xlabel="shift, in standard deviations")
    axes.set_ylabel("probability that it is seen")


PICTURES: Final[tuple[Callable[[Axes], None], ...]] = (
    *(_decisions, _stopping, _saved, _flips),
    *(_one_published, _published_means, _better, _drift),
)
"""A panel for each rule."""


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


def power(seeds: Sequence[int] = (16, 100), metrics: Sequence[int] = (1, 10, 100)) -> str:
    """Return what is seen with a probability of 80 %, of normal values, as a table in Markdown."""
    among = [*(f"pairs, {c:g}" for c in _CORRELATIONS), "other seeds"]
    columns = [f"{what}: {which}" for what in _SEARCHED for which in among]
    rows = []
    for count in seeds:
        for shared_by in metrics:
            alpha = FALSE_ALARM / shared_by
            cells = [
                _smallest(what, count, alpha, correlation)
                for what in _SEARCHED
                for correlation in (*_CORRELATIONS, None)
            ]
            rows.append([str(count), str(shared_by), *cells])
    return blocks.table(["seeds", "metrics", *columns], rows)


def _smallest(what: str, seeds: int, alpha: float, correlation: float | None) -> str:
    """The least change that is seen, by bisection; without a correlation, on other seeds."""

    def seen(change: float) -> bool:
        return _share_seen(what, change, seeds, alpha, correlation) >= _POWER

    low, high = _SEARCHED[what]
    if not seen(high):
        return f"> {high:g}"
    while high / low > 1.03:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if seen(middle) else (middle, high)
    return f"{high:.2f}" if high < 10 else f"{high:.0f}"


def _share_seen(
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
    rows = []
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
    return blocks.table(["values", *tests, "location, pairs, moved by the margin"], rows)


def _share(
    test: Callable[..., float], old: Floats, new: Floats, margin: Margin, *, paired: bool = True
) -> str:
    found = np.array([test(a, b, margin, paired=paired) for a, b in zip(old, new, strict=True)])
    return ", ".join(f"{(found <= level).mean():.4f}" for level in _LEVELS)


def draw() -> Figure:
    """Draw all pictures."""
    figure = Figure(figsize=(18, 8.4), layout="constrained")
    for picture, axes in zip(PICTURES, figure.subplots(2, 4).flat, strict=True):
        picture(axes)
        axes.legend(fontsize="small")
    return figure


def main(arguments: list[str]) -> None:
    """Write them to the file that is named."""
    (path,) = arguments
    content = io.BytesIO()
    draw().savefig(content, format="png", dpi=90, metadata={"Software": None})
    write_atomic(Path(path), content.getvalue())


if __name__ == "__main__":
    main(sys.argv[1:])
