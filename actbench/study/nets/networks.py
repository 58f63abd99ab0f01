"""The network of the study, as anyone would write it: ``nn.Sequential`` with autograd.

``stacks`` holds many of them as one, and is tested against this.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.study.catalog.activations import Activation
from actbench.study.catalog.initializers import Initializer

# torch's initializers draw from one stream per process; threads take turns with it.
_RANDOM_STREAM = threading.Lock()


@dataclass(frozen=True)
class Architecture:
    """Shape of a network with one input and one linear output.

    Args:
        activation: Applied after every hidden layer.
        depth: Hidden layers, at least 1.
        width: Units per hidden layer, at least 1.
        skip: Whether every hidden layer but the first adds its input to its output.
    """

    activation: Activation
    depth: int = 10
    width: int = 64
    skip: bool = False

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(fan_out, fan_in)`` of each layer, layer 1 (nearest the input) first."""
        hidden = ((self.width, self.width),) * (self.depth - 1)
        return ((self.width, 1), *hidden, (1, self.width))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of one network, without the activation's own parameters."""
        return sum(fan_out * (fan_in + 1) for fan_out, fan_in in self.layer_shapes)


class SkipLayer(nn.Module):
    """A hidden layer that adds its input to its output (He et al. 2016, eq. 1)."""

    def __init__(self, linear: nn.Linear, activation: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + activation(linear(x))``, shape as ``x``."""
        total: Tensor = x + self.activation(self.linear(x))
        return total


def reference_network(architecture: Architecture, initializer: Initializer) -> nn.Sequential:
    """Build one network from torch's random stream as it stands.

    All layers are constructed first, from the input to the output, and then drawn again in the
    same order by the initializer: the order on which the study's own numbers rest. Float32, on the
    CPU; from ``(points, 1)`` to ``(points, 1)``.
    """
    layers = [nn.Linear(fan_in, fan_out) for fan_out, fan_in in architecture.layer_shapes]
    for layer in layers:
        initializer.apply(layer)
    modules: list[nn.Module] = []
    for number, layer in enumerate(layers[:-1]):
        activation = architecture.activation.module()
        with_skip = architecture.skip and number > 0
        modules += [SkipLayer(layer, activation)] if with_skip else [layer, activation]
    return nn.Sequential(*modules, layers[-1])


@contextmanager
def random_stream() -> Iterator[None]:
    """Hold torch's random stream alone for a while, and leave it as it was."""
    with _RANDOM_STREAM, torch.random.fork_rng(devices=[]):
        yield


def seeded_network(
    architecture: Architecture,
    initializer: Initializer,
    seed: int,
    before: Sequence[Architecture] = (),
) -> nn.Sequential:
    """Build one network after ``torch.manual_seed(seed)`` and the networks before it.

    Torch's random stream is left as it was.
    """
    with random_stream():
        torch.manual_seed(seed)
        for earlier in before:
            reference_network(earlier, initializer)
        return reference_network(architecture, initializer)


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """List a network's ``depth + 1`` linear layers, layer 1 (nearest the input) first."""
    layers = (part.linear if isinstance(part, SkipLayer) else part for part in network)
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def activation_modules(network: nn.Sequential) -> list[nn.Module]:
    """List the activations of a network's hidden layers, layer 1 first."""
    return [
        part.activation if isinstance(part, SkipLayer) else part
        for part in network
        if not isinstance(part, nn.Linear)
    ]
