"""What a card compares, as data: the runs, and the numbers that are read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from actbench.targets import TARGETS, TargetFunction

_SEEDS = (8, 16)
_FLOW_SEEDS = (32, 32)  # one pass each, which takes no time
TRAINED_BY = "torch_default"
"""Initializer of the networks that are trained, unless another is asked for."""

_FLOW_INITIALIZERS = ("torch_default", "xavier_uniform", "he_normal")
_STABILITY_DEPTHS = (5, 10, 20)


@dataclass(frozen=True)
class Measure:
    """One number per seed by which activations are compared.

    Args:
        label: What it is, in print.
        metric: Name and arguments of the metric, without the activation.
        better: Which values are better.
    """

    label: str
    metric: Mapping[str, str | int]
    better: Literal["low", "high"]

    def of(self, activation: str) -> dict[str, Any]:
        """Return the metric of one activation."""
        return {**self.metric, "activation": activation}


@dataclass(frozen=True)
class Part:
    """One run of an experiment, and what is read off it.

    Args:
        name: Of its dataset and of its stored measurements.
        title: Of its rows, in print.
        experiment: Key of the experiment.
        settings: Settings that differ from the experiment's defaults.
        measures: What is compared.
        seeds: How many the activation that is tried has, and each of the eight that are stored.
        further: Settings to state that are the experiment's defaults, in words.
        note: How to read its numbers, as a sentence without its full stop.
    """

    name: str
    title: str
    experiment: str
    settings: Mapping[str, Any]
    measures: tuple[Measure, ...] = ()
    seeds: tuple[int, int] = _SEEDS
    further: tuple[str, ...] = ()
    note: str = ""


def parts(initializer: str = TRAINED_BY, own_targets: Sequence[TargetFunction] = ()) -> list[Part]:
    """List what is run for a card."""
    flow = dict.fromkeys((*_FLOW_INITIALIZERS, initializer))
    trained = {} if initializer == TRAINED_BY else {"initializer": initializer}
    listed = [
        Part(
            "gradient-flow",
            "Gradient flow: decades per layer that the error signal grows or shrinks, depth 50",
            "gradient-flow",
            _flow(tuple(flow)),
            tuple(
                Measure(
                    f"from {key}", {"name": "deep_slope_size", "initializer": key}, better="low"
                )
                for key in flow
            ),
            _FLOW_SEEDS,
            note="These are sizes, of growth as of shrinking: each network's drift without its "
            "sign, and their median; the table of mean-field theory has the sign, of all networks "
            "pooled",
        ),
        Part(
            "stability",
            "Stability: largest learning rate that still converges",
            "stability",
            {"depths": _STABILITY_DEPTHS, "skip": (False,), **trained},
            tuple(
                Measure(
                    f"at depth {depth}",
                    {"name": "stability_border", "skip": 0, "depth": depth},
                    better="high",
                )
                for depth in _STABILITY_DEPTHS
            ),
            further=("nine learning rates from 1e-4 to 1", "no skip connections", "120 epochs"),
            note="0: no rate converged; a median may lie between two rates that were tried",
        ),
        _capacity("capacity", tuple(TARGETS.values()), trained),
    ]
    if own_targets:
        listed.append(_capacity("capacity-own", tuple(own_targets), trained))
    return listed


def _flow(initializers: tuple[str, ...]) -> dict[str, Any]:
    # Only the deep part counts; of the others, as little as the experiment allows.
    return {
        "initializers": initializers,
        "depths": (5,),
        "robust_depths": (5,),
        "points": 2,
        "deep_seeds": 64,
        "spread_widths": (),
    }


def critical_part(initializer: str) -> Part:
    """Return the run that shows the critical initialization at work."""
    return Part("critical", "", "gradient-flow", _flow((initializer,)), (), _FLOW_SEEDS)


def _capacity(name: str, targets: tuple[TargetFunction, ...], trained: dict[str, Any]) -> Part:
    keys = tuple(target.key for target in targets)
    return Part(
        name,
        "Capacity: error on the clean target over its variance, 10 x 64 units, 500 epochs",
        "capacity",
        {"targets": keys, "depths": (10,), "widths": (64,), **trained},
        tuple(
            Measure(
                f"{target.name}, {target.formula}",
                {"name": "clean_share", "target": target.key, "depth": 10},
                better="low",
            )
            for target in targets
        ),
    )


COST = Measure("plain loop, CPU, over ReLU's", MappingProxyType({"name": "epoch_cost"}), "low")
"""Cost per epoch; its values are rounds, not seeds, and none of them is stored."""
COST_TITLE = "Cost of one epoch of training"
