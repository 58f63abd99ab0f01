"""The study's eight activations and SELU, as data: name, torch module, formula, bounds, paper.

Nothing here loads torch until a module is built, so that figures, claims and theory can read
the same registry without it. A user's own activation joins by ``register``, for this process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from actbench.store.errors import ActbenchError, unknown_name

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

# d/dx GELU = Phi(x) + x phi(x); its derivative phi(x)(2 - x^2) vanishes at x = +-sqrt(2).
_GELU_MAX = 0.5 * (1 + math.erf(1.0)) + math.sqrt(2) * math.exp(-1) / math.sqrt(2 * math.pi)
# d/dx SiLU = s + x s (1 - s) with s = sigmoid(x); stationary where x tanh(x / 2) = 2.
_SWISH_STATIONARY_X = 2.399357280520468
_SWISH_SIGMOID = 1 / (1 + math.exp(-_SWISH_STATIONARY_X))
_SWISH_MAX = _SWISH_SIGMOID + _SWISH_STATIONARY_X * _SWISH_SIGMOID * (1 - _SWISH_SIGMOID)


@dataclass(frozen=True)
class Activation:
    """An activation function as data.

    Args:
        key: Name in code, files and flags, such as ``"leaky_relu"``.
        name: Name in print, such as ``"Leaky ReLU"``.
        formula: The function in plain text.
        derivative_bounds: Smallest and largest value that the derivative takes or approaches.
        paper: Where the function was introduced or popularized.
        module_name: Class in ``torch.nn`` that computes it.
        arguments: Arguments of that class.
        factory: Builds the module of an activation of one's own, instead of that class.
        source: Digest of the code of an activation of one's own; empty for the eight.
    """

    key: str
    name: str
    formula: str
    derivative_bounds: tuple[float, float]
    paper: str
    module_name: str
    arguments: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    factory: Callable[[], nn.Module] | None = field(default=None, kw_only=True)
    source: str = field(default="", kw_only=True)

    def module(self) -> nn.Module:
        """Build torch's module of this activation.

        Returns:
            A new ``torch.nn`` module, which maps a tensor of any shape to one of the same shape.
        """
        if self.factory is not None:
            return self.factory()
        factory = getattr(import_module("torch.nn"), self.module_name)
        built: nn.Module = factory(**self.arguments)
        return built


_ALL = (
    Activation("linear", "Linear", "x", (1.0, 1.0), "none", "Identity"),
    Activation(
        "sigmoid", "Sigmoid", "1 / (1 + exp(-x))", (0.0, 0.25), "Rumelhart et al. 1986", "Sigmoid"
    ),
    Activation("tanh", "Tanh", "tanh(x)", (0.0, 1.0), "LeCun et al. 1998", "Tanh"),
    Activation("relu", "ReLU", "max(0, x)", (0.0, 1.0), "Nair and Hinton 2010", "ReLU"),
    Activation(
        "leaky_relu",
        "Leaky ReLU",
        "max(0.01 x, x)",
        (0.01, 1.0),
        "Maas et al. 2013",
        "LeakyReLU",
        MappingProxyType({"negative_slope": 0.01}),
    ),
    Activation(
        "elu", "ELU", "x if x > 0 else exp(x) - 1", (0.0, 1.0), "Clevert et al. 2016", "ELU"
    ),
    Activation(
        "gelu",
        "GELU",
        "x Phi(x), Phi the normal CDF",
        (1 - _GELU_MAX, _GELU_MAX),
        "Hendrycks and Gimpel 2016",
        "GELU",
    ),
    Activation(
        "swish",
        "Swish",
        "x / (1 + exp(-x))",
        (1 - _SWISH_MAX, _SWISH_MAX),
        "Ramachandran et al. 2017",
        "SiLU",
    ),
)

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({a.key: a for a in _ALL})
"""The registry: activation key to activation, in the study's order."""

# Klambauer et al. 2017, eq. 14; torch computes with these digits.
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

FURTHER: Mapping[str, Activation] = MappingProxyType(
    {
        "selu": Activation(
            "selu",
            "SELU",
            f"{_SELU_SCALE:.5g} elu(x), alpha {_SELU_ALPHA:.5g}",
            (0.0, _SELU_SCALE * _SELU_ALPHA),
            "Klambauer et al. 2017",
            "SELU",
        )
    }
)
"""What other studies need: known by name everywhere, but none of the study's eight."""


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of a module that training moves, by name.

    Args:
        module: Of an activation; frozen ones, with ``requires_grad=False``, stay where they are.

    Returns:
        Name to parameter.
    """
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


OWN: dict[str, Activation] = {}
"""Activations of one's own that this process has loaded: specification to activation."""


def register(activation: Activation) -> None:
    """Let an activation of one's own be found by its key, until this process ends.

    Args:
        activation: Its key must not be a built-in one.

    Raises:
        ActbenchError: The key is a built-in one.
    """
    if activation.key in {*ACTIVATIONS, *FURTHER}:
        raise ActbenchError(f"{activation.key!r} is a built-in activation; choose another key")
    OWN[activation.key] = activation


def get(key: str) -> Activation:
    """Look up an activation by its key.

    Code is never loaded here, so that a key read from a data file runs nothing.

    Args:
        key: One of the keys of ``ACTIVATIONS`` or ``FURTHER``, or of one that was registered.

    Returns:
        The activation.

    Raises:
        ActbenchError: The key is not known; the text lists the known and the nearest.
    """
    known = {**ACTIVATIONS, **FURTHER, **OWN}
    if key not in known:
        raise unknown_name("activation", key, known)
    return known[key]


def catalogued(dataset: xr.Dataset) -> list[str]:
    """Return the activations of a dataset that are the study's, and no code of one's own."""
    return [str(a) for a in dataset["activation"].to_numpy() if str(a) in ACTIVATIONS]
