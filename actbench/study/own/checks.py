"""What an activation must do to be measured here, one property at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from actbench.store.errors import ActbenchError
from actbench.study.catalog.activations import trained
from actbench.study.own.loading import RAISED, in_one_line, listening

_REACH = 20.0
_POINTS = 4001
_SHAPE = (7, 5)
_ROUNDING = 1e-9
_INPUT = "its input"


@dataclass(frozen=True)
class Candidate:
    """An activation that nobody has checked yet."""

    key: str
    build: Callable[[], nn.Module]  # its module, anew

    def __call__(self, module: nn.Module, z: Tensor) -> Tensor:
        """Evaluate a module of it."""
        try:
            with listening() as printed:
                # A copy, so that one that works in place does no harm.
                value = module(z.clone())
        except RAISED as error:
            raise ActbenchError(
                f"{self.key} raises {in_one_line(error)} on inputs of shape {tuple(z.shape)} and "
                f"{_name(z.dtype)}; it must work elementwise on a tensor of any shape"
            ) from error
        if printed.getvalue():
            raise ActbenchError(
                f"{self.key} prints {printed.getvalue().strip()[:40]!r} when it is called, which "
                "it is many thousand times; remove the print"
            )
        if not isinstance(value, Tensor):
            raise ActbenchError(
                f"{self.key} returns {type(value).__name__}, but must return a tensor; compute "
                "with torch functions only"
            )
        return value

    def grid(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return inputs that reach from -20 to 20, zero among them, shape ``(7, 5)``."""
        count = _SHAPE[0] * _SHAPE[1]
        return torch.linspace(-_REACH, _REACH, count, dtype=dtype).reshape(_SHAPE)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def runs(candidate: Candidate) -> None:
    """It is built and called without an exception, prints nothing, and returns a tensor."""
    for dtype in (torch.float32, torch.float64):
        module = candidate.build()
        if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
            raise ActbenchError(
                f"{candidate.key} has parameters without a size; an activation is elementwise: "
                "give them one when it is made"
            )
        candidate(module.to(dtype), candidate.grid(dtype))


def keeps_the_shape(candidate: Candidate) -> None:
    """It returns as many numbers as it was given, of the same type."""
    for dtype in (torch.float32, torch.float64):
        z = candidate.grid(dtype)
        value = candidate(candidate.build().to(dtype), z)
        if value.shape != z.shape:
            raise ActbenchError(
                f"{candidate.key} returns shape {tuple(value.shape)} for inputs of shape "
                f"{_SHAPE}, but an activation keeps the shape; return one number per input"
            )
        if value.dtype != dtype:
            raise ActbenchError(
                f"{candidate.key} returns {_name(value.dtype)} for inputs of {_name(dtype)}, but "
                "must keep the type; make its constants with dtype=x.dtype"
            )


def is_finite(candidate: Candidate) -> None:
    """Value and derivative are finite from -20 to 20."""
    for dtype in (torch.float32, torch.float64):
        z = torch.linspace(-_REACH, _REACH, _POINTS, dtype=dtype)
        _require_finite(candidate, candidate(candidate.build().to(dtype), z), z, "returns")


def _require_finite(candidate: Candidate, found: Tensor, z: Tensor, verb: str) -> None:
    bad = ~torch.isfinite(found)
    if bad.any():
        first = int(bad.flatten().nonzero()[0])
        raise ActbenchError(
            f"{candidate.key} {verb} {found.flatten()[first].item()} at "
            f"{z.flatten()[first].item():.4g} in {_name(z.dtype)}, but must be finite from -20 to "
            "20; mind 0/0, logarithms and exponentials there, also in a branch that torch.where "
            "does not take"
        )


def is_deterministic(candidate: Candidate) -> None:
    """The same inputs give the same outputs, and parameters start at the same values."""
    z = candidate.grid()
    module, again = candidate.build().double(), candidate.build().double()
    starts = zip(module.parameters(), again.parameters(), strict=True)
    if any(not torch.equal(one, other) for one, other in starts):
        raise ActbenchError(
            f"{candidate.key} starts with other parameters each time it is built; start them at "
            "fixed values"
        )
    first = candidate(module, z)
    for other in (candidate(module, z), candidate(module, z), candidate(again, z)):
        if not torch.allclose(first, other, rtol=0, atol=0, equal_nan=True):
            raise ActbenchError(
                f"{candidate.key} is not deterministic: two calls on the same inputs differ by "
                f"{(first - other).abs().max().item():.3g}; draw no random numbers and keep no "
                "state between calls"
            )


def is_elementwise(candidate: Candidate) -> None:
    """What it returns for one number depends on no other."""
    module, z = candidate.build().double(), candidate.grid().flatten()
    whole = candidate(module, z.reshape(_SHAPE)).flatten()
    for part in (slice(0, None, 2), slice(1, None, 2), slice(3, 4)):
        alone = candidate(module, z[part])
        if alone.shape != z[part].shape or not torch.allclose(
            alone, whole[part], rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True
        ):
            raise ActbenchError(
                f"{candidate.key} is not elementwise: what it returns for a number depends on the "
                "others in the tensor or on its place; use no sums, maxima or layer sizes"
            )


def has_a_gradient(candidate: Candidate) -> None:
    """Autograd gives a derivative by the input, and by every parameter it trains, that is finite.

    A parameter may begin where its derivative is zero, as behind a gate that begins closed.
    """
    for dtype in (torch.float32, torch.float64):
        module = candidate.build().to(dtype)
        z = torch.linspace(-_REACH, _REACH, _POINTS, dtype=dtype)
        found = _gradients(candidate, module, z)
        if not all(map(_reaches, found.values())):
            moved = _gradients(candidate, _moved(module), z)
            for name, gradient in found.items():
                if not _reaches(gradient) and (name == _INPUT or not _reaches(moved[name])):
                    raise _without_effect(candidate, name, closed=_reaches(moved[name]))
        for name, gradient in found.items():
            if gradient is not None and name == _INPUT:
                _require_finite(candidate, gradient, z, "has a gradient of")
            elif gradient is not None and not torch.isfinite(gradient).all():
                raise ActbenchError(
                    f"{candidate.key} has a gradient by its parameter {name} that is not finite "
                    f"where it starts, in {_name(dtype)}; start it elsewhere, or mind square roots"
                )


def _gradients(candidate: Candidate, module: nn.Module, z: Tensor) -> dict[str, Tensor | None]:
    """Derivatives of the sum of all outputs, by the input and by each parameter it trains."""
    leaf, parameters = z.clone().requires_grad_(), trained(module)
    value = candidate(module, leaf)
    try:
        found = torch.autograd.grad(value.sum(), [leaf, *parameters.values()], allow_unused=True)
    except RuntimeError as error:
        raise ActbenchError(f"{candidate.key} has no gradient: {_why(error)}") from error
    return dict(zip([_INPUT, *parameters], found, strict=True))


def _moved(module: nn.Module) -> nn.Module:
    """The module with its parameters somewhere else, each by another amount."""
    with torch.no_grad():
        for number, parameter in enumerate(trained(module).values(), 1):
            parameter.add_(number / 8)
    return module


def _without_effect(candidate: Candidate, name: str, *, closed: bool) -> ActbenchError:
    if name != _INPUT:
        return ActbenchError(
            f"{candidate.key} has no gradient by its parameter {name}, wherever it starts: what it "
            "returns does not depend on it as autograd sees it; use it, remove it, or freeze it "
            "with requires_grad=False"
        )
    if closed:
        return ActbenchError(
            f"{candidate.key} has no gradient by its input where its parameters start, so no "
            "network of several layers could learn; start them elsewhere"
        )
    return ActbenchError(
        f"{candidate.key} has no gradient by its input: autograd says 0 at all of "
        f"{_POINTS:,} points from -{_REACH:g} to {_REACH:g}, so nothing could be learned; use "
        "differentiable torch functions, no rounding, .detach(), .item() or float()"
    )


def _reaches(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _why(error: RuntimeError) -> str:
    if "does not require grad" in str(error):
        return (
            "its output does not depend on its input as autograd sees it; use differentiable "
            "torch functions, and no NumPy, .detach(), .item() or torch.no_grad()"
        )
    return f"{in_one_line(error)}; use differentiable torch functions"


CHECKS: Mapping[str, Callable[[Candidate], None]] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            *(runs, keeps_the_shape, is_finite, is_deterministic, is_elementwise),
            has_a_gradient,
        )
    }
)
"""Name to check, in the order in which to make them; each raises ``ActbenchError``."""
