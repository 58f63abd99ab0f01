"""The study of activation functions, registered as another package would register its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from actbench.store.files import baselines_folder
from actbench.store.studies import Experiment, Study


def _experiment(key: str, summary: str, *parts: str, **what: bool) -> Experiment:
    """Register the experiment whose folder below ``experiments`` has its name, and these files."""
    place = f"actbench.study.experiments.{key.replace('-', '_')}"
    return Experiment(
        key,
        summary,
        f"{place}.experiment",
        tuple(part if "." in part else f"{place}.{part}" for part in parts if "metrics" in part),
        figures=f"{place}.figures" if "figures" in parts else "",
        findings=f"{place}.findings" if "findings" in parts else "",
        **what,
    )


def _by_key(*experiments: Experiment) -> Mapping[str, Experiment]:
    return MappingProxyType({experiment.key: experiment for experiment in experiments})


EXPERIMENTS = _by_key(
    _experiment(
        "sine-regression",
        "10x64 networks fitted to a noisy sine: losses, gradients, learned functions",
        *("metrics", "figures", "findings"),
        resumable=True,
    ),
    _experiment(
        "gradient-flow",
        "gradients of every layer at initialization, depths 5 to 50",
        *("metrics", "figures", "findings"),
        whole=True,
    ),
    _experiment(
        "activation-statistics",
        "distributions, zeros, dead and saturated units of every layer, before and after",
        *("metrics", "figures", "findings"),
        resumable=True,
        whole=True,
    ),
    _experiment(
        "stability",
        "which learning rates train which depths, with and without skip connections",
        *("metrics", "figures", "findings"),
        resumable=True,
    ),
    _experiment(
        "capacity",
        "six functions learned by a shallow and a deep network of one parameter count",
        *("metrics", "figures", "findings"),
        resumable=True,
    ),
    _experiment(
        "training-dynamics",
        "activations, error signals, gradients and learned functions while training",
        *("metrics", "figures", "findings"),
        resumable=True,
    ),
    _experiment(
        "plateau-escape",
        "which depths leave the plateau of the best constant in time, and Adam's eps in it",
        *("metrics", "figures", "findings"),
        resumable=True,
    ),
    _experiment(
        "activation-derivatives",
        "the derivative of every activation, on a grid",
        *("actbench.study.experiments.closed_forms.metrics", "findings"),
    ),
    _experiment(
        "closed-forms",
        "what follows from the targets alone: floors of constant and line",
        *("metrics", "findings"),
    ),
)
"""Experiment key to experiment."""

FURTHER = _by_key(
    _experiment(
        "signal-propagation",
        "very many small random networks: which are born dead, mean and variance per layer",
        "metrics",
    ),
    _experiment(
        "moment-map",
        "how one layer maps mean and variance of what enters it, without networks",
        "metrics",
    ),
)
"""Experiments that the further files of claims need; ``actbench reproduce`` runs none of them."""

DEFINITIONS: Mapping[str, tuple[str, str]] = {
    "loss": ("mean squared error on the noisy targets, before the update of that epoch", "1"),
    "final_mse": ("mean squared error on the noisy targets, after the last update", "1"),
    "final_mse_clean": ("mean squared error on the targets without noise, at the end", "1"),
    "gradient_magnitude": ("mean |d loss / d W| over one layer's weights, before the update", "1"),
    "gradient_ratio": ("gradient magnitude of the output layer over that of layer 1", "1"),
    "robust_gradient_magnitude": ("mean |d loss / d W| over one layer's weights", "1"),
    "error_signal": ("root of the mean over inputs and units of (d loss / d z)^2", "1"),
    "error_signal_rms": ("as error_signal, pooled over networks too", "1"),
    "deep_gradient_magnitude": ("as robust_gradient_magnitude, of the deep part", "1"),
    "deep_error_signal": ("as error_signal, of the deep part", "1"),
    "deep_preactivation_square": ("mean over inputs and units of z^2, of the deep part", "1"),
    "error_slope": ("growth of one network's error_signal per layer toward the output", "decade"),
    "plateau_gradient": ("gradient magnitude of layer 1 at the epoch that the protocol names", "1"),
    "adam_eps": ("what Adam adds to the root of its second moment", "1"),
    "weight_displacement": ("distance of a layer's weights from their start, over their norm", "1"),
    "value": ("the activation at z", "1"),
    "derivative": ("derivative of the activation at z", "1"),
    "backward_difference": ("(value at z - value at z - 1e-5) / 1e-5", "1"),
    "forward_difference": ("(value at z + 1e-5 - value at z) / 1e-5", "1"),
    "pre_activation_mean": ("mean over the inputs and units of a hidden layer, of z", "1"),
    "pre_activation_std": ("standard deviation over inputs and units, of z", "1"),
    "pre_activation_quantile": ("quantiles over inputs and units, of z", "1"),
    "activation_mean": ("mean over the inputs and units of a hidden layer, of its output", "1"),
    "activation_std": ("standard deviation over inputs and units, of a layer's output", "1"),
    "activation_quantile": ("quantiles over inputs and units, of a layer's output", "1"),
    "activation_rms": ("root mean square over inputs and units, of a layer's output", "1"),
    "zero_share": ("share of a hidden layer's outputs that are exactly zero", "1"),
    "near_zero_share": ("share of outputs whose absolute value is below epsilon", "1"),
    "dead_unit_share": ("share of units whose output is exactly zero on every input", "1"),
    "saturated_share": ("share of outputs where the derivative is nearly zero", "1"),
    "saturated_unit_share": ("share of units whose derivative is nearly zero everywhere", "1"),
    "trained": ("1 where a network was trained, 0 where it was looked at initially alone", "1"),
    "trained_mse": ("mean squared error on the noisy targets of a trained network", "1"),
    "learned_function": ("output of the network before the update of the recorded epoch", "1"),
    "prediction": ("output of the trained network", "1"),
    "hidden_activation": ("activations of the first seed's trained network", "1"),
    "diverged": ("first epoch with a non-finite loss, -1 if there is none", "epoch"),
    "outcome": ("what became of the training, by the rules in the protocol", "1"),
    "loss_peak": ("largest loss over the larger of first loss and best constant's error", "1"),
    "stability_border": ("largest learning rate that converges, 0 if none does", "1"),
    "learning_rate": ("Adam's step size", "1"),
    "skip": ("1 where hidden layers but the first add their input to their output", "1"),
    "width": ("units per hidden layer", "1"),
    "parameters": ("weights and biases of one network", "1"),
    "reference_prediction": ("a classical fit of the noisy targets", "1"),
    "reference_mse": ("mean squared error of the fit on the noisy targets", "1"),
    "reference_mse_clean": ("mean squared error of the fit on the targets without noise", "1"),
    "kernel_ridge_freedom": ("effective number of parameters of kernel_ridge", "1"),
    "target_noisy": ("what the networks were trained on", "1"),
    "target_clean": ("the function without noise", "1"),
    "layer": ("1 is nearest the input, the last is the output layer", "1"),
    "epoch": ("number of updates made before", "epoch"),
    "stage": ("where the networks start, or after the last update", "1"),
    "level": ("probability below the quantile", "1"),
    "recorded_epoch": ("number of updates made before what is recorded", "epoch"),
    "hidden_layer": ("1 is nearest the input", "1"),
    "x": ("input of the network", "rad"),
    "born_dead_share": ("share of networks with a layer, this or below, zero on every input", "1"),
    "dead_at_input_share": ("share of networks with such a layer on one input alone", "1"),
    "pre_activation_variance": ("variance of z, pooled over networks, inputs and units", "1"),
    "activation_variance": ("variance of a layer's outputs, pooled likewise", "1"),
    "input_variance": ("variance to which the inputs are scaled", "1"),
    "next_mean": ("mean of a unit's output, from the moments of what enters it", "1"),
    "next_variance": ("variance of a unit's output, likewise", "1"),
    "jacobian_norm": ("largest singular value of the map's derivative, one layer", "1"),
    "mean": ("mean of a layer's inputs", "1"),
    "variance": ("variance of a layer's inputs", "1"),
    "weight_sum": ("sum of a unit's weights", "1"),
    "weight_square": ("sum of the squares of a unit's weights", "1"),
}
"""Definition and unit of every variable and coordinate that needs one."""

STUDY = Study(
    name="activation-functions",
    title="Activation Functions: Deep Neural Network Analysis",
    experiments=(*EXPERIMENTS.values(), *FURTHER.values()),
    claims=baselines_folder() / "published.toml",
    further=tuple(sorted((baselines_folder() / "studies").glob("*.toml"))),
    definitions=DEFINITIONS,
    parts={
        "commands": "actbench.study.commands",
        "names": "actbench.study.catalog.names",
        "remarks": "actbench.study.robustness.sentences",
        "tests": "actbench.study.pytest_activation",
        "own": "actbench.study.own",
        "screen": "actbench.study.commands.session",
        "estimates": "actbench.study.commands.session",
        "devices": "actbench.study.nets.devices",
        "fingerprints": "actbench.study.fingerprints",
        "modules": "actbench.study.fingerprints",
        "timings": "actbench.study.timings",
    },
)
"""What ``pyproject.toml`` names as an entry point."""
