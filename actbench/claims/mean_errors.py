"""How often the parametric answers about a published mean are wrong, by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from actbench.claims.mean_comparison import (
    RULES,
    Sample,
    equal_means_p,
    equal_spreads_p,
    equivalence_p,
)

LEVELS = (0.05, 0.01)
PUBLISHED = (3, 5, 10)
OURS = (10, 16, 32, 100)
_SEED = 20
_TOLERANCE = 2.0
"""Of the equivalence, in standard deviations, by which the means differ at its worst."""

_Array = NDArray[np.float64]


def _half_diverged(random: np.random.Generator, size: tuple[int, int]) -> _Array:
    """Half of the runs blow up, to finite numbers; of infinite ones there is no mean to ask of."""
    return np.where(
        random.random(size) < 0.5, random.random(size), 1e3 * random.lognormal(size=size)
    )


SHAPES: Mapping[str, Callable[[np.random.Generator, tuple[int, int]], _Array]] = {
    "normal": lambda random, size: random.normal(size=size),
    "lognormal": lambda random, size: random.lognormal(size=size),
    "Cauchy": lambda random, size: random.standard_cauchy(size=size),
    "discrete": lambda random, size: random.poisson(2, size=size).astype(np.float64),
    "bimodal": lambda random, size: random.normal(size=size) + 10 * random.integers(0, 2, size),
    "half diverged": _half_diverged,
}


def rates(
    shape: str, published: int, ours: int, repetitions: int = 20_000
) -> dict[str, tuple[float, ...]]:
    """Count the wrong answers where what is asked about is true, or just not."""
    random = np.random.default_rng([_SEED, list(SHAPES).index(shape), published, ours])
    drawn = SHAPES[shape](random, (repetitions, ours + published))
    scale = np.subtract(*np.quantile(drawn, (0.75, 0.25))) / 1.349
    one, two = _sample(drawn[:, :ours]), _sample(drawn[:, ours:])
    found = {}
    for name, theirs in {"": two, ", our spread": Sample(two.mean, None, two.n)}.items():
        width = _TOLERANCE * scale
        found[f"equal means{name}"] = _shares(equal_means_p(one, theirs))
        # A shift by the tolerance moves the bounds as it moves the means.
        sides = (
            _shares(equivalence_p(one, theirs, low, high))
            for low, high in ((0.0, 2 * width), (-2 * width, 0.0))
        )
        found[f"equivalence{name}"] = tuple(map(max, zip(*sides, strict=True)))
    found["equal spreads"] = _shares(equal_spreads_p(one, two))
    return {name: found[name] for name in RULES}


def _sample(values: _Array) -> Sample:
    return Sample(values.mean(axis=1), values.std(axis=1, ddof=1), values.shape[1])


def _shares(p: _Array) -> tuple[float, ...]:
    """Of what is not answered none is wrong."""
    return tuple(float(np.mean(p <= level)) for level in LEVELS)


def _rows(repetitions: int) -> Iterator[tuple[str, int, dict[str, list[float]]]]:
    """Of each shape and number of published runs the worst rates over our numbers of runs."""
    for shape, published in product(SHAPES, PUBLISHED):
        every = [rates(shape, published, ours, repetitions) for ours in OURS]
        worst = {
            name: [max(found[name][place] for found in every) for place in range(len(LEVELS))]
            for name in RULES
        }
        yield shape, published, worst


def markdown(repetitions: int = 20_000) -> str:
    """Tabulate the wrong answers of each rule at both levels, the worst over our runs.

    Args:
        repetitions: How often each is drawn.

    Returns:
        Markdown with a line per shape and number of published runs.
    """
    lines = [f"| runs | n | {' | '.join(RULES)} |", "|" + " --- |" * (2 + len(RULES))]
    for shape, published, worst in _rows(repetitions):
        cells = [" / ".join(f"{share:.1%}" for share in worst[name]) for name in RULES]
        lines.append(f"| {shape} | {published} | {' | '.join(cells)} |")
    return "\n".join(lines)
