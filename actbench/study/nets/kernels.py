"""In-place forms of torch's own activation kernels, for use without an autograd graph.

Every number comes from torch: ``aten::*`` computes the function and ``aten::*_backward`` its
derivative, the same kernels that autograd calls, so that a fault in a torch release shows here.
An activation without an entry falls back to autograd, and one with parameters of its own has them
per member and layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


@dataclass(frozen=True)
class Kernel:
    """How one activation runs in place.

    Args:
        forward: ``forward(z, a)`` writes the activation of ``z`` into ``a``.
        backward: ``backward(grad, z, a)`` multiplies ``grad`` in place by the derivative at ``z``.
        in_place: Whether ``a`` is the same memory as ``z``, because the derivative needs only
            the activation.
    """

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor, Tensor], object]
    in_place: bool


def _identity(module: nn.Module) -> Kernel:  # noqa: ARG001 - one signature for all
    return Kernel(lambda z, a: None, lambda grad, z, a: None, in_place=True)


def _sigmoid(module: nn.Module) -> Kernel:  # noqa: ARG001 - one signature for all
    return Kernel(
        lambda z, a: torch.sigmoid_(z),
        lambda grad, z, a: _aten.sigmoid_backward.grad_input(grad, a, grad_input=grad),
        in_place=True,
    )


def _tanh(module: nn.Module) -> Kernel:  # noqa: ARG001 - one signature for all
    return Kernel(
        lambda z, a: torch.tanh_(z),
        lambda grad, z, a: _aten.tanh_backward.grad_input(grad, a, grad_input=grad),
        in_place=True,
    )


def _relu(module: nn.Module) -> Kernel:  # noqa: ARG001 - one signature for all
    return Kernel(
        lambda z, a: torch.relu_(z),
        lambda grad, z, a: _aten.threshold_backward.grad_input(grad, a, 0, grad_input=grad),
        in_place=True,
    )


def _leaky_relu(module: nn.LeakyReLU) -> Kernel:
    slope = module.negative_slope
    return Kernel(
        lambda z, a: _aten.leaky_relu_(z, slope),
        lambda grad, z, a: _aten.leaky_relu_backward.grad_input(
            grad, a, slope, True, grad_input=grad
        ),
        in_place=True,
    )


def _elu(module: nn.ELU) -> Kernel:
    alpha = module.alpha
    return Kernel(
        lambda z, a: _aten.elu_(z, alpha),
        lambda grad, z, a: _aten.elu_backward.grad_input(
            grad, alpha, 1.0, 1.0, True, a, grad_input=grad
        ),
        in_place=True,
    )


def _gelu(module: nn.GELU) -> Kernel:
    form = module.approximate
    return Kernel(
        lambda z, a: _aten.gelu.out(z, approximate=form, out=a),
        lambda grad, z, a: _aten.gelu_backward.grad_input(
            grad, z, approximate=form, grad_input=grad
        ),
        in_place=False,
    )


def _silu(module: nn.Module) -> Kernel:  # noqa: ARG001 - one signature for all
    return Kernel(
        lambda z, a: _aten.silu.out(z, out=a),
        lambda grad, z, a: _aten.silu_backward.grad_input(grad, z, grad_input=grad),
        in_place=False,
    )


class _Kept:
    """The graph of the last forward pass through each layer, as long as its input is unchanged."""

    def __init__(self) -> None:
        self._graphs: dict[int, tuple[int, list[Tensor], Tensor]] = {}

    def keep(self, z: Tensor, leaves: list[Tensor], value: Tensor) -> None:
        self._graphs[z.data_ptr()] = (z._version, leaves, value)

    def find(self, z: Tensor) -> tuple[list[Tensor], Tensor] | None:
        version, leaves, value = self._graphs.get(z.data_ptr(), (-1, [], z))
        return (leaves, value) if version == z._version else None


def _by_autograd(module: nn.Module) -> Kernel:
    kept = _Kept()

    @torch.enable_grad()
    def graph(z: Tensor) -> tuple[list[Tensor], Tensor]:
        leaf = z.detach().requires_grad_()
        # A copy, as a module made with inplace=True would overwrite z.
        return [leaf], module(leaf.clone())

    def forward(z: Tensor, a: Tensor) -> None:
        leaves, value = graph(z)
        a.copy_(value.detach())
        kept.keep(z, leaves, value)

    def backward(grad: Tensor, z: Tensor, a: Tensor) -> None:  # noqa: ARG001 - one signature
        leaves, value = kept.find(z) or graph(z)
        (derivative,) = torch.autograd.grad(value, leaves, grad, retain_graph=True)
        grad.copy_(derivative)

    return Kernel(forward, backward, in_place=False)


_BY_MODULE: dict[type[nn.Module], Callable[..., Kernel]] = {
    nn.Identity: _identity,
    nn.Sigmoid: _sigmoid,
    nn.Tanh: _tanh,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.GELU: _gelu,
    nn.SiLU: _silu,
}


def learnable_kernel(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    shape: tuple[int, int, int],
) -> Kernel:
    """Make the kernel of one layer's activation that has parameters, one set per member.

    Args:
        module: The activation; its own parameters are not used.
        parameters: By name, each with a leading ``member`` axis.
        gradients: Like ``parameters``; overwritten by each backward call.
        shape: Of the layer's pre-activations, ``(member, points, width)``.

    Returns:
        A kernel by autograd, on flat memory that may be longer than the shape.
    """
    activate = _over_members(module, parameters)

    def view(flat: Tensor) -> Tensor:
        return flat[: shape[0] * shape[1] * shape[2]].view(shape)

    kept = _Kept()

    @torch.enable_grad()
    def graph(z: Tensor) -> tuple[list[Tensor], Tensor]:
        leaf = view(z).detach().requires_grad_()
        leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        return [leaf, *leaves.values()], activate(leaves, leaf.clone())

    def forward(z: Tensor, a: Tensor) -> None:
        leaves, value = graph(z)
        view(a).copy_(value.detach())
        kept.keep(z, leaves, value)

    def backward(grad: Tensor, z: Tensor, a: Tensor) -> None:  # noqa: ARG001 - one signature
        leaves, value = kept.find(z) or graph(z)
        derivative, *others = torch.autograd.grad(
            value, leaves, view(grad), retain_graph=True, materialize_grads=True
        )
        view(grad).copy_(derivative)
        for name, other in zip(parameters, others, strict=True):
            gradients[name].copy_(other)

    return Kernel(forward, backward, in_place=False)


_Activate = Callable[[dict[str, Tensor], Tensor], Tensor]


def _over_members(module: nn.Module, parameters: Mapping[str, Tensor]) -> _Activate:
    def one(own: dict[str, Tensor], z: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(module, own, (z,))
        return value

    def one_by_one(own: dict[str, Tensor], z: Tensor) -> Tensor:
        each = ({name: p[member] for name, p in own.items()} for member in range(len(z)))
        return torch.stack([one(chosen, z[n].clone()) for n, chosen in enumerate(each)])

    together: _Activate = torch.vmap(one)
    first = next(iter(parameters.values()))
    try:
        together(dict(parameters), first.new_zeros(len(first), 1, 1))
    except Exception:
        return one_by_one
    return together


def kernel_of(module: nn.Module) -> Kernel:
    """Find the kernel of a module that keeps the shape: torch's own operators, or autograd."""
    hides_input = getattr(module, "negative_slope", 1) <= 0 or getattr(module, "alpha", 1) <= 0
    # With slope or alpha 0 the output no longer tells the input's sign: autograd keeps z.
    return (
        _by_autograd(module) if hides_input else _BY_MODULE.get(type(module), _by_autograd)(module)
    )
