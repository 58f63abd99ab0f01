"""Networks drawn from a running random stream, each part of a stream walked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.study.catalog import activations, initializers
from actbench.study.catalog.initializers import Initializer
from actbench.study.nets.networks import (
    Architecture,
    linear_layers,
    random_stream,
    reference_network,
)
from actbench.study.recover.space import Draw

_ANY = activations.get("linear")  # the shape of a network does not hang on it


@dataclass(frozen=True)
class Drawn:
    """A network as the stream gave it."""

    weights: list[Tensor]  # per layer `(fan_out, fan_in)`, layer 1 (nearest the input) first
    biases: list[Tensor]  # per layer `(fan_out,)`, as torch's constructor drew them
    x: Tensor  # inputs, shape `(points, 1)`; empty where the protocol draws none


@dataclass(frozen=True)
class Beginning:
    """Where the training of a drawn network begins."""

    drawn: Drawn
    bias: str

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Put the parameters into a network."""
        with random_stream():
            network = reference_network(architecture, initializers.get("torch_default"))
        parameters = zip(linear_layers(network), self.drawn.weights, self.drawn.biases, strict=True)
        with torch.no_grad():
            for layer, weight, bias in parameters:
                layer.weight.copy_(weight)
                layer.bias.copy_(bias * (self.bias == "constructed"))
        return network


class Streams:
    """Draws networks, going on from where a stream was left instead of beginning again."""

    def __init__(self) -> None:
        self._left: dict[Draw, Tensor] = {}
        self._common: dict[Draw, Tensor] = {}
        # One set of layers for all networks of a depth: making layers takes longer than drawing.
        self._layers: dict[int, list[nn.Linear]] = {}

    def network(self, draw: Draw) -> Drawn:
        """Draw one network; torch's own stream is left as it was."""
        with random_stream():
            for hidden in {hidden for hidden, _ in draw.models} - self._layers.keys():
                shapes = Architecture(_ANY, hidden, draw.width).layer_shapes
                self._layers[hidden] = _new_layers(shapes)
            for count in range(self._resume(draw) + 1, len(draw.models) + 1):
                x, biases = self._next(draw, *draw.models[count - 1])
                self._left[_up_to(draw, count)] = torch.random.get_rng_state()
            weights = [layer.weight.detach().clone() for layer in self._layers[draw.hidden]]
            return Drawn(weights, biases, x)

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

    def _next(self, draw: Draw, hidden: int, key: str) -> tuple[Tensor, list[Tensor]]:
        """Draw a network into the layers of its depth; return inputs and first biases."""
        x = _inputs(draw) if draw.inputs.drawn in {"before_model", "never"} else None
        biases = _fill(self._layers[hidden], draw.construction, initializers.get(key))
        if draw.inputs.drawn == "after_model":
            x = _inputs(draw)
        return self._common[_up_to(draw, 0)] if x is None else x, biases


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


def _new_layers(shapes: Sequence[tuple[int, int]]) -> list[nn.Linear]:
    return [nn.Linear(fan_in, fan_out) for fan_out, fan_in in shapes]


def _fill(layers: Sequence[nn.Linear], construction: str, initializer: Initializer) -> list[Tensor]:
    """Draw layers as their constructor does, and initialize them; return the first biases."""
    biases = []
    for layer in layers:
        layer.reset_parameters()
        biases.append(layer.bias.detach().clone())
        if construction == "layer_by_layer":
            initializer.apply(layer)
    if construction == "all_first":
        for layer in layers:
            initializer.apply(layer)
    return biases
