"""The study's data, bit for bit, from NumPy alone."""

import numpy as np
import pytest

from actbench.targets import noisy_sine

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
