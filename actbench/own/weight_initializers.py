"""Initializers of one's own: functions that draw one layer in place."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from actbench import initializers
from actbench.errors import ActbenchError
from actbench.initializers import Initializer
from actbench.own.calling import called
from actbench.own.loading import Loaded, load, offered

_LAYERS_DRAWN = 64


def initializer(given: str) -> Initializer:
    """Return a built-in initializer, or load, check and register one of the user's.

    Args:
        given: As of ``activation``, in the group ``actbench.initializers``. What is named is a
            function that draws the weights and biases of one ``nn.Linear`` in place, with torch's
            random numbers.

    Returns:
        The initializer, which ``initializers.get`` finds from now on; its variances are measured
        on 64 layers per shape.

    Raises:
        ActbenchError: It can't be loaded, or fails a check.
    """
    if ":" not in given and given not in offered("initializer"):
        return initializers.get(given)
    loaded = load("initializer", given, initializers.KEYS)
    first, again = (_drawn(loaded, 64, 64, 1)[0] for _ in range(2))
    if [tuple(p.shape) for p in first.parameters()] != [(64, 64), (64,)]:
        raise ActbenchError(f"{given} changes the shape of the layer; fill its weight and bias")
    if not all(torch.isfinite(p).all() for p in first.parameters()):
        raise ActbenchError(f"{given} draws numbers that are not finite; mend it")
    if not all(map(torch.equal, first.parameters(), again.parameters())):
        raise ActbenchError(
            f"{given} draws other numbers from the same seed; use torch's random numbers only"
        )

    @lru_cache
    def weight_variance(fan_in: int, fan_out: int) -> float:
        layers = _drawn(loaded, fan_in, fan_out, _LAYERS_DRAWN)
        return float(torch.cat([layer.weight.flatten() for layer in layers]).square().mean())

    @lru_cache
    def bias_variance(fan_in: int) -> float:
        layers = _drawn(loaded, fan_in, fan_in, _LAYERS_DRAWN)
        return float(torch.cat([layer.bias for layer in layers]).square().mean())

    def draw(layer: nn.Linear) -> None:
        with torch.no_grad():
            loaded.thing(layer)

    found = Initializer(given, weight_variance, bias_variance, draw, source=loaded.source)
    initializers.register(found)
    return found


def _drawn(loaded: Loaded, fan_in: int, fan_out: int, count: int) -> list[nn.Linear]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(fan_in, fan_out) for _ in range(count)]
        with torch.no_grad():
            for layer in layers:
                called(loaded, layer)
    for layer in layers:
        layer.requires_grad_(False)
    return layers
