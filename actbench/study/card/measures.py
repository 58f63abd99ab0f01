"""What a card compares, as data, and who is better in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.claims.statistics import median_interval, never_below, same_distribution
from actbench.study.catalog.targets import TARGETS, TargetFunction

_SEEDS = (8, 16)
_FLOW_SEEDS = (32, 32)  # one pass each, which takes no time
TRAINED_BY = "torch_default"  # unless another initializer is asked for

_FLOW_INITIALIZERS = ("torch_default", "xavier_uniform", "he_normal")
_STABILITY_DEPTHS = (5, 10, 20)


@dataclass(frozen=True)
class Measure:
    """One number per seed by which activations are compared."""

    label: str
    metric: Mapping[str, str | int]  # without the activation
    better: Literal["low", "high"]

    def of(self, activation: str) -> dict[str, Any]:
        """Return the metric of one activation."""
        return {**self.metric, "activation": activation}


@dataclass(frozen=True)
class Part:
    """One run of an experiment, and what is read off it."""

    name: str  # of its dataset and of its stored measurements
    title: str  # of its rows, in print
    experiment: str
    settings: Mapping[str, Any]  # that differ from the experiment's defaults
    measures: tuple[Measure, ...] = ()
    seeds: tuple[int, int] = _SEEDS  # of the activation that is tried, and of each of the eight
    further: tuple[str, ...] = ()  # defaults to state too, in words
    note: str = ""  # how to read its numbers, as a sentence without its full stop


def parts(initializer: str = TRAINED_BY, own_targets: Sequence[TargetFunction] = ()) -> list[Part]:
    """List what is run for a card."""
    trained = {} if initializer == TRAINED_BY else {"initializer": initializer}
    listed = [
        _gradient_flow(tuple(dict.fromkeys((*_FLOW_INITIALIZERS, initializer)))),
        _stability(trained),
        _capacity("capacity", tuple(TARGETS.values()), trained),
    ]
    if own_targets:
        listed.append(_capacity("capacity-own", tuple(own_targets), trained))
    return listed


def _gradient_flow(initializers: tuple[str, ...]) -> Part:
    return Part(
        "gradient-flow",
        "Gradient flow: decades per layer that the error signal grows or shrinks, depth 50",
        "gradient-flow",
        _flow(initializers),
        tuple(
            Measure(f"from {key}", {"name": "deep_slope_size", "initializer": key}, better="low")
            for key in initializers
        ),
        _FLOW_SEEDS,
        note="These are sizes, of growth as of shrinking: each network's drift without its "
        "sign, and their median; the table of mean-field theory has the sign, of all networks "
        "pooled",
    )


def _stability(trained: dict[str, Any]) -> Part:
    return Part(
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
    )


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

Outcome: TypeAlias = Literal["wins", "ties", "loses"]
Values: TypeAlias = NDArray[np.float64]

LEVEL = 0.01
"""Probability that one card shows any difference where there is none, at most."""
INTERVAL_LEVEL = 0.01
"""Probability that one interval of a median misses it, at most."""
_OTHER_WAY = 0.05
"""A difference that shows in the other direction too, at this level, is one of spread."""
COST_MARGIN = 1.1
"""Costs that are nearer than this factor are a tie: timings swing by as much."""

METHOD = (
    f"two-sample Kolmogorov-Smirnov test at {LEVEL:g} over the number of comparisons (Bonferroni), "
    "medians in that order, and no difference the other way, one-sided at "
    f"{_OTHER_WAY:g}; of costs the interval, at that level, of the ratio in the same round lies "
    f"beyond {COST_MARGIN:g}"
)


@dataclass(frozen=True)
class Estimate:
    """A median over seeds with its interval; there is none of too few values."""

    median: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """One measure of everyone."""

    label: str
    better: str
    estimates: Mapping[str, Estimate]  # by activation, the one that is tried first
    outcomes: Mapping[str, Outcome]  # of the one that is tried, by the other's key
    place: int  # its place by median, 1 for the best; equal medians share one

    def count(self, outcome: Outcome) -> int:
        """Return how many comparisons ended in one way."""
        return sum(found == outcome for found in self.outcomes.values())

    def json(self) -> dict[str, Any]:
        """Return the row as JSON-ready names and values."""
        return {
            "label": self.label,
            "better": self.better,
            "place": self.place,
            "of": len(self.estimates),
            "estimates": {key: vars(estimate) for key, estimate in self.estimates.items()},
            "outcomes": dict(self.outcomes),
        }


def row(
    label: str,
    better: Literal["low", "high"],
    values: Mapping[str, Values],
    own: str,
    alpha: float,
    *,
    paired: bool = False,
) -> Row:
    """Compare one activation with all others."""
    found = {key: np.where(np.isnan(v), np.inf, v) for key, v in values.items()}
    estimates = {key: _estimate(v) for key, v in found.items()}
    sign = 1 if better == "low" else -1
    medians = {key: sign * estimate.median for key, estimate in estimates.items()}
    how = _by_ratio if paired else _by_test
    return Row(
        label=label,
        better=better,
        estimates={own: estimates[own], **estimates},
        outcomes={key: how(found[own], v, sign, alpha) for key, v in found.items() if key != own},
        place=1 + sum(m < medians[own] for key, m in medians.items() if key != own),
    )


def _estimate(values: Values) -> Estimate:
    interval = median_interval(values, INTERVAL_LEVEL)
    low, high = interval or (None, None)
    return Estimate(_median(values), low, high, len(values))


def _median(values: Values) -> float:
    # Between a number and infinity there is nothing to interpolate.
    finite = bool(np.isfinite(values).all())
    return float(np.median(values) if finite else np.sort(values)[(len(values) - 1) // 2])


def _by_test(own: Values, other: Values, sign: int, alpha: float) -> Outcome:
    if same_distribution(own, other) >= alpha:
        return "ties"
    ours, theirs = sign * own, sign * other
    if _median(ours) < _median(theirs):
        return "wins" if never_below(theirs, ours) >= _OTHER_WAY else "ties"
    if _median(ours) > _median(theirs):
        return "loses" if never_below(ours, theirs) >= _OTHER_WAY else "ties"
    return "ties"


def _by_ratio(own: Values, other: Values, sign: int, alpha: float) -> Outcome:
    interval = median_interval((own / other) ** sign, alpha)
    if interval is None:
        return "ties"
    if interval[1] < 1 / COST_MARGIN:
        return "wins"
    return "loses" if interval[0] > COST_MARGIN else "ties"
