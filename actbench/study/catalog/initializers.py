"""Initializers of a linear layer: what torch call draws the weights, and their variances.

In mean-field theory (Poole et al. 2016) a layer with weights of variance sigma_w^2 / fan_in and
biases of variance sigma_b^2 is described by those two numbers alone; each initializer here states
its own, so that theory and network are told the same thing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actbench.store.errors import ActbenchError, unknown_name

if TYPE_CHECKING:
    from torch import nn

KEYS = (
    "torch_default",
    "xavier_uniform",
    "xavier_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "normal(STD)",
    "mean_field(W2,B2)",
)
"""What ``get`` accepts; ``STD`` stands for a positive number, ``W2`` and ``B2`` for sigma_w^2 and
sigma_b^2 of mean-field theory, such as a critical point."""


@dataclass(frozen=True)
class Initializer:
    """How the weights and biases of every linear layer are drawn.

    Args:
        key: Name in code, files and flags, such as ``"xavier_uniform"`` or ``"normal(0.05)"``.
        weight_variance: Variance of one weight, given ``(fan_in, fan_out)``.
        bias_variance: Variance of one bias, given ``fan_in``.
        draw: Draws a layer's parameters in place; ``None`` keeps what torch's constructor drew.
        source: Digest of the code of an initializer of one's own; empty for those shipped.
    """

    key: str
    weight_variance: Callable[[int, int], float]
    bias_variance: Callable[[int], float]
    draw: Callable[[nn.Linear], None] | None
    source: str = ""

    def sigma_w2(self, fan_in: int, fan_out: int) -> float:
        """Return sigma_w^2 = fan_in x (variance of one weight) (Poole et al. 2016, eq. 1).

        Args:
            fan_in: Inputs of the layer, at least 1.
            fan_out: Units of the layer, at least 1.

        Returns:
            The dimensionless weight variance of mean-field theory.
        """
        return fan_in * self.weight_variance(fan_in, fan_out)

    def sigma_b2(self, fan_in: int) -> float:
        """Return sigma_b^2, the variance of one bias (Poole et al. 2016, eq. 1).

        Args:
            fan_in: Inputs of the layer, at least 1.

        Returns:
            The variance; 0 where biases start at zero.
        """
        return self.bias_variance(fan_in)

    def apply(self, layer: nn.Linear) -> None:
        """Draw the parameters of one freshly constructed layer, in place.

        Args:
            layer: A layer that torch's constructor has just drawn.
        """
        if self.draw is not None:
            self.draw(layer)


def _with_zero_bias(function_name: str, **arguments: float | str) -> Callable[[nn.Linear], None]:
    def draw(layer: nn.Linear) -> None:
        from torch.nn import init

        getattr(init, function_name)(layer.weight, **arguments)
        init.zeros_(layer.bias)

    return draw


def _xavier_variance(fan_in: int, fan_out: int) -> float:
    return 2 / (fan_in + fan_out)


def _he_variance(fan_in: int, fan_out: int) -> float:  # noqa: ARG001 - one signature for all
    return 2 / fan_in


def _lecun_variance(fan_in: int, fan_out: int) -> float:  # noqa: ARG001 - one signature for all
    return 1 / fan_in


def _default_variance(fan_in: int, fan_out: int) -> float:  # noqa: ARG001 - one signature for all
    # Uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)] for weights and biases alike.
    return 1 / (3 * fan_in)


def _no_bias(fan_in: int) -> float:  # noqa: ARG001 - one signature for all
    return 0.0


_FIXED = {
    "torch_default": Initializer(
        "torch_default", _default_variance, lambda fan_in: 1 / (3 * fan_in), None
    ),
    "xavier_uniform": Initializer(
        "xavier_uniform", _xavier_variance, _no_bias, _with_zero_bias("xavier_uniform_")
    ),
    "xavier_normal": Initializer(
        "xavier_normal", _xavier_variance, _no_bias, _with_zero_bias("xavier_normal_")
    ),
    "he_uniform": Initializer(
        "he_uniform",
        _he_variance,
        _no_bias,
        _with_zero_bias("kaiming_uniform_", nonlinearity="relu"),
    ),
    "he_normal": Initializer(
        "he_normal",
        _he_variance,
        _no_bias,
        _with_zero_bias("kaiming_normal_", nonlinearity="relu"),
    ),
    # LeCun et al. 1998, section 4.6: He's with a gain of 1.
    "lecun_uniform": Initializer(
        "lecun_uniform",
        _lecun_variance,
        _no_bias,
        _with_zero_bias("kaiming_uniform_", nonlinearity="linear"),
    ),
    "lecun_normal": Initializer(
        "lecun_normal",
        _lecun_variance,
        _no_bias,
        _with_zero_bias("kaiming_normal_", nonlinearity="linear"),
    ),
}


OWN: dict[str, Initializer] = {}
"""Initializers of one's own that this process has loaded: specification to initializer."""


def register(initializer: Initializer) -> None:
    """Let an initializer of one's own be found by its key, until this process ends.

    Args:
        initializer: Its key must not be one of those shipped.

    Raises:
        ActbenchError: The key is one of those shipped.
    """
    if initializer.key in _FIXED:
        raise ActbenchError(f"{initializer.key!r} is a built-in initializer; choose another key")
    OWN[initializer.key] = initializer


def _mean_field(key: str) -> Initializer:
    match = re.fullmatch(r"mean_field\(([^,]+),([^,]+)\)", key)
    try:
        w2, b2 = (float(part) for part in match.groups()) if match else (math.nan, math.nan)
    except ValueError:
        w2 = b2 = math.nan
    if not (math.isfinite(w2) and math.isfinite(b2) and w2 > 0 and b2 >= 0):
        raise ActbenchError(
            f"initializer {key!r} must name sigma_w^2 above 0 and sigma_b^2 of at least 0, as in "
            "'mean_field(2,0)'"
        )

    def draw(layer: nn.Linear) -> None:
        from torch.nn import init

        init.normal_(layer.weight, std=math.sqrt(w2 / layer.in_features))
        init.normal_(layer.bias, std=math.sqrt(b2))

    return Initializer(key, lambda fan_in, fan_out: w2 / fan_in, lambda fan_in: b2, draw)


def get(key: str) -> Initializer:
    """Look up an initializer by its key.

    Args:
        key: One of ``KEYS``, with a positive number for ``STD``, such as ``"normal(0.05)"``, or
            that of an initializer that was registered.

    Returns:
        The initializer.

    Raises:
        ActbenchError: The key is not known, or its standard deviation is not a positive number.
    """
    if key in _FIXED:
        return _FIXED[key]
    if key in OWN:
        return OWN[key]
    if key.startswith("mean_field("):
        return _mean_field(key)
    match = re.fullmatch(r"normal\((.+)\)", key)
    if match is None:
        raise unknown_name("initializer", key, [*KEYS, *OWN])
    try:
        std = float(match[1])
    except ValueError:
        std = math.nan
    if not (math.isfinite(std) and std > 0):
        raise ActbenchError(
            f"initializer {key!r} has standard deviation {match[1]!r}, "
            "but it must be a positive number, as in 'normal(0.05)'"
        )
    return Initializer(
        f"normal({f'{std:g}' if float(f'{std:g}') == std else repr(std)})",  # no digit is lost
        lambda fan_in, fan_out: std * std,
        _no_bias,
        _with_zero_bias("normal_", mean=0.0, std=std),
    )
