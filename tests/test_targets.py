"""The study's data, bit for bit, from NumPy alone; and the other targets, in closed form."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import fresnel

from actbench.store.errors import ActbenchError
from actbench.study.catalog.targets import TARGETS, get, noisy, noisy_sine

# Computed apart from the package: numpy.random.seed(42), then normal(0, 0.1, 200), added to the
# sine of 200 points on [-pi, pi].
_LEADING = (
    0.049671415301123144,
    -0.04539497988192903,
    0.0016632224973956583,
    0.05772317784595729,
)
_TRAILING = (
    0.03738942160941011,
    -0.11429702978306219,
)


def test_the_data_are_the_study_s_bit_for_bit() -> None:
    """The stream of ``numpy.random.seed(42)`` added to the sine gives every number exactly."""
    state = np.random.get_state()  # noqa: NPY002 - the study's generator
    try:
        np.random.seed(42)  # noqa: NPY002
        noise = np.random.normal(0, 0.1, 200)  # noqa: NPY002
    finally:
        np.random.set_state(state)  # noqa: NPY002
    target = noisy_sine()
    grid = np.linspace(-np.pi, np.pi, 200)
    np.testing.assert_array_equal(target.x, grid)
    np.testing.assert_array_equal(target.clean, np.sin(grid))
    np.testing.assert_array_equal(target.noisy, np.sin(grid) + noise)


def test_literal_values_hold() -> None:
    """The first and last noisy targets are these numbers, whatever NumPy's generator becomes."""
    noisy = noisy_sine().noisy
    # The sine's last bit belongs to the processor; the noise's does not.
    np.testing.assert_allclose(noisy[: len(_LEADING)], _LEADING, rtol=0, atol=1e-15)
    np.testing.assert_allclose(noisy[-len(_TRAILING) :], _TRAILING, rtol=0, atol=1e-15)


def test_the_study_s_losses_follow_from_the_data_alone() -> None:
    """Noise floor, best constant and best line have the published mean squared errors."""
    target = noisy_sine()
    noise = target.noisy - target.clean
    line = np.polynomial.Polynomial.fit(target.x, target.noisy, 1)
    assert np.mean(noise**2) == pytest.approx(0.008641, abs=5e-7)
    assert np.var(target.noisy) == pytest.approx(0.5181537, abs=5e-8)
    assert np.mean((target.noisy - line(target.x)) ** 2) == pytest.approx(0.2130014, abs=5e-8)


def test_the_global_generator_is_left_alone() -> None:
    """Building the data neither reads nor moves NumPy's global random state."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(7)  # noqa: NPY002
        expected = np.random.random()  # noqa: NPY002
        first = noisy_sine().noisy
        np.random.seed(7)  # noqa: NPY002
        second = noisy_sine().noisy
        found = np.random.random()  # noqa: NPY002
    finally:
        np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_array_equal(first, second)
    assert found == expected


@pytest.mark.parametrize("points", [2, 7, 201])
def test_points_are_even_and_hold_both_ends(points: int) -> None:
    """Any number of points spans [-pi, pi] evenly, ends included, in float64."""
    target = noisy_sine(points)
    assert target.x.shape == target.noisy.shape == target.clean.shape == (points,)
    assert target.x.dtype == target.noisy.dtype == target.clean.dtype == np.float64
    assert target.x[0] == -np.pi
    assert target.x[-1] == np.pi
    np.testing.assert_allclose(np.diff(target.x), 2 * np.pi / (points - 1), rtol=1e-12)


def test_noise_scales_and_its_seed_matters() -> None:
    """Twice the deviation is twice the noise, none is the sine, another seed is other noise."""
    clean = noisy_sine(noise_std=0).noisy
    np.testing.assert_array_equal(clean, np.sin(noisy_sine().x))
    np.testing.assert_allclose(
        noisy_sine(noise_std=0.2).noisy - clean, 2 * (noisy_sine().noisy - clean), atol=1e-15
    )
    correlation = np.corrcoef(noisy_sine().noisy - clean, noisy_sine(noise_seed=43).noisy - clean)
    assert abs(correlation[0, 1]) < 0.25  # 3.5 / sqrt(200)


@pytest.mark.parametrize(
    ("key", "x", "y"),
    [
        ("sine", math.pi / 2, 1),
        ("sine", -math.pi / 6, -0.5),
        ("fast_sine", math.pi / 8, 1),
        ("fast_sine", math.pi / 2, 0),
        ("step", -1e-9, -1),
        ("step", 0, 1),
        ("step", 3, 1),
        ("absolute_value", 0, -1),
        ("absolute_value", -math.pi, 1),
        ("absolute_value", math.pi / 2, 0),
        ("polynomial", math.pi, 1),
        ("polynomial", -math.pi, -1),
        ("polynomial", math.pi / 2, -1),
        ("polynomial", -math.pi / 2, 1),
        ("chirp", -math.pi, 0),
        ("chirp", math.sqrt(math.pi) - math.pi, 1),
        ("chirp", math.sqrt(7 * math.pi) - math.pi, -1),
    ],
)
def test_each_target_is_its_formula(key: str, x: float, y: float) -> None:
    """Values worked out by hand, at zeros, extremes and kinks."""
    assert get(key).function(np.array([x])).item() == pytest.approx(y, abs=1e-14)


@pytest.mark.parametrize("key", TARGETS)
def test_every_target_reaches_from_minus_one_to_one(key: str) -> None:
    """One scale for all, so that the same noise means the same to each."""
    clean = noisy(key, points=20_001).clean
    assert clean.min() == pytest.approx(-1, abs=1e-6)
    assert clean.max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("key", TARGETS)
def test_all_targets_carry_the_same_noise(key: str) -> None:
    """What differs between targets is the function alone."""
    target, study = noisy(key), noisy_sine()
    np.testing.assert_array_equal(target.x, study.x)
    np.testing.assert_allclose(
        target.noisy - target.clean, study.noisy - study.clean, rtol=0, atol=3e-16
    )


def test_the_study_s_sine_is_the_first_target() -> None:
    """The registry gives the study's own data, to the last bit, under any settings."""
    assert next(iter(TARGETS)) == "sine"
    for settings in ((200, 0.1, 42), (33, 0.5, 7)):
        np.testing.assert_array_equal(noisy("sine", *settings).noisy, noisy_sine(*settings).noisy)


def floors(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Variance and mean squared error of the best line, by the identity of least squares."""
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    return float(np.var(y)), float(np.var(y) - covariance**2 / np.var(x))


def sine_floors(points: int, waves: int) -> tuple[float, float]:
    """On even points the sum of j sin(j a) is -(n - 1) / (2 tan(a / 2)) over whole periods."""
    step = 2 * math.pi / (points - 1)
    covariance = step * (points - 1) / (2 * math.tan(waves * step / 2)) / points
    variance = (points - 1) / (2 * points)
    return variance, variance - covariance**2 / (step**2 * (points**2 - 1) / 12)


def step_floors(points: int) -> tuple[float, float]:
    """Half of an even number of points on either side: sums of odd numbers are squares."""
    covariance = points / 2 / (points - 1)  # of u = x / pi
    variance_of_u = (points + 1) / (3 * (points - 1))
    return 1.0, 1 - covariance**2 / variance_of_u


def even_moments(points: int) -> dict[int, float]:
    """Mean of u^2, u^4 and u^6 over u = -1 ... 1, from the sums of powers of odd numbers."""
    odd = [(2 * j + 1) / (points - 1) for j in range(points // 2)]
    return {power: 2 * math.fsum(u**power for u in odd) / points for power in (2, 4, 6)}


def polynomial_floors(points: int) -> tuple[float, float]:
    """Variance and covariance of 4 u^3 - 3 u are moments of u."""
    m = even_moments(points)
    variance = 16 * m[6] - 24 * m[4] + 9 * m[2]
    return variance, variance - (4 * m[4] - 3 * m[2]) ** 2 / m[2]


def absolute_floors(points: int) -> tuple[float, float]:
    """An even function has no slope, so the best line is the best constant."""
    mean = points / (2 * (points - 1))  # of |u|
    variance = 4 * (even_moments(points)[2] - mean**2)
    return variance, variance


@pytest.mark.parametrize("points", [64, 200])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sine", lambda n: sine_floors(n, 1)),
        ("fast_sine", lambda n: sine_floors(n, 4)),
        ("step", step_floors),
        ("absolute_value", absolute_floors),
        ("polynomial", polynomial_floors),
    ],
)
def test_variance_and_best_line_in_closed_form(key: str, expected: object, points: int) -> None:
    """What a constant and a line leave of each target is known without fitting anything."""
    assert callable(expected)
    target = noisy(key, points, noise_std=0)
    assert floors(target.x, target.noisy) == pytest.approx(expected(points), rel=1e-12)


def test_the_variance_of_the_chirp_is_a_fresnel_integral() -> None:
    """Its phase is a square, so mean and mean square are Fresnel's integrals S and C."""
    mean = fresnel(2 * math.sqrt(math.pi))[0] * math.sqrt(math.pi) / (2 * math.pi)
    cosine = fresnel(2 * math.pi * math.sqrt(2 / math.pi))[1] * math.sqrt(math.pi / 2)
    expected = 0.5 - cosine / (4 * math.pi) - mean**2
    assert np.var(noisy("chirp", 20_001).clean) == pytest.approx(expected, abs=1e-4)


def test_an_unknown_target_is_told_with_the_nearest() -> None:
    """A slip in a name is answered with the names that exist."""
    with pytest.raises(ActbenchError) as caught:
        noisy("fast-sine")
    assert str(caught.value) == (
        "unknown target 'fast-sine'; known: sine, fast_sine, step, absolute_value, polynomial, "
        "chirp. Did you mean 'fast_sine'?"
    )


@pytest.mark.parametrize("key", TARGETS)
def test_every_target_has_a_name_and_a_formula(key: str) -> None:
    """The registry names each target in print and writes it out."""
    target = get(key)
    assert target.key == key
    assert target.name
    assert "x" in target.formula
