"""Where the training of a network begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from actbench.initializers import Initializer
from actbench.networks import Architecture, seeded_network


class Start(Protocol):
    """Where the training of one network begins."""

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Return the network before training, as ``reference_network`` builds it."""


@dataclass(frozen=True)
class Member:
    """What distinguishes one network of a stack from another.

    Args:
        seed: Seed of the initial weights, at least 0.
        initializer: How they are drawn.
        before: Networks that were drawn before from the same random state, which was set to the
            seed once; none where it is set for each network.
    """

    seed: int
    initializer: Initializer
    before: tuple[Architecture, ...] = ()

    def network(self, architecture: Architecture) -> nn.Sequential:
        """Draw the network from the seed and what was drawn before.

        Args:
            architecture: Its shape and activation.

        Returns:
            The network before training.
        """
        return seeded_network(architecture, self.initializer, self.seed, self.before)
