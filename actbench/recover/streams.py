"""Networks drawn from a running random stream, each part of a stream walked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench import initializers
from actbench.networks import Architecture, random_stream
from actbench.recover.space import Draw


@dataclass(frozen=True)
class Drawn:
    """A network as the stream gave it.

    Args:
        weights: Per layer ``(fan_out, fan_in)``, layer 1 (nearest the input) first.
        biases: Per layer ``(fan_out,)``, as torch's constructor drew them.
        x: Inputs, shape ``(points, 1)``; empty where the protocol draws none.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    x: Tensor


@dataclass(frozen=True)
class Beginning:
    """Where the training of a drawn network begins.

    Args:
        drawn: The network.
        bias: ``zero`` or ``constructed``.
    """

    drawn: Drawn
    bias: str

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Put the parameters into linear layers.

        Args:
            architecture: Their shapes.

        Returns:
            The linear layers alone.
        """
        layers = []
        parameters = zip(self.drawn.weights, self.drawn.biases, strict=True)
        for (fan_out, fan_in), (weight, bias) in zip(
            architecture.layer_shapes, parameters, strict=True
        ):
            layer = _empty((fan_in, fan_out))
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias * (self.bias == "constructed"))
            layers.append(layer)
        return nn.Sequential(*layers)


class Streams:
    """Draws networks, going on from where a stream was left instead of beginning again."""

    def __init__(self) -> None:
        self._left: dict[Draw, Tensor] = {}
        self._common: dict[Draw, Tensor] = {}
        self._spares: dict[tuple[int, int], nn.Linear] = {}

    def network(self, draw: Draw) -> Drawn:
        """Draw one network; torch's own stream is left as it was.

        Args:
            draw: Which.

        Returns:
            The network with its inputs.
        """
        with random_stream():
            for count in range(self._resume(draw) + 1, len(draw.models)):
                self._skip(draw, draw.models[count - 1])
                self._left[_up_to(draw, count)] = torch.random.get_rng_state()
            drawn = self._next(draw, draw.models[-1])
            self._left[draw] = torch.random.get_rng_state()
        return drawn

    def _resume(self, draw: Draw) -> int:
        """Set the stream to the furthest known place before a network; return models drawn."""
        for count in range(len(draw.models) - 1, 0, -1):
            state = self._left.get(_up_to(draw, count))
            if state is not None:
                torch.random.set_rng_state(state)
                return count
        torch.manual_seed(draw.seed)
        if draw.inputs.drawn in {"once", "apart"}:
            self._common[_up_to(draw, 0)] = _inputs(draw)
        if draw.inputs.drawn == "apart":
            torch.manual_seed(draw.seed)
        return 0

    def _skip(self, draw: Draw, model: tuple[int, str]) -> None:
        """Take from the stream what a network takes, without making new layers."""
        if draw.inputs.drawn == "before_model":
            _inputs(draw)
        hidden, key = model
        _fill([self._spare(shape) for shape in _shapes(hidden, draw.width)], draw, key)
        if draw.inputs.drawn == "after_model":
            _inputs(draw)

    def _spare(self, shape: tuple[int, int]) -> nn.Linear:
        if shape not in self._spares:
            self._spares[shape] = _empty(shape)
        return self._spares[shape]

    def _next(self, draw: Draw, model: tuple[int, str]) -> Drawn:
        x = _inputs(draw) if draw.inputs.drawn in {"before_model", "never"} else None
        weights, biases = _layers(draw, model)
        if draw.inputs.drawn == "after_model":
            x = _inputs(draw)
        return Drawn(weights, biases, self._common[_up_to(draw, 0)] if x is None else x)


def _up_to(draw: Draw, models: int) -> Draw:
    return Draw(draw.seed, draw.construction, draw.inputs, draw.width, draw.models[:models])


def _inputs(draw: Draw) -> Tensor:
    match draw.inputs.kind:
        case "normal":
            return torch.randn(draw.inputs.points, 1)
        case "uniform":
            return torch.rand(draw.inputs.points, 1)
        case _:
            return torch.linspace(-math.pi, math.pi, draw.inputs.points)[:, None]


def _shapes(hidden: int, width: int) -> list[tuple[int, int]]:
    return [(1, width), *[(width, width)] * (hidden - 1), (width, 1)]


def _empty(shape: tuple[int, int]) -> nn.Linear:
    with torch.device("meta"):  # takes nothing from the stream
        layer = nn.Linear(*shape)
    layer.to_empty(device="cpu")
    return layer


def _layers(draw: Draw, model: tuple[int, str]) -> tuple[list[Tensor], list[Tensor]]:
    hidden, key = model
    layers = [_empty(shape) for shape in _shapes(hidden, draw.width)]
    biases = _fill(layers, draw, key)
    return [layer.weight.detach() for layer in layers], biases


def _fill(layers: Sequence[nn.Linear], draw: Draw, key: str) -> list[Tensor]:
    """Draw layers as their constructor does, and initialize them; return the first biases."""
    initializer = initializers.get(key)
    biases = []
    for layer in layers:
        layer.reset_parameters()
        biases.append(layer.bias.detach().clone())
        if draw.construction == "layer_by_layer":
            initializer.apply(layer)
    if draw.construction == "all_first":
        for layer in layers:
            initializer.apply(layer)
    return biases
