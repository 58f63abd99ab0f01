"""How often each rule errs, simulated where any decision is wrong: with the truth on the bound.

Of a median half of all runs reach the bound, of ``every`` a share of exactly 95 %, and the mean
lies on it. Whatever is decided there counts as false, so that the share of false verdicts of a rule
that assumes nothing stays within its level for every distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from actbench.claims.looks import boundaries, crossing, schedule
from actbench.claims.statistics import mean_interval, median_interval, proportion_interval
from actbench.store.terminal import markdown

_Values: TypeAlias = NDArray[np.float64]
_CHUNK = 10_000

LEVELS = (0.05, 0.01)
SHARE = 0.95
DISTRIBUTIONS: Mapping[str, Callable[[_Values, float], _Values]] = {
    "normal": lambda u, q: special.ndtri(u) - special.ndtri(q),
    "lognormal": lambda u, q: np.exp(special.ndtri(u)) - np.exp(special.ndtri(q)),
    "Cauchy": lambda u, q: np.tan(np.pi * (u - 0.5)) - np.tan(np.pi * (q - 0.5)),
    "discrete": lambda u, q: np.floor(2 * (u - q) / np.where(u < q, q, 1 - q)),
    "bimodal": lambda u, q: (
        special.ndtri(u) - special.ndtri(q) + 9 * (np.sign(u - 0.5) - np.sign(q - 0.5))
    ),
    "half diverged": lambda u, q: np.where(u < q, math.nan, 1.0),
}
"""Name to what makes values of uniform numbers: a share ``q`` of them lies below 0, or is none."""
MEANS = {"normal": 0.0, "lognormal": math.exp(0.5) - 1, "discrete": -0.5, "bimodal": 0.0}
"""Those that have a mean, at ``q`` = 1/2."""


@dataclass(frozen=True)
class Rule:
    """A rule at a level.

    Args:
        name: What it is called.
        runs: How many runs it may take.
        below: Share of all runs that do not reach the bound.
        decides: Tells of values ``(repetition, run)`` which repetitions are decided; of a mean,
            whether it is another than the one given.
        exact: Share of false verdicts by calculation; ``None`` for a mean.
    """

    name: str
    runs: int
    below: float
    decides: Callable[[_Values, float], NDArray[np.bool_]]
    exact: float | None = None


def rules(alpha: float) -> list[Rule]:
    """List the rules of ``median``, ``every`` and ``mean``, at once and until decided."""
    return [
        _median(16, alpha),
        _sequential("median", 0.5, alpha),
        _every(200, alpha),
        _sequential(f"every, {SHARE:g}", SHARE, alpha),
        *(_mean(runs, alpha) for runs in (16, 100)),
    ]


def _median(runs: int, alpha: float) -> Rule:
    low, high = (int(end) for end in median_interval(range(runs), alpha) or (0, runs - 1))

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        ordered = np.sort(np.where(np.isnan(values), -np.inf, values), axis=1)
        return (ordered[:, low] >= 0) | (ordered[:, high] < 0)

    exact = 2 * float(special.bdtr(low, runs, 0.5))
    return Rule(f"median of {runs}", runs, 0.5, decides, exact)


def _every(runs: int, alpha: float) -> Rule:
    ends = np.array([proportion_interval(count, runs, alpha) for count in range(runs + 1)])
    decided = (ends[:, 0] >= SHARE) | (ends[:, 1] < SHARE)

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        return np.asarray(decided[(values >= 0).sum(axis=1)])

    chances = np.diff(special.bdtr(np.arange(runs + 1), runs, SHARE), prepend=0)
    return Rule(f"every, {SHARE:g}, of {runs}", runs, 1 - SHARE, decides, float(chances @ decided))


def _sequential(name: str, p0: float, alpha: float) -> Rule:
    looks = boundaries(schedule(p0, alpha), p0, alpha)
    at = np.array([look.runs - 1 for look in looks])
    enough = np.array([math.inf if k.at_least is None else k.at_least for k in looks])
    few = np.array([-1 if k.at_most is None else k.at_most for k in looks])

    def decides(values: _Values, _: float) -> NDArray[np.bool_]:
        counts = (values >= 0).cumsum(axis=1, dtype=np.int16)[:, at]
        return np.asarray(((counts >= enough) | (counts <= few)).any(axis=1))

    end = crossing(looks, p0)
    return Rule(
        f"{name}, until decided, up to {looks[-1].runs}",
        looks[-1].runs,
        1 - p0,
        decides,
        end.above + end.below,
    )


def _mean(runs: int, alpha: float) -> Rule:
    sample = np.arange(float(runs))
    low, high = mean_interval(sample, alpha) or (-math.inf, math.inf)
    reach = (high - low) / 2 / sample.std(ddof=1)

    def decides(values: _Values, mean: float) -> NDArray[np.bool_]:
        off = np.abs(values.mean(axis=1) - mean)
        return np.asarray(off > reach * values.std(axis=1, ddof=1))

    return Rule(f"mean of {runs}", runs, 0.5, decides)


def false_share(rule: Rule, distribution: str, repetitions: int, seed: int) -> float | None:
    """Simulate how often a rule decides what is on its bound."""
    if rule.exact is None and distribution not in MEANS:
        return None
    rng, decided = np.random.default_rng(seed), 0
    for start in range(0, repetitions, _CHUNK):
        uniform = rng.random((min(_CHUNK, repetitions - start), rule.runs))
        values = DISTRIBUTIONS[distribution](uniform, rule.below)
        decided += int(rule.decides(values, MEANS.get(distribution, 0.0)).sum())
    return decided / repetitions


def table(repetitions: int = 100_000) -> str:
    """Return the share of false verdicts of each rule, as a table in Markdown."""
    head = ["rule", "level", "calculated", *DISTRIBUTIONS]
    rows = [head, ["---"] * len(head)]
    seed = 0
    for alpha in LEVELS:
        for rule in rules(alpha):
            cells = [rule.name, f"{alpha:g}", _percent(rule.exact)]
            for name in DISTRIBUTIONS:
                seed += 1
                cells.append(_percent(false_share(rule, name, repetitions, seed)))
            rows.append(cells)
    return markdown(rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


if __name__ == "__main__":
    print(table())
