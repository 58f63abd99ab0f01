"""The protocol of ``gradient-flow``: what its parts vary, and how many networks they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actbench.store.errors import require_positive_int
from actbench.study.catalog import activations
from actbench.study.experiments import settings

# The spread part: one input and normal weights, so that theory needs no approximation but width.
SPREAD_ACTIVATIONS = ("linear", "tanh", "relu", "gelu")
"""Activations of the spread part."""
SPREAD_INITIALIZER = "he_normal"
"""Initializer of the spread part."""
SPREAD_DEPTH = 6
"""Hidden layers of the spread part; a network's slope is measured from layer 1 to this one."""

_widths = settings.each("width", require_positive_int)


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol of both parts.

    Args:
        activations: Keys, in the order in which the recovered protocol draws its networks.
        depths: Hidden layers of the recovered protocol, in its order; each at least 1.
        recovered_seed: Seed to which torch is reset once, before the first network.
        seeds: A count (then 42, 43, ...) or the seeds of the robust protocol.
        initializers: Keys of the initializers of the robust protocol.
        robust_depths: Hidden layers of the robust protocol.
        width: Units per hidden layer, at least 1.
        points: Inputs of the robust protocol, evenly spaced on [-pi, pi], at least 2.
        deep_depth: Hidden layers of the deep part; 0 leaves it out.
        deep_seeds: At most so many of the seeds are used in the deep part.
        deep_points: Inputs of the deep part, evenly spaced on [-pi, pi], at least 2. Slopes
            pooled over 10 inputs are those over 50 within 0.003 decades per layer.
        spread_widths: Widths of the spread part; none leaves it out.
        device: Not used: both parts are one pass per network, on the CPU.
        threads: Parts that run side by side, each on one thread; ``None`` takes the physical cores,
            at most 8.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = tuple(activations.ACTIVATIONS)
    depths: Sequence[int] = (5, 10, 20, 50)
    recovered_seed: int = 42
    seeds: int | Sequence[int] = 400
    initializers: Sequence[str] = (
        "torch_default",
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
    )
    robust_depths: Sequence[int] = (10,)
    width: int = 64
    points: int = 50
    deep_depth: int = 50
    deep_seeds: int = 64
    deep_points: int = 10
    spread_widths: Sequence[int] = (64, 128, 256, 512, 1024)
    device: str = "cpu"
    threads: int | None = None

    not_in_protocol = ("device", "threads")
    checked = settings.checks(
        depths=settings.each("depth", require_positive_int),
        robust_depths=settings.each("depth", require_positive_int),
        deep_depth=settings.zero_or_positive_int,
        deep_seeds=require_positive_int,
        deep_points=settings.at_least(2),
        spread_widths=lambda name, given: _widths(name, given) if given else (),
    )

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: networks."""
        robust = len(self.robust_depths) * len(self.initializers) * len(self.seed_list)
        deep = len(self.initializers) * len(deep_seeds_of(self)) if self.deep_depth else 0
        spread = sum(spread_networks(self, width) for width in self.spread_widths)
        return (
            len(self.activations) * (len(self.depths) + robust + deep)
            + len(spread_activations(self)) * spread
        )

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "objective": "mean of the outputs, one backward pass, no update",
            "recovered": "one reset of the random state; per depth and activation: all linear "
            "layers, then Xavier-uniform weights and zero biases layer by layer, then 32 inputs "
            "from a standard normal; float32",
            "robust": "random state reset to the seed before each network; float64",
            "deep": "as robust",
            "spread": "as robust, but float32, one input at 1, and fewer networks beyond width 192",
            "spread_depth": SPREAD_DEPTH,
            "spread_initializer": SPREAD_INITIALIZER,
        }


def deep_seeds_of(config: Config) -> tuple[int, ...]:
    return config.seed_list[: config.deep_seeds]


def spread_activations(config: Config) -> tuple[str, ...]:
    return tuple(key for key in SPREAD_ACTIVATIONS if key in config.activations)


def spread_networks(config: Config, width: int) -> int:
    # Drawing a network takes time that grows with the square of its width.
    return min(len(config.seed_list), max(12, min(64, 64 * 192 // width)))
