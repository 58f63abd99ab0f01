"""What was found in each experiment, and captions of its figures, from its dataset alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from actbench.study.experiments.activation_derivatives import findings
from actbench.study.experiments.activation_statistics import findings as activation_statistics
from actbench.study.experiments.capacity import findings as capacity
from actbench.study.experiments.closed_forms import findings as closed_forms
from actbench.study.experiments.gradient_flow import findings as gradient_flow
from actbench.study.experiments.plateau_escape import findings as plateau_escape
from actbench.study.experiments.sine_regression import findings as sine_regression
from actbench.study.experiments.stability import findings as stability
from actbench.study.experiments.training_dynamics import findings as training_dynamics

if TYPE_CHECKING:
    import xarray as xr


CAPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "learned_functions": "What the trained networks compute, one panel per activation: the "
        "median and band over seeds, on the noisy points they were trained on. A network that has "
        "learned the sine covers the dashed line.",
        "loss_curves": "Training loss over the epochs. Dotted lines are the errors of the best "
        "constant, the best straight line and the noise: a curve that rests on one of them has "
        "learned no more than that, and one below the noise has begun to fit it.",
        "gradient_flow": "Mean weight gradient of every layer at several moments of the training. "
        "A curve that falls to the left loses gradient on the way from the loss to the input.",
        "hidden_activations": "What each unit of some hidden layers gives for every input, after "
        "training, one seed. Units that give zero for every input are counted as dead.",
        "summary_figure": "The experiment in nine panels: data and floors, training, final errors "
        "of every seed, gradients before and after training, what is left of the error, and the "
        "learned functions.",
        "exp1_gradient_flow": "Above: weight gradients of every layer, which the study's ratio is "
        "made of; a level curve has a ratio near 1, however small the gradients are. Below: the "
        "error signal that reaches each layer; its slope says how fast it is lost, and thin lines "
        "what mean-field theory predicts. A weight gradient is the error signal times the layer's "
        "input: where the one shrinks toward the input and the other toward the output, the "
        "product stays level and hides it.",
        "theory_error_signals": "Above: the error signal of every layer of deep networks, with "
        "what mean-field theory predicts (thin lines). Below: error signal and weight gradient of "
        "one such network side by side, the ratio of both for every activation, and how far "
        "measured slopes lie from predicted ones. A wide gap in the middle panel is a signal that "
        "the published ratio does not show.",
        "theory_width": "Networks of one width differ in how fast their error signal shrinks, by a "
        "spread that falls as 1/√width: theory is exact only for infinitely wide ones. Each dot is "
        "a network, about the predicted slope; the gray band is the predicted spread.",
        "exp2_activation_distributions": "Where the values before and after the activation lie in "
        "every hidden layer, before and after training. A band that closes to the right is a "
        "signal that dies on its way forward.",
        "exp2_sparsity_dead_neurons": "Shares of outputs that are zero or nearly so, of units that "
        "are dead (zero on every input), and of saturated outputs, in every hidden layer, before "
        "and after training.",
        "exp3_stability": "What became of every training over learning rate and depth, one panel "
        "per activation.",
        "exp4_predictions": "What the networks learned of several targets, beside two classical "
        "fits of the same points.",
        "exp4_representational_heatmap": "The error against the clean target, for every target, "
        "activation and depth, and that of classical fits of the same points.",
        "activation_evolution": "The size of every hidden layer's output during training, one "
        "panel per activation and one curve per layer, which the bar tells apart.",
        "gradient_evolution": "Weight gradients (above) and error signals (below) of every layer "
        "during training. Curves that start far apart and come together are layers that begin "
        "without a gradient and get one.",
        "training_dynamics_functions": "What one network per activation has learned after some "
        "numbers of updates.",
        "training_dynamics_summary": "The training in six panels: loss, size of the last hidden "
        "layer, gradient of layer 1, its share of the output layer's, the share of the error "
        "signal that reaches layer 1, and the distance from the clean sine.",
        "depth_decides": "Share of seeds whose network is still on the plateau of the best "
        "constant at the end, over the number of hidden layers, with its 95 % interval; one curve "
        "per eps of Adam. The study documents 10 hidden layers and ran 11.",
        "history_verdicts": "The verdict of every claim that was measured for the records, a "
        "column per torch release; those that never change share a row. A frame marks a verdict "
        "that is not the one measured before, an exclamation mark one that the claims file "
        "does not expect.",
        "history_margins": "How far each verdict is from flipping, where that changes, the nearest "
        "first; last the nearest of those that never change. Cells that stand out are near; a "
        "number stands where it is not the one before.",
        "history_drift": "How much the numbers of every chain of fingerprints changed: on the left "
        "since the release before, on the right since the first. Names in bold changed at least "
        "once.",
        "history_speed": "How long each workload takes, relative to the control and to the first "
        "release that timed it, with the interval of its noise. Above 1 is slower.",
        "learned_functions.gif": "What every network has learned, as it learns it: one panel per "
        "activation, one line per seed.",
    }
)


def caption(figure: str) -> str:
    """Say what is seen in a figure."""
    return CAPTIONS.get(figure, f"{figure.replace('_', ' ').replace('-', ' ').capitalize()}.")


FINDINGS: Mapping[str, Callable[[xr.Dataset], list[str]]] = MappingProxyType(
    {
        "sine-regression": sine_regression.findings,
        "gradient-flow": gradient_flow.findings,
        "activation-statistics": activation_statistics.findings,
        "stability": stability.findings,
        "capacity": capacity.findings,
        "training-dynamics": training_dynamics.findings,
        "plateau-escape": plateau_escape.findings,
        "activation-derivatives": findings.findings,
        "closed-forms": closed_forms.findings,
    }
)
"""Experiment key to the function that says what was found."""


def of(experiment: str, ds: xr.Dataset) -> list[str]:
    """Say what was found in an experiment."""
    found = FINDINGS.get(experiment)
    return [] if found is None else found(ds)
