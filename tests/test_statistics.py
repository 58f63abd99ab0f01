"""Intervals and tests hold the error level that they promise, and are no wider than need be."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from actbench.claims.statistics import (
    jackknife,
    mean_interval,
    median_interval,
    noise_of_median,
    proportion_interval,
    same_distribution,
    seeds_against_proportion,
    seeds_for_median,
    seeds_for_proportion,
)

ALPHAS = (0.2, 0.05, 0.01, 1e-3, 1.3e-4, 0.5, 0.25, 2.0**-9)


def miss_probability(n: int, k: int) -> Fraction:
    """Chance that the median of n values is outside the k-th smallest and the k-th largest."""
    return 2 * Fraction(sum(math.comb(n, i) for i in range(k)), 2**n)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_median_interval_is_the_narrowest_that_covers(alpha: float) -> None:
    """Exact binomial arithmetic: the level is kept, and one order statistic less would break it."""
    for n in range(1, 61):
        found = median_interval(range(1, n + 1), alpha)
        if found is None:
            assert miss_probability(n, 1) > Fraction(alpha)
            continue
        low, high = found
        k = int(low)
        assert high == n + 1 - k
        assert low <= high
        assert miss_probability(n, k) <= Fraction(alpha)
        assert miss_probability(n, k + 1) > Fraction(alpha)


def test_median_interval_covers_a_skewed_distribution_as_often_as_promised() -> None:
    """Of 2000 seeded samples the share that encloses the median is the binomial one."""
    samples = np.random.default_rng(1).exponential(size=(2000, 20))
    intervals = [median_interval(sample, 0.05) for sample in samples]
    covered = np.mean([i is not None and i[0] <= math.log(2) <= i[1] for i in intervals])
    # For n = 20 the sixth smallest and largest are taken: 2 P(B < 6) = 0.0414.
    assert float(miss_probability(20, 6)) == pytest.approx(0.0414, abs=1e-4)
    assert covered == pytest.approx(1 - 0.0414, abs=4 * math.sqrt(0.0414 * 0.9586 / 2000))


def test_the_interval_of_a_mean_scales_with_its_values() -> None:
    """Where squares would overflow or vanish too: by a power of two to the last digit."""
    values = np.random.default_rng(0).normal(1, 1, 40)
    low, high = mean_interval(values, 0.01) or (math.nan, math.nan)
    for unit in (2.0**1000, 2.0**-900):
        assert mean_interval(values * unit, 0.01) == (low * unit, high * unit)
    assert mean_interval(np.zeros(40), 0.01) == (0, 0)


@pytest.mark.parametrize("n", [16, 40])
def test_mean_interval_is_students(n: int) -> None:
    """End for end that of scipy's test of one sample, which no coverage tells from n degrees."""
    values = np.random.default_rng(n).exponential(size=n)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert mean_interval(values, 0.01) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_mean_interval_covers_as_often_as_promised() -> None:
    """Of 4000 seeded normal samples of 16 the share that encloses the mean is 1 - alpha."""
    samples = np.random.default_rng(2).normal(size=(4000, 16))
    intervals = [mean_interval(sample, 0.05) for sample in samples]
    covered = np.mean([i is not None and i[0] <= 0 <= i[1] for i in intervals])
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 4000))
    assert mean_interval(samples[0, :15], 0.05) is None


def test_the_jackknife_gives_an_error_and_takes_the_bias() -> None:
    """Of a mean it gives the values; of a plain variance their mean is the unbiased one."""
    values = np.array([1.0, 4.0, -2.0, 7.0, 3.0])
    found = jackknife(lambda rows: float(values[rows].mean()), len(values))
    np.testing.assert_allclose(found, values)
    found = jackknife(lambda rows: float(values[rows].var()), len(values))
    assert found.mean() == pytest.approx(values.var(ddof=1))
    assert np.isnan(jackknife(lambda rows: 1.0, 1)).all()


@pytest.mark.parametrize("alpha", [*ALPHAS, *(0.01 / n for n in range(1, 200)), 0.9, 1.0])
def test_seeds_for_median_is_the_smallest_number_with_an_interval(alpha: float) -> None:
    """One value less gives no interval, and the count agrees with 2 x 0.5^n <= alpha."""
    needed = seeds_for_median(alpha)
    assert needed == next(n for n in count(1) if 2 * Fraction(1, 2**n) <= Fraction(alpha))
    assert median_interval(range(needed), alpha) is not None
    assert median_interval(range(needed - 1), alpha) is None


def test_median_interval_takes_nan_as_the_largest_value() -> None:
    """A diverged run is worse than any finite one, and does not poison the interval."""
    values = [*range(18), math.nan, math.nan]
    assert median_interval(values, 0.05) == (5, 14)
    assert median_interval([math.nan] * 20, 0.05) == (math.inf, math.inf)
    assert median_interval([-math.inf, *range(18), math.inf], 0.05) == (4, 13)


@settings(derandomize=True, max_examples=50)
@given(st.lists(st.floats(), min_size=1, max_size=40))
def test_median_interval_is_ordered_and_ignores_order(values: list[float]) -> None:
    """Whatever the values, low <= high, both are among them, and no order of seeds matters."""
    found = median_interval(values, 0.1)
    assert found == median_interval(sorted(values, key=str), 0.1)
    assert found == median_interval(values[::-1], 0.1)
    if found is not None:
        allowed = [math.inf if math.isnan(v) else v for v in values]
        assert found[0] <= found[1]
        assert set(found) <= set(allowed)


@pytest.mark.parametrize("n", [1, 2, 16, 200])
@pytest.mark.parametrize("alpha", [0.05, 1.3e-4])
def test_proportion_interval_closed_forms(n: int, alpha: float) -> None:
    """With no or only successes the Clopper-Pearson ends are powers of alpha / 2."""
    power = (alpha / 2) ** (1 / n)
    assert proportion_interval(0, n, alpha) == pytest.approx((0, 1 - power), abs=1e-12)
    assert proportion_interval(n, n, alpha) == pytest.approx((power, 1), abs=1e-12)


@pytest.mark.parametrize("n", [5, 24])
def test_proportion_interval_covers_every_proportion(n: int) -> None:
    """The exact chance of missing the true proportion stays at or below alpha."""
    intervals = [proportion_interval(k, n, 0.1) for k in range(n + 1)]
    for p in np.linspace(0.01, 0.99, 99):
        chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        missed = sum(c for c, (a, b) in zip(chance, intervals, strict=True) if not a <= p <= b)
        assert missed <= 0.1 + 1e-12
    for k, (low, high) in enumerate(intervals):
        assert proportion_interval(n - k, n, 0.1) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1.3e-4])
def test_seeds_for_and_against_a_proportion_are_the_fewest(share: float, alpha: float) -> None:
    """That many that agree, or do not, put the interval on one side; one less does not."""
    needed = seeds_for_proportion(share, alpha)
    assert proportion_interval(needed, needed, alpha)[0] >= share
    assert proportion_interval(needed - 1, needed - 1, alpha)[0] < share
    needed = seeds_against_proportion(share, alpha)
    assert proportion_interval(0, needed, alpha)[1] < share
    assert needed == 1 or proportion_interval(0, needed - 1, alpha)[1] >= share


def test_one_seed_shows_little_and_sixteen_do_not_prove_always() -> None:
    """One puts the interval above alpha / 2; sixteen leave room for one in five to disagree."""
    assert proportion_interval(1, 1, 0.05)[0] == pytest.approx(0.025)
    assert seeds_for_proportion(0.025, 0.05) == 1
    assert seeds_for_proportion(0.01, 0.05) == 1
    assert proportion_interval(16, 16, 0.05)[0] == pytest.approx(0.025 ** (1 / 16))
    assert proportion_interval(16, 16, 0.05)[0] < 0.8
    assert seeds_for_proportion(0.95, 0.01 / 76) == 188


@pytest.mark.parametrize("n", [2, 5, 16])
def test_separated_samples_have_the_combinatorial_p_value(n: int) -> None:
    """If all of one lie below all of the other, two of the C(2n, n) orders are as extreme."""
    p = 2 / math.comb(2 * n, n)
    assert same_distribution(range(n), range(n, 2 * n)) == pytest.approx(p)
    assert same_distribution([1.0] * n, [math.nan] * n) == pytest.approx(p)


def test_equal_constants_are_the_same_distribution() -> None:
    """A metric that no seed changes never alarms, not even where it is infinite."""
    assert same_distribution([0.2] * 5, [0.2] * 9) == 1
    assert same_distribution([math.nan] * 5, [math.inf] * 9) == 1
    assert same_distribution([math.inf, 1.0, 2.0], [math.nan, 1.0, 2.0]) == pytest.approx(1)


def test_how_often_a_value_comes_counts() -> None:
    """Samples of the same two values in opposite proportions are not the same."""
    assert same_distribution([0.0] * 19 + [1.0], [0.0] + [1.0] * 19) < 1e-6


def test_last_digits_alone_do_not_tell_two_distributions_apart() -> None:
    """Many values that differ by rounding alone have p = 1, where scipy's exact sum fails."""
    values = np.random.default_rng(0).lognormal(size=200)
    assert same_distribution(values, np.nextafter(values, 2 * values)) == pytest.approx(1)


def test_same_distribution_keeps_its_false_alarm_rate_and_has_power() -> None:
    """Of 400 seeded clean pairs at most 5 % and chance alarm; a shift or a spread is found."""
    rng = np.random.default_rng(2)
    clean = [same_distribution(rng.lognormal(size=30), rng.lognormal(size=20)) for _ in range(400)]
    assert np.mean(np.array(clean) < 0.05) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(np.array(clean) < 0.2) > 0.05
    shifted = [
        same_distribution(rng.normal(size=100), rng.normal(1.5, 1, size=16)) for _ in range(50)
    ]
    assert np.mean(np.array(shifted) < 1e-3) > 0.8
    spread = [same_distribution(rng.normal(size=100), rng.normal(0, 9, size=40)) for _ in range(50)]
    assert np.mean(np.array(spread) < 1e-3) > 0.8


def test_noise_is_that_of_a_median() -> None:
    """For normal values the notch is close to 1.96/sqrt(2) times the median's standard error."""
    draw = np.random.default_rng(5)
    runs = draw.normal(10.0, 0.5, (2000, 9))
    error = np.median(runs, axis=1).std() / 10
    notch = float(np.mean([noise_of_median(run.tolist()) for run in runs]))
    assert 0.8 * error < notch < 2 * error
    assert noise_of_median([1.0]) == 0
    assert noise_of_median([1.0, 3.0]) == pytest.approx(1.57 * (2.5 - 1.5) / math.sqrt(2) / 2)
