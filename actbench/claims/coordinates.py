"""Which values a metric's arguments can take, told from a protocol's settings before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actbench.experiments import get as get_experiment

_LISTED = {
    "activation": "activations",
    "over": "activations",
    "initializer": "initializers",
    "width": "widths",
    "input_variance": "input_variances",
    "target": "targets",
    "depth": "depths",
    "over_depth": "depths",
    "skip": "skip",
    "adam_eps": "adam_epsilons",
    "over_adam_eps": "adam_epsilons",
}
"""Argument to the setting that lists its values, where an experiment has that setting."""

_TRAINED = ("dead_share", "dead_share_ratio", "saturated_share")
_FITTED_DEPTH = 40
_DEEP = {
    "theory_gap": _FITTED_DEPTH,
    "pooled_slope": _FITTED_DEPTH,
    "deep_slope_size": _FITTED_DEPTH,
    "deep_error_share": 1,
    "deep_gradient_ratio": 1,
    "deep_largest_gradient": 2,
}
"""Metric of gradient-flow's deep part to the hidden layers that it needs there."""


@dataclass(frozen=True)
class Coordinate:
    """The values that an argument can take.

    Args:
        values: All of them.
        setting: The setting that decides them; none where no setting does.
    """

    values: Sequence[Any]
    setting: str | None = None

    def __str__(self) -> str:
        """The values, for a sentence."""
        if isinstance(self.values, range) and self.values:
            return f"{self.values[0]} to {self.values[-1]}"
        return ", ".join(str(value) for value in self.values) or "none"


def problems(metric: Mapping[str, Any], experiment: str, config: Any) -> Iterator[str]:
    """Look for arguments that name what the protocol's dataset will not have."""
    name = str(metric["name"])
    if _DEEP.get(name, 0) > getattr(config, "deep_depth", 0):
        yield (
            f"{name} needs a deep_depth of at least {_DEEP[name]}, but the claim's protocol has "
            f"{config.deep_depth}; change that setting"
        )
    if name == "spread_over_theory" and not config.spread_widths:
        yield (
            f"{name} needs spread_widths, but the claim's protocol has none; change that setting"
        )
    if "over_layer" in metric and metric["layer"] == metric["over_layer"]:
        yield f"layer and over_layer are both {metric['layer']}; name two layers"
    for argument, coordinate in of(metric, experiment, config).items():
        if metric[argument] not in coordinate.values:
            change = f"change its setting {coordinate.setting!r}, or " if coordinate.setting else ""
            remedy = f"{change}name one that it has"
            yield (
                f"{argument} is {metric[argument]!r}, but the claim's protocol has {coordinate}; "
                f"{remedy}"
            )


def of(metric: Mapping[str, Any], experiment: str, config: Any) -> dict[str, Coordinate]:
    """List the values of each of a metric's arguments that a protocol decides."""
    found = {
        argument: Coordinate(tuple(getattr(config, setting)), setting)
        for argument, setting in _LISTED.items()
        if argument in metric and hasattr(config, setting)
    }
    particular = _PARTICULAR.get(experiment)
    if particular is not None:
        found.update(particular(metric, config))
    return {argument: values for argument, values in found.items() if argument in metric}


def _sine_regression(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:  # noqa: ARG001 - one signature for all
    return {
        "layer": Coordinate(range(1, config.depth + 2), "depth"),
        "epoch": Coordinate(range(config.epochs), "epochs"),
        "seed": Coordinate(tuple(config.seeds), "seeds"),
        "recorded_epoch": Coordinate(config.recorded_epochs, "epochs"),
    }


def _gradient_flow(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:
    if metric["name"] == "spread_over_theory":
        measured = get_experiment("gradient-flow").module().SPREAD_ACTIVATIONS
        keys = tuple(key for key in config.activations if key in measured)
        return {"activation": Coordinate(keys, "activations")}
    if not str(metric["name"]).startswith("recovered_"):
        return {"depth": Coordinate(tuple(config.robust_depths), "robust_depths")}
    # Layers beyond those of its depth are there, but hold nothing.
    return {"layer": Coordinate(range(1, metric["depth"] + 2))}


def _activation_statistics(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:
    if metric["name"] not in _TRAINED:
        return {}
    trained = config.trained_initializers if config.trained_seeds else ()
    setting = "trained_initializers" if config.trained_seeds else "trained_seeds"
    return {"initializer": Coordinate(tuple(trained), setting)}


def _capacity(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:  # noqa: ARG001 - one signature for all
    return {"reference": Coordinate(tuple(get_experiment("capacity").module().REFERENCES))}


def _stability(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:  # noqa: ARG001 - one signature for all
    return {"skip": Coordinate(tuple(int(with_skip) for with_skip in config.skip), "skip")}


def _signal_propagation(metric: Mapping[str, Any], config: Any) -> dict[str, Coordinate]:  # noqa: ARG001 - one signature for all
    # What holds at a smaller depth is read off its layer.
    layers = Coordinate(range(1, config.depth + 1), "depth")
    return dict.fromkeys(("depth", "layer", "over_layer"), layers)


_PARTICULAR = {
    "sine-regression": _sine_regression,
    "gradient-flow": _gradient_flow,
    "activation-statistics": _activation_statistics,
    "capacity": _capacity,
    "stability": _stability,
    "signal-propagation": _signal_propagation,
}
"""Experiment to what decides its arguments otherwise than a list of the same name."""
