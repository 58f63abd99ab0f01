"""The derivative of every activation is that of its formula, in NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from scipy.special import erf

from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.experiments import activation_derivatives

Array = npt.NDArray[np.float64]


def sigmoid(z: Array) -> Array:
    """The logistic function, from tanh so that nothing overflows."""
    return 0.5 * (1 + np.tanh(z / 2))


def gelu_derivative(z: Array) -> Array:
    """Phi(z) + z phi(z)."""
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return np.asarray(0.5 * (1 + erf(z / math.sqrt(2))) + z * density)


CLOSED_FORMS: Mapping[str, Callable[[Array], Array]] = {
    "linear": np.ones_like,
    "sigmoid": lambda z: 0.25 / np.square(np.cosh(z / 2)),
    "tanh": lambda z: 1 / np.square(np.cosh(z)),
    # at the kink torch takes the left derivative
    "relu": lambda z: (z > 0).astype(np.float64),
    "leaky_relu": lambda z: np.where(z > 0, 1.0, 0.01),
    "elu": lambda z: np.exp(np.minimum(z, 0.0)),
    "gelu": gelu_derivative,
    "swish": lambda z: sigmoid(z) * (1 + z * sigmoid(-z)),
}


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """The experiment on its own grid."""
    return activation_derivatives.run(activation_derivatives.Config())


@pytest.mark.parametrize("key", list(ACTIVATIONS))
def test_derivative_is_the_formulas(key: str, dataset: xr.Dataset) -> None:
    """On all 40,001 points, zero among them, within float64's rounding."""
    z = dataset["z"].to_numpy()
    assert (len(z), z[0], z[-1]) == (40_001, -20, 20)
    assert 0.0 in z
    found = dataset["derivative"].sel(activation=key).to_numpy()
    np.testing.assert_allclose(found, CLOSED_FORMS[key](z), rtol=1e-12, atol=2e-15)


@pytest.mark.parametrize("key", list(ACTIVATIONS))
def test_extremes_lie_within_the_bounds_that_the_registry_states(
    key: str, dataset: xr.Dataset
) -> None:
    """The grid reaches the registered bounds to 1e-6 and never leaves them."""
    found = dataset["derivative"].sel(activation=key)
    low, high = ACTIVATIONS[key].derivative_bounds
    assert found.min().item() == pytest.approx(low, abs=1e-6)
    assert found.max().item() == pytest.approx(high, abs=1e-6)
    assert found.min().item() >= low - 1e-12
    assert found.max().item() <= high + 1e-12


def test_gelu_leaves_the_unit_interval_at_the_square_root_of_two(dataset: xr.Dataset) -> None:
    """Its derivative runs from -0.1289 to 1.1289, where phi(z) (2 - z^2) is zero."""
    found = dataset["derivative"].sel(activation="gelu").to_numpy()
    z = dataset["z"].to_numpy()
    assert z[found.argmax()] == pytest.approx(math.sqrt(2), abs=1e-3)
    assert z[found.argmin()] == pytest.approx(-math.sqrt(2), abs=1e-3)
    assert found.max() == pytest.approx(1.128904, abs=5e-7)
    assert found.min() == pytest.approx(-0.128904, abs=5e-7)
