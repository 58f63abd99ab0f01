"""The eight activations: their functions, derivatives and stated bounds, over every float."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.store.errors import ActbenchError
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER, get

KEYS = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "swish")
FIXED = settings(derandomize=True, deadline=None, max_examples=30, database=None)

# Value and derivative at zero, at -infinity and at +infinity (limits), by hand.
_AT_ZERO = {
    "linear": (0, 1),
    "sigmoid": (0.5, 0.25),
    "tanh": (0, 1),
    "relu": (0, 0),
    "leaky_relu": (0, 0.01),
    "elu": (0, 1),
    "gelu": (0, 0.5),
    "swish": (0, 0.5),
}
_LIMITS = {
    "linear": ((-math.inf, 1), (math.inf, 1)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "relu": ((0, 0), (math.inf, 1)),
    "leaky_relu": ((-math.inf, 0.01), (math.inf, 1)),
    "elu": ((-1, 0), (math.inf, 1)),
    "gelu": ((0, 0), (math.inf, 1)),
    "swish": ((0, 0), (math.inf, 1)),
}


def value_and_derivative(key: str, z: torch.Tensor) -> tuple[oracle.Array, oracle.Array]:
    """Ask autograd for an activation's value and derivative."""
    leaf = z.clone().requires_grad_()
    value = get(key).module()(leaf) * 1  # the identity hands back the leaf itself
    (slope,) = torch.autograd.grad(value, leaf, torch.ones_like(value))
    return value.detach().double().numpy(), slope.double().numpy()


def test_the_registry_holds_the_study_s_eight_in_order() -> None:
    """The keys are the study's five and the extension's three, in the shared order."""
    assert tuple(ACTIVATIONS) == KEYS
    assert [ACTIVATIONS[key].key for key in KEYS] == list(KEYS)
    names = ["Linear", "Sigmoid", "Tanh", "ReLU", "Leaky ReLU", "ELU", "GELU", "Swish"]
    assert [get(key).name for key in KEYS] == names
    assert all(get(key).formula and get(key).paper for key in KEYS)


def test_the_registry_cannot_be_changed() -> None:
    """Neither the registry nor an activation's arguments can be written to."""
    with pytest.raises(TypeError, match="item assignment"):
        ACTIVATIONS["relu"] = get("tanh")  # type: ignore[index]
    with pytest.raises(TypeError, match="item assignment"):
        get("leaky_relu").arguments["negative_slope"] = 0.3  # type: ignore[index]


def test_each_module_is_a_new_one() -> None:
    """Two networks never share an activation module."""
    assert get("relu").module() is not get("relu").module()


def test_an_unknown_activation_names_the_nearest() -> None:
    """A misspelled activation is answered with all that are known and the nearest."""
    with pytest.raises(ActbenchError) as caught:
        get("leakyrelu")
    assert str(caught.value) == (
        f"unknown activation 'leakyrelu'; known: {', '.join([*ACTIVATIONS, *FURTHER])}. "
        "Did you mean 'leaky_relu'?"
    )


@pytest.mark.parametrize("key", KEYS)
def test_values_and_derivatives_match_the_formulas(key: str) -> None:
    """Torch's function and derivative are the papers' to twelve digits, in float64."""
    z = np.concatenate([np.linspace(-30, 30, 1201), np.geomspace(1e-12, 1, 25)])
    value, slope = value_and_derivative(key, torch.from_numpy(z))
    smooth = z != 0  # at zero itself a kink has a convention, tested apart
    np.testing.assert_allclose(value, oracle.FUNCTIONS[key](z), rtol=1e-12, atol=5e-15)
    expected = oracle.DERIVATIVES[key](z)
    np.testing.assert_allclose(slope[smooth], expected[smooth], rtol=1e-12, atol=5e-15)


@pytest.mark.parametrize("key", [*ACTIVATIONS, *FURTHER])
def test_derivative_bounds_are_reached(key: str) -> None:
    """The stated bounds are the tight ones: a fine grid comes within 1e-6 of both."""
    _, slope = value_and_derivative(key, torch.linspace(-40, 40, 80001, dtype=torch.float64))
    low, high = get(key).derivative_bounds
    assert slope.min() == pytest.approx(low, abs=1e-6)
    assert slope.max() == pytest.approx(high, abs=1e-6)


@FIXED
@given(z=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("key", KEYS)
def test_no_finite_float_leaves_the_bounds(key: str, dtype: torch.dtype, z: list[float]) -> None:
    """At every finite float the derivative is within its bounds and the value is the formula's."""
    points = torch.tensor(z, dtype=dtype)
    value, slope = value_and_derivative(key, points)
    low, high = get(key).derivative_bounds
    rounding = 4 * torch.finfo(dtype).eps
    assert np.all(slope >= low - rounding)
    assert np.all(slope <= high + rounding)
    exact = points.double().numpy()
    with np.errstate(over="ignore", under="ignore"):
        expected = oracle.FUNCTIONS[key](exact)
    assert np.all(np.abs(value - expected) <= rounding * np.maximum(1, np.abs(exact)))


@pytest.mark.parametrize("count", [1, 40], ids=["scalar code", "vector code"])
@pytest.mark.parametrize("key", KEYS)
def test_zero_of_either_sign(key: str, count: int) -> None:
    """At +0 and -0 value and derivative are the same, a kink taking its left-hand slope."""
    for zero in (0.0, -0.0):
        value, slope = value_and_derivative(key, torch.full((count,), zero, dtype=torch.float64))
        assert (value == _AT_ZERO[key][0]).all()
        assert (slope == _AT_ZERO[key][1]).all()


@pytest.mark.parametrize("count", [1, 40], ids=["scalar code", "vector code"])
@pytest.mark.parametrize("key", KEYS)
def test_infinity(key: str, count: int) -> None:
    """At an infinity both are the limits; GELU and Swish may say NaN, for 0 x infinity."""
    for end, limits in zip((-math.inf, math.inf), _LIMITS[key], strict=True):
        pair = value_and_derivative(key, torch.full((count,), end, dtype=torch.float64))
        for found, limit in zip(pair, limits, strict=True):
            excused = np.isnan(found) if key in ("gelu", "swish") else np.zeros(count, bool)
            assert np.all((found == limit) | excused)


@pytest.mark.parametrize("count", [1, 40], ids=["scalar code", "vector code"])
@pytest.mark.parametrize("key", KEYS)
def test_nan(key: str, count: int) -> None:
    """A NaN stays one, so no fault is hidden; only a kinked slope may come back as a number."""
    value, slope = value_and_derivative(key, torch.full((count,), math.nan))
    assert np.isnan(value).all()
    if key in ("sigmoid", "tanh", "gelu", "swish"):
        assert np.isnan(slope).all()
    else:
        low, high = get(key).derivative_bounds
        assert np.all(np.isnan(slope) | ((slope >= low - 1e-8) & (slope <= high)))


def test_leaky_relu_has_the_study_s_slope() -> None:
    """The study states slope 0.01, so half of a unit's negative side is one percent of it."""
    value, _ = value_and_derivative("leaky_relu", torch.tensor([-100.0], dtype=torch.float64))
    assert value[0] == -1
