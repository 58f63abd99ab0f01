"""The map of mean and variance: closed forms, derivatives, and the numbers of the paper."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from actbench.study import theory
from actbench.study.experiments.moment_map import Config, run
from actbench.study.theory.formulas import SELU_ALPHA, SELU_SCALE

AT_THE_FIXED_POINT: dict[str, Any] = {
    "means": (0, 0),
    "variances": (1, 1),
    "weight_sums": (0, 0),
    "weight_squares": (1, 1),
}
PLACES = [
    (0.0, 1.0, 0.0, 1.0),
    (0.1, 0.8, 0.1, 0.95),
    (-1.0, 16.0, 0.1, 1.25),
    (0.1, 0.02, -0.1, 0.8),
]


@pytest.mark.parametrize("place", PLACES)
def test_the_closed_form_is_the_integral(place: tuple[float, float, float, float]) -> None:
    """Equations 4 and 5 against an adaptive integration of SELU itself."""
    mean, variance, weight_sum, weight_square = place
    center, width = mean * weight_sum, math.sqrt(variance * weight_square)

    def integrate(power: int) -> float:
        def integrand(z: float) -> float:
            value = SELU_SCALE * (z if z > 0 else SELU_ALPHA * math.expm1(z))
            density = math.exp(-0.5 * ((z - center) / width) ** 2) / (
                width * math.sqrt(2 * math.pi)
            )
            return value**power * density

        ends = (center - 12 * width, 0, center + 12 * width)
        return sum(quad(integrand, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(ends))

    first, second = integrate(1), integrate(2)
    found = theory.selu_moments(mean, variance, weight_sum, weight_square)
    assert found == pytest.approx((first, second - first**2), abs=1e-10)


def test_alpha_and_lambda_are_the_papers() -> None:
    """Equation 14, to the digits that torch carries."""
    assert pytest.approx(1.6732632423543772, rel=1e-14) == SELU_ALPHA
    assert pytest.approx(1.0507009873554805, rel=1e-14) == SELU_SCALE


def test_torchs_selu_follows_the_closed_form() -> None:
    """On every point of theorem 2's box, and once more after a second layer."""
    config = Config(
        means=(-1, 1), variances=(3, 16), weight_squares=(0.8, 1.25), points=3, layers=2
    )
    dataset = run(config).squeeze("activation")
    axes = np.meshgrid(*(dataset[d] for d in dataset["next_mean"].dims), indexing="ij")
    mean, variance, weight_sum, weight_square = axes
    for _ in range(2):
        mean, variance = theory.selu_moments(mean, variance, weight_sum, weight_square)
    np.testing.assert_allclose(dataset["next_mean"], mean, atol=1e-10)
    np.testing.assert_allclose(dataset["next_variance"], variance, rtol=1e-10)


def test_the_derivative_is_that_of_the_map() -> None:
    """The norm against differences of the closed form, also where no entry vanishes."""
    step = 1e-5
    for mean, variance, weight_sum, weight_square in PLACES:
        weights = (weight_sum, weight_square)
        columns = [
            np.subtract(
                theory.selu_moments(mean + a, variance + b, *weights),
                theory.selu_moments(mean - a, variance - b, *weights),
            )
            / (2 * step)
            for a, b in ((step, 0), (0, step))
        ]
        config = Config(
            means=(mean, mean), variances=(variance, variance),
            weight_sums=(weight_sum,) * 2, weight_squares=(weight_square,) * 2,
        )  # fmt: skip
        expected = np.linalg.svd(np.stack(columns, 1), compute_uv=False)[0]
        assert run(config)["jacobian_norm"].item() == pytest.approx(expected, rel=1e-6)


def test_the_papers_derivative_at_the_fixed_point() -> None:
    """Equation 6 prints 0.088834 and 0.782648, and 0.7877 for the norm."""
    dataset = run(Config(**AT_THE_FIXED_POINT))
    norm = dataset["jacobian_norm"].item()
    assert norm == pytest.approx(math.hypot(0.088834, 0.782648), abs=1e-6)
    assert f"{norm:.4f}" == "0.7877"


def test_a_linear_unit_keeps_what_enters_it() -> None:
    """Mean times the sum of the weights, variance times the sum of their squares."""
    config = Config(
        activations=("linear",), means=(0.2, 0.2), variances=(2, 2), weight_sums=(0.5, 0.5)
    )
    dataset = run(config).squeeze()
    np.testing.assert_allclose(dataset["next_mean"], 0.1, rtol=1e-12)
    np.testing.assert_allclose(dataset["next_variance"], 2 * dataset["weight_square"], rtol=1e-10)


def test_progress() -> None:
    """One step per activation and layer."""
    steps: list[int] = []
    config = Config(**AT_THE_FIXED_POINT, activations=("selu", "tanh"), layers=3)
    run(config, steps.append)
    assert sum(steps) == config.steps == 6
