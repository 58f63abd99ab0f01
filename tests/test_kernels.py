"""The stack's in-place kernels say what torch's modules and autograd say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.nets.kernels import kernel_of

FIXED = settings(derandomize=True, deadline=None, max_examples=30, database=None)


class _Cube(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z**3


class _TwiceReLU(nn.ReLU):
    def forward(self, z: Tensor) -> Tensor:
        return 2 * super().forward(z)


UNUSUAL: dict[str, nn.Module] = {
    "leaky slope 0": nn.LeakyReLU(0.0),
    "leaky slope -0.5": nn.LeakyReLU(-0.5),
    "leaky slope 0.3": nn.LeakyReLU(0.3),
    "leaky slope 1.5": nn.LeakyReLU(1.5),
    "elu alpha 0": nn.ELU(0.0),
    "elu alpha -0.5": nn.ELU(-0.5),
    "elu alpha 2": nn.ELU(2.0),
    "celu": nn.CELU(0.5),
    "gelu tanh": nn.GELU(approximate="tanh"),
    "softplus": nn.Softplus(),
    "in-place relu": nn.ReLU(inplace=True),
    "in-place fallback": nn.ReLU6(inplace=True),
    "subclass of relu": _TwiceReLU(),
    "python only": _Cube(),
}


def by_module(module: nn.Module, z: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Ask autograd."""
    leaf = z.clone().requires_grad_()
    value = module(leaf * 1)
    (product,) = torch.autograd.grad(value, leaf, grad)
    return value.detach(), product


def by_kernel(module: nn.Module, z: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Ask the kernel, as the stack does: without a graph, in buffers."""
    kernel = kernel_of(module)
    pre, error = z.clone(), grad.clone()
    post = pre if kernel.in_place else torch.full_like(pre, 7.0)
    with torch.no_grad():
        kernel.forward(pre, post)
        value = post.clone()
        kernel.backward(error, pre, post)
        again = grad.clone()
        kernel.backward(again, pre, post)
    assert _same_bits(again, error)  # as a recorder may ask again
    assert torch.equal(post.nan_to_num(), value.nan_to_num())  # the derivative leaves it alone
    return value, error


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return np.array_equal(one.numpy(), other.numpy(), equal_nan=True)


@FIXED
@given(
    z=st.lists(st.floats(width=32), min_size=1, max_size=70),
    scale=st.floats(-1e3, 1e3, allow_subnormal=False),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_kernels_equal_autograd(key: str, dtype: torch.dtype, z: list[float], scale: float) -> None:
    """On every float, NaN and infinities too, kernel and autograd agree bit for bit.

    ELU alone takes its derivative from the result, as torch's in-place ELU does: exp(z) becomes
    (exp(z) - 1) + 1, right to one rounding of 1; and torch's own scalar and vector code differ
    in its derivative at NaN.
    """
    points = torch.tensor(z, dtype=dtype)
    grad = torch.full_like(points, scale)
    module = ACTIVATIONS[key].module()
    value, product = by_module(module, points, grad)
    kernel_value, kernel_product = by_kernel(module, points, grad)
    assert _same_bits(value, kernel_value)
    if key == "elu":
        number = ~points.isnan()
        apart = (product - kernel_product)[number].abs()
        assert (apart <= 2 * torch.finfo(dtype).eps * abs(scale)).all()
    else:
        assert _same_bits(product, kernel_product)


@pytest.mark.parametrize("name", UNUSUAL)
def test_any_module_will_do(name: str) -> None:
    """Other slopes, other modules, in-place ones and plain Python give autograd's numbers."""
    z = torch.tensor([-3.0, -1.0, -0.25, -0.0, 0.0, 0.5, 2.0, 30.0] * 5, dtype=torch.float64)
    grad = torch.linspace(-2, 3, len(z), dtype=torch.float64)
    value, product = by_module(UNUSUAL[name], z, grad)
    kernel_value, kernel_product = by_kernel(UNUSUAL[name], z, grad)
    assert _same_bits(value, kernel_value)
    torch.testing.assert_close(product, kernel_product, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_kernels_need_no_autograd(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eight activations run on torch's kernels alone, and Softplus asks autograd."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("autograd was asked")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    z, grad = torch.linspace(-1, 1, 9), torch.ones(9)
    by_kernel(ACTIVATIONS[key].module(), z, grad)
    with pytest.raises(AssertionError, match="autograd was asked"):
        by_kernel(nn.Softplus(), z, grad)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_buffer_is_saved_where_the_output_tells_the_derivative(key: str) -> None:
    """GELU and Swish alone are not monotone: their input must be kept apart from their output."""
    kernel = kernel_of(ACTIVATIONS[key].module())
    z = torch.linspace(-3, 3, 33)
    kept, a = z.clone(), torch.empty_like(z)
    assert kernel.in_place is (key not in ("gelu", "swish"))
    if not kernel.in_place:
        kernel.forward(z, a)
        assert torch.equal(z, kept)


def test_the_fallback_leaves_the_input_and_a_nan_alone() -> None:
    """A module that overwrites its argument overwrites neither z nor hides a NaN."""
    kernel = kernel_of(nn.ReLU6(inplace=True))
    assert not kernel.in_place
    z = torch.tensor([-1.0, math.nan, 9.0])
    a, kept = torch.empty_like(z), z.clone()
    kernel.forward(z, a)
    assert _same_bits(z, kept)
    assert a.isnan().tolist() == [False, True, False]


def test_a_kept_graph_is_not_used_for_other_inputs() -> None:
    """Where pre-activations changed after the forward pass, the derivative is that at the new."""
    kernel = kernel_of(nn.Softplus())
    z, grad = torch.linspace(-2, 2, 5), torch.ones(5)
    kernel.forward(z, torch.empty(5))
    z.add_(1)
    kernel.backward(grad, z, torch.empty(5))
    expected = torch.sigmoid(torch.linspace(-1, 3, 5))
    torch.testing.assert_close(grad, expected)
    without_forward = torch.ones(5)
    kernel_of(nn.Softplus()).backward(without_forward, torch.linspace(-1, 3, 5), torch.empty(5))
    torch.testing.assert_close(without_forward, expected)
