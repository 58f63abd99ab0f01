"""The tests of two records hold their level for any values, and see what they are said to see."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from actbench.claims.twosample import Margin, by_pairs, location, smallest_p, spread
from actbench.tracking import rules

NONE = Margin()
Test = Callable[..., float]
TESTS = (location, spread)
SAMPLES = {
    "continuous": [0.3, -1.2, 2.5, 0.9, -0.4, 1.7, 5.1, -2.2, 0.1, 3.3],
    "tied": [0.0, 1.0, 1.0, 2.0, 0.0, 1.0, 3.0, 2.0, 1.0, 0.0],
    "diverged": [1.0, math.inf, math.nan, 2.0, math.inf, 0.5, 3.0, math.inf, 4.0, -math.inf],
}
PAGE = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")


def arrangements(values: list[float], *, paired: bool) -> Iterator[tuple[list[float], list[float]]]:
    """All that are equally likely: each pair either way round, or any five of ten before."""
    if paired:
        for turned in itertools.product((False, True), repeat=len(values) // 2):
            pairs = [
                (b, a) if turn else (a, b)
                for a, b, turn in zip(values[::2], values[1::2], turned, strict=True)
            ]
            yield [a for a, _ in pairs], [b for _, b in pairs]
        return
    for chosen in itertools.combinations(range(len(values)), 5):
        yield [values[n] for n in chosen], [v for n, v in enumerate(values) if n not in chosen]


@pytest.mark.parametrize("margin", [NONE, Margin(0.1, 0.2)])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_p_value_is_as_rare_as_it_says(
    sample: str, test: Test, paired: bool, margin: Margin
) -> None:
    """Of all arrangements at most a share of p has a p that small: exact, whatever the values."""
    every = arrangements(SAMPLES[sample], paired=paired)
    found = np.sort([test(a, b, margin, paired=paired) for a, b in every])
    assert (found >= smallest_p(5, 5, paired=paired) * (1 - 1e-9)).all()
    for p in found:
        assert (found <= p * (1 + 1e-9)).mean() <= p * (1 + 1e-9)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("sizes", [(8, 8), (16, 16), (60, 60)])
def test_location_is_that_of_scipy(sizes: tuple[int, int], paired: bool) -> None:
    """Without ties and margin: Wilcoxon's and Mann and Whitney's, exact."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = (rng.normal(0.2 * n, 1, size) for n, size in enumerate(sizes))
        oracle = (
            stats.wilcoxon(b, a, method="exact")
            if paired
            else stats.mannwhitneyu(a, b, method="exact")
        )
        assert location(a, b, NONE, paired=paired) == pytest.approx(oracle.pvalue)


def test_other_numbers_of_values() -> None:
    """Few against many, either way round, and one against one."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=5), rng.normal(1, 2, size=12)
    oracle = stats.mannwhitneyu(a, b, method="exact").pvalue
    for test in TESTS:
        assert test(a, b, NONE, paired=False) == pytest.approx(test(b, a, NONE, paired=False))
    assert location(a, b, NONE, paired=False) == pytest.approx(oracle)
    assert location([1.0], [2.0], NONE, paired=True) == 1
    assert location([1.0], [2.0], NONE, paired=False) == 1


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("paired", [True, False])
def test_many_values_err_to_the_cautious_side(test: Test, paired: bool) -> None:
    """Where a distribution is taken to be normal a small p is a little too large, not too small."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 60))
    moved = b + 1.1 if test is location else 2 * b
    exact = test(a, moved, NONE, paired=paired)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actbench.claims.twosample._MOST_STEPS", 0)
        near = test(a, moved, NONE, paired=paired)
    assert exact < 1e-3
    assert exact <= near <= 4 * exact < 1e-4


@pytest.mark.parametrize("paired", [True, False])
def test_the_same_values_are_no_drift(paired: bool) -> None:
    """Also where none is a number."""
    for values in ([0.2] * 20, [math.nan] * 20, [math.nan] * 10 + [1.0] * 10):
        for test in TESTS:
            assert test(values, values, NONE, paired=paired) == 1


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("up", [1, -1])
def test_a_shift_counts_beyond_its_margin_only(paired: bool, up: int) -> None:
    """All up or down by a little less than the margin is none, by more is one for pairs at once."""
    rng = np.random.default_rng(4)
    values = rng.lognormal(size=20)
    for margin in (Margin(absolute=0.01), Margin(relative=0.01)):
        size = margin.of(values)
        below = location(values, values + 0.98 * up * size, margin, paired=paired)
        assert below == 1
        if paired:
            beyond = location(values, values + 1.03 * up * size, margin, paired=True)
            assert beyond == pytest.approx(2.0**-19)
    assert location(values, values + 3 * up, Margin(absolute=0.01), paired=paired) < 1e-4


@pytest.mark.parametrize("paired", [True, False])
def test_scatter_within_the_margin_is_no_other_spread(paired: bool) -> None:
    """Constants that scatter by less than the margin; by ten times as much is another spread."""
    scatter = np.random.default_rng(5).uniform(-1, 1, size=30)
    margin = Margin(absolute=1.0)
    assert spread(np.zeros(30), scatter, margin, paired=paired) == 1
    assert spread(np.zeros(30), 40 * scatter, margin, paired=paired) < 1e-5


def test_seeds_that_diverge_are_a_shift() -> None:
    """Twelve of 16 no longer give a number, or plus or minus infinity."""
    values = np.random.default_rng(6).normal(size=16)
    for lost in (math.nan, math.inf, -math.inf):
        new = np.where(np.arange(16) < 12, lost, values)
        for paired in (True, False):
            assert location(values, new, NONE, paired=paired) < 1e-3


def test_pairs_are_asked_where_they_can_answer() -> None:
    """Twice 2^(1 - n), for two tests: 12 pairs at 0.001, 20 where 200 metrics share it."""
    assert next(n for n in range(1, 30) if by_pairs(n, 1e-3)) == 12
    assert next(n for n in range(1, 30) if by_pairs(n, 1e-3 / 200)) == 20


def numbers(table: str) -> dict[str, list[str]]:
    """Cells of a table in Markdown by the first, without heading."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


def test_simulated_errors_stay_below_the_level() -> None:
    """In short form: 200 comparisons, at 0.05 and 0.01, by 3.5 standard errors."""
    for cells in numbers(rules.errors(200)).values():
        for cell in cells:
            for share, level in zip(cell.split(", "), (0.05, 0.01), strict=True):
                assert float(share) <= level + 3.5 * math.sqrt(level * (1 - level) / 200)


@pytest.mark.slow
def test_the_page_shows_the_errors_that_its_line_prints() -> None:
    """10,000 comparisons each; no share is above its level by more than chance makes."""
    table = rules.errors()
    assert table in PAGE
    for cells in numbers(table).values():
        for cell in cells:
            for share, level in zip(cell.split(", "), (0.05, 0.01), strict=True):
                assert float(share) <= level + 3.5 * math.sqrt(level * (1 - level) / 10_000)


def test_the_page_shows_the_power_that_its_line_prints() -> None:
    """Its first row; the others take longer."""
    head, line, row = rules.power((16,), (1,)).splitlines()
    assert f"{head}\n{line}\n{row}\n" in PAGE


@pytest.mark.slow
def test_the_page_shows_all_of_the_power() -> None:
    """Every row of the table."""
    assert rules.power() in PAGE
