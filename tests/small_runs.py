"""Small runs, once per process: of every experiment with what it must give, and of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from actbench.study.experiments import get

FEW = {"seeds": (43, 42), "threads": 1, "device": "cpu"}
TRAINED = {"points": 6, "epochs": 3}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "sine-regression": {**TRAINED, "activations": ("relu", "tanh"), "depth": 2, "width": 3},
    "gradient-flow": {
        "activations": ("relu", "gelu"),
        "initializers": ("he_normal",),
        "depths": (1, 3),
        "robust_depths": (2,),
        "width": 4,
        "deep_depth": 41,
        "spread_widths": (4,),
    },
    "activation-statistics": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "initializers": ("he_normal", "torch_default"),
        "trained_initializers": ("torch_default",),
        "depth": 4,
        "width": 3,
    },
    "stability": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "depths": (2, 1),
        "learning_rates": (1e-3, 0.1),
        "width": 4,
    },
    "capacity": {
        **TRAINED,
        "activations": ("relu", "tanh"),
        "targets": ("sine", "step"),
        "depths": (2, 1),
        "widths": (3, 4),
    },
    "training-dynamics": {**TRAINED, "activations": ("relu", "tanh"), "depth": 2, "width": 3},
    "plateau-escape": {
        **TRAINED,
        "activations": ("tanh",),
        "depths": (1, 2),
        "adam_epsilons": (1e-8, 1e-3),
        "width": 3,
    },
    "activation-derivatives": {"activations": ("relu", "tanh"), "reach": 2.0, "points": 5},
    "closed-forms": {},
    "signal-propagation": {"widths": (2, 3), "depth": 3, "networks": 2, "input_variances": (1, 2)},
    "moment-map": {"activations": ("relu",), "points": 2},
}
"""Settings of few and small networks, by the experiment's key."""


def config_of(key: str, **changes: Any) -> Any:
    """A protocol of few and small networks, with some settings changed."""
    return get(key).module().Config(**{**SMALL[key], **FEW, **changes})


@cache
def dataset_of(key: str) -> xr.Dataset:
    """What the small protocol gives, for tests that leave it as it is."""
    dataset: xr.Dataset = get(key).module().run(config_of(key))
    return dataset


@dataclass(frozen=True)
class Expected:
    """What the small protocol of an experiment must give.

    Args:
        steps: Of progress, in all.
        parts: Which are kept one by one, where the run can be resumed.
        variables: By dimensions, all that the dataset holds.
        labels: Coordinates beside those that are settings.
        states: What the protocol says beside the settings.
        unstated: Settings that are not in it: told in other words, or of no effect.
        figures: By name the variables that the figure can't do without.
        short: What an estimate of the default protocol changes.
    """

    steps: int
    variables: Mapping[str, str]
    parts: int = 0
    labels: Mapping[str, list[Any]] = field(default_factory=dict)
    states: str = ""
    unstated: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)


X = np.linspace(-math.pi, math.pi, 6).tolist()
TRAINING = "optimizer objective random_state"
REFERENCES = ["best_constant", "best_line", "smoothing_spline", "kernel_ridge"]
LEVELS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
EXPECTED = {
    "sine-regression": Expected(
        steps=2 * 2 * 3,
        parts=2,
        variables={
            "activation seed epoch": "loss",
            "activation seed": "final_mse final_mse_clean diverged",
            "activation seed recorded_epoch layer": "gradient_magnitude",
            "activation seed layer": "weight_displacement",
            "activation seed x": "prediction",
            "activation hidden_layer x unit": "hidden_activation",
            "x": "target_noisy target_clean",
        },
        labels={
            "epoch": [0, 1, 2],
            "recorded_epoch": [0, 1, 2],
            "layer": [1, 2, 3],
            "hidden_layer": [1, 2],
            "unit": [0, 1, 2],
            "x": X,
        },
        states=f"{TRAINING} construction inputs gradient_magnitude",
        unstated="drawn_in_order",
        figures={
            "learned_functions": "prediction target_noisy",
            "loss_curves": "loss",
            "gradient_flow": "gradient_magnitude",
            "hidden_activations": "hidden_activation",
            "summary_figure": "final_mse loss gradient_magnitude prediction",
        },
        short={"epochs": 20},
    ),
    "gradient-flow": Expected(
        steps=2 * (2 + 2 + 2 + 2),
        variables={
            "activation depth layer": "gradient_magnitude",
            "activation depth": "gradient_ratio",
            "activation initializer seed depth layer": "robust_gradient_magnitude error_signal",
            "activation initializer depth layer": "error_signal_rms",
            "activation initializer deep_seed layer": (
                "deep_gradient_magnitude deep_error_signal deep_preactivation_square"
            ),
            "spread_activation width network": "error_slope",
        },
        labels={
            "depth": [1, 3, 2],
            "layer": list(range(1, 43)),
            "deep_seed": [43, 42],
            "spread_activation": ["relu", "gelu"],
            "width": [4],
        },
        states="objective recovered robust deep spread spread_depth spread_initializer",
        unstated="device threads",
        figures={"exp1_gradient_flow": "", "theory_error_signals": "", "theory_width": ""},
        short={"seeds": (42, 43, 44, 45), "spread_widths": ()},
    ),
    "activation-statistics": Expected(
        steps=2 * (6 * 2 * 2 + 2 * 3),
        parts=2,
        variables={
            "initializer seed": "trained",
            "activation initializer seed": "trained_mse",
            "activation stage initializer seed hidden_layer": (
                "pre_activation_mean pre_activation_std activation_mean activation_std zero_share "
                "near_zero_share dead_unit_share saturated_share saturated_unit_share"
            ),
            "activation stage initializer seed hidden_layer level": (
                "pre_activation_quantile activation_quantile"
            ),
        },
        labels={
            "stage": ["initial", "trained"],
            "hidden_layer": [1, 2, 3, 4],
            "level": LEVELS,
        },
        states=f"{TRAINING} pooling quantiles near_zero saturated dead",
        figures={
            "exp2_activation_distributions": "activation_quantile trained",
            "exp2_sparsity_dead_neurons": "dead_unit_share",
        },
        short={"seeds": (42, 43, 44, 45), "epochs": 20},
    ),
    "stability": Expected(
        steps=2 * 2 * 2 * 2 * (2 + 1) * 3,
        parts=4,
        variables={
            "activation skip depth learning_rate seed": "outcome loss_peak final_mse diverged",
            "activation skip depth learning_rate seed epoch": "loss",
            "activation skip depth seed": "stability_border",
            "x": "target_noisy target_clean",
        },
        labels={"epoch": [0, 1, 2], "x": X},
        states=f"{TRAINING} rules",
        figures={"exp3_stability": "outcome loss_peak"},
        short={"seeds": (42,), "epochs": 6},
    ),
    "capacity": Expected(
        steps=2 * 2 * 2 * 2 * 3,
        parts=2,
        variables={
            "activation target depth seed": "final_mse final_mse_clean diverged",
            "activation target depth seed x": "prediction",
            "target x": "target_noisy target_clean",
            "reference target x": "reference_prediction",
            "reference target": "reference_mse reference_mse_clean",
            "target": "kernel_ridge_freedom",
            "depth": "width parameters",
        },
        labels={"reference": REFERENCES, "x": X},
        states=f"{TRAINING} formulas references",
        figures={
            "exp4_predictions": "target_clean prediction",
            "exp4_representational_heatmap": "target_clean final_mse_clean",
        },
        short={"seeds": (42, 43), "epochs": 14},
    ),
    "training-dynamics": Expected(
        steps=2 * 2 * 3,
        parts=2,
        variables={
            "activation seed recorded_epoch hidden_layer": "activation_rms zero_share",
            "activation seed recorded_epoch layer": "gradient_magnitude error_signal",
            "activation seed recorded_epoch x": "learned_function",
            "activation seed epoch": "loss",
            "activation seed": "final_mse diverged",
            "x": "target_noisy target_clean",
        },
        labels={
            "epoch": [0, 1, 2],
            "recorded_epoch": [0, 1, 2, 3],
            "layer": [1, 2, 3],
            "hidden_layer": [1, 2],
            "x": X,
        },
        states=f"{TRAINING} recorded rms",
        unstated="drawn_in_order",
        figures={
            "activation_evolution": "activation_rms zero_share",
            "gradient_evolution": "gradient_magnitude error_signal",
            "training_dynamics_functions": "learned_function",
            "training_dynamics_summary": "loss activation_rms",
        },
        short={"epochs": 30},
    ),
    "plateau-escape": Expected(
        steps=2 * 2 * 2 * 3,
        parts=4,
        variables={
            "activation depth adam_eps seed epoch": "loss",
            "activation depth adam_eps seed": "final_mse plateau_gradient diverged",
        },
        labels={"epoch": [0, 1, 2]},
        states=f"{TRAINING} plateau_gradient",
        figures={"depth_decides": "loss"},
        short={"epochs": 8},
    ),
    "activation-derivatives": Expected(
        steps=2,
        variables={"activation z": "value derivative backward_difference forward_difference"},
        labels={"z": [-2, -1, 0, 1, 2]},
        states="dtype",
        unstated="seeds device threads",
    ),
    "closed-forms": Expected(
        steps=0,
        variables={
            "target": "best_constant_mse best_line_mse best_unit_interval_mse noise_mse",
            "activation": "report_over_card",
        },
        labels={"target": ["noisy_sine", "sine_one_period", "sine_two_periods"]},
        unstated="seeds device threads",
    ),
    "signal-propagation": Expected(
        steps=2 * 2 * 2,
        variables={
            "activation initializer width input_variance seed layer": (
                "born_dead_share dead_at_input_share pre_activation_mean pre_activation_variance "
                "activation_mean activation_variance"
            )
        },
        labels={"layer": [1, 2, 3]},
        states="draw",
        unstated="device",
        short={"seeds": (42,)},
    ),
    "moment-map": Expected(
        steps=1,
        variables={
            "activation mean variance weight_sum weight_square": (
                "next_mean next_variance jacobian_norm"
            )
        },
        labels={"mean": [-0.1, 0.1], "variance": [0.8, 1.5]},
        states="dtype",
        unstated="seeds device threads",
    ),
}
"""What each experiment owes to its small protocol, by key."""


@cache
def recovered() -> xr.Dataset:
    """The study's networks of depths 5 and 10; the random stream reaches the others later."""
    settings = {"depths": (5, 10), "initializers": ("xavier_uniform",), "robust_depths": (1,)}
    left_out = {"points": 2, "deep_depth": 0, "spread_widths": ()}
    module = get("gradient-flow").module()
    dataset: xr.Dataset = module.run(module.Config(**settings, **left_out, seeds=1, threads=1))
    return dataset
