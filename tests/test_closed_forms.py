"""The floors of the targets agree with formulas that were worked out elsewhere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from actbench.study.experiments import closed_forms

N = 200


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """The experiment as it ships."""
    return closed_forms.run(closed_forms.Config())


def noisy_targets() -> npt.NDArray[np.float64]:
    """The study's data: one stream of NumPy's legacy generator, reset to 42."""
    x = np.linspace(-math.pi, math.pi, N)
    return np.sin(x) + np.random.RandomState(42).normal(0.0, 0.1, N)


def test_best_constant(dataset: xr.Dataset) -> None:
    """The sum of sin^2 over whole periods with both ends is (N - 1) / 2, its mean is zero."""
    floor = dataset["best_constant_mse"]
    assert floor.sel(target="sine_one_period").item() == pytest.approx(199 / 400, rel=1e-14)
    assert floor.sel(target="sine_two_periods").item() == pytest.approx(199 / 400, rel=1e-14)
    y = noisy_targets()
    expected = math.fsum(y * y) / N - (math.fsum(y) / N) ** 2
    assert floor.sel(target="noisy_sine").item() == pytest.approx(expected, rel=1e-12)
    assert floor.sel(target="noisy_sine").item() == pytest.approx(0.5181537, abs=5e-8)


def test_best_line(dataset: xr.Dataset) -> None:
    """On N even points the sum of k sin(k h) is -(N / 2) cot(h / 2), which fixes the slope."""
    step = 2 * math.pi / (N - 1)
    x_variance = step**2 * (N**2 - 1) / 12
    for target, periods in (("sine_one_period", 1), ("sine_two_periods", 2)):
        # sum over k = 0 ... N - 1 of k sin(k a) with (N - 1) a a multiple of 2 pi
        a = periods * step
        covariance = step * (-(N - 1) / 2 / math.tan(a / 2)) / N
        expected = 199 / 400 - covariance**2 / x_variance
        assert dataset["best_line_mse"].sel(target=target).item() == pytest.approx(
            expected, rel=1e-12
        )
    assert dataset["best_line_mse"].sel(target="sine_one_period").item() == pytest.approx(
        0.1996, abs=5e-5
    )
    assert dataset["best_line_mse"].sel(target="sine_two_periods").item() == pytest.approx(
        0.42307, abs=5e-6
    )


def test_best_line_through_the_noise_is_the_published_linear_loss(dataset: xr.Dataset) -> None:
    """Variance times 1 - r^2, the identity of least squares, is 0.2130014."""
    y = noisy_targets()
    r = np.corrcoef(np.arange(N), y)[0, 1]
    found = dataset["best_line_mse"].sel(target="noisy_sine").item()
    assert found == pytest.approx(float(np.var(y) * (1 - r * r)), rel=1e-12)
    assert found == pytest.approx(0.2130014, abs=5e-8)


def test_best_output_between_zero_and_one(dataset: xr.Dataset) -> None:
    """What a sigmoid output cannot reach is below 0 and above 1, point by point."""
    floor = dataset["best_unit_interval_mse"]
    # A clean sine misses by its negative half alone: half of its mean square.
    assert floor.sel(target="sine_one_period").item() == pytest.approx(199 / 800, rel=1e-12)
    missed = [max(-y, y - 1, 0.0) ** 2 for y in noisy_targets()]
    assert floor.sel(target="noisy_sine").item() == pytest.approx(sum(missed) / N, rel=1e-12)


def test_the_two_loss_tables(dataset: xr.Dataset) -> None:
    """The report's losses over the card's, as printed."""
    ratio = dataset["report_over_card"]
    assert ratio.sel(activation="linear").item() == pytest.approx(0.4231 / 0.213001385)
    assert ratio.sel(activation="sigmoid").item() == pytest.approx(0.4975 / 0.518152952)
    assert ratio.sel(activation="relu").item() == 0
    assert ratio.sel(activation="leaky_relu").item() == pytest.approx(0.0001 / 0.008040654)
    assert ratio.sel(activation="gelu").item() == pytest.approx(0.0002 / 0.008317092)
