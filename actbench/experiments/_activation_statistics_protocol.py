"""The protocol of ``activation-statistics``: what is looked at, and how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actbench import activations, initializers, seeds, settings
from actbench.errors import require_positive_int, unknown_name
from actbench.experiments._protocol import protocol_of
from actbench.training import Member, require_runnable

# Drawing a network and looking at all its layers takes about as long as this many of its epochs.
STEPS_PER_LOOK = 6


@dataclass(frozen=True)
class Config:
    """The protocol: what is looked at, and how the trained networks were trained.

    Args:
        activations: Keys of the activations.
        seeds: A count (then 42, 43, ...) or the seeds themselves, looked at where they start.
        initializers: Keys of the initializers.
        trained_initializers: Those of them from which networks are trained.
        trained_seeds: How many of the seeds are trained, the first ones; all where there are no
            more, at least 0.
        epochs: Full-batch updates, at least 1.
        learning_rate: Adam's step size, positive.
        depth: Hidden layers, at least 1.
        width: Units per hidden layer, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        noise_std: Standard deviation of the noise on the targets, at least 0.
        noise_seed: Seed of the noise, the same for every member.
        epsilon: An activation of a smaller absolute value counts as near zero; positive.
        saturation: Where the activation's derivative is smaller than this share of its largest
            one, a unit counts as saturated; positive.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"xpu"``.
        dtype: ``"float32"`` or ``"float64"``.
        threads: CPU threads; ``None`` takes the physical cores, at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    seeds: int | Sequence[int] = 16
    initializers: Sequence[str] = (
        "torch_default",
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
    )
    trained_initializers: Sequence[str] = ("torch_default", "he_normal")
    trained_seeds: int = 4
    epochs: int = 500
    learning_rate: float = 1e-3
    depth: int = 10
    width: int = 64
    points: int = 200
    noise_std: float = 0.1
    noise_seed: int = 42
    epsilon: float = 0.01
    saturation: float = 0.01
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", seeds.expand(self.seeds))
        chosen = settings.names("activations", self.activations, activations.get)
        object.__setattr__(self, "activations", chosen)
        for name in ("initializers", "trained_initializers"):
            listed = settings.names(name, getattr(self, name), initializers.get)
            object.__setattr__(self, name, listed)
        for key in self.trained_initializers:
            if key not in self.initializers:
                raise unknown_name("trained initializer", key, self.initializers)
        if self.trained_seeds != 0:
            require_positive_int("trained_seeds", self.trained_seeds)
        for name in ("epochs", "depth", "width"):
            require_positive_int(name, getattr(self, name))
        require_runnable(self.points, self.dtype, self.threads)
        for name in ("learning_rate", "epsilon", "saturation"):
            settings.positive(name, getattr(self, name))
        settings.at_least_zero("noise_std", self.noise_std)

    @property
    def members(self) -> tuple[Member, ...]:
        """Every network that is looked at where it starts, initializer by initializer."""
        return _members(self.initializers, seeds.expand(self.seeds))

    @property
    def trained_members(self) -> tuple[Member, ...]:
        """Those of them that are trained."""
        return _members(self.trained_initializers, seeds.expand(self.seeds)[: self.trained_seeds])

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: epochs x members, a look counted as several."""
        looks = STEPS_PER_LOOK * len(self.members)
        return len(self.activations) * (looks + self.epochs * len(self.trained_members))

    def protocol(self) -> dict[str, Any]:
        """List every setting, with those that no argument changes."""
        fixed = {
            "optimizer": "Adam, betas 0.9 and 0.999, eps 1e-8, full batch",
            "objective": "mean squared error on the noisy targets",
            "random_state": "reset to the member's seed before each network",
            "pooling": "over the inputs and the units of one layer of one network",
            "quantiles": "order statistics of nearest rank, not interpolated",
            "near_zero": "absolute value below epsilon",
            "saturated": "|derivative| of the activation below saturation x its largest value",
            "dead": "output exactly zero on every input",
        }
        return protocol_of(self, fixed)


def _members(keys: Sequence[str], chosen: Sequence[int]) -> tuple[Member, ...]:
    return tuple(Member(seed, initializers.get(key)) for key in keys for seed in chosen)
