"""Findings are sentences whose numbers come from the dataset, and stay right when it changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from dataset_factory import flow, targets, trained

from actbench.pages import wording
from actbench.store.terminal import plural
from actbench.study import figures, findings
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments.activation_derivatives import findings as activation_derivatives
from actbench.study.experiments.closed_forms import findings as closed_forms
from actbench.study.experiments.gradient_flow import findings as gradient_flow
from actbench.study.experiments.sine_regression import findings as sine_regression
from actbench.study.findings import caption
from actbench.tracking.history.drawing import CAPTIONS as HISTORY_CAPTIONS

NAN = math.nan


def test_who_fits_is_told_by_the_noise() -> None:
    """Networks below the mean square of the noise, 0.01, have fitted some of it; others not."""
    text = sine_regression.findings(trained({"relu": [0.008, 0.009, 0.0085], "linear": [0.2] * 3}))
    assert text[0] == (
        "Median mean squared error over 3 seeds: ReLU 0.0085. The noise alone is 0.01, so this "
        "network has fitted some of it."
    )
    assert "ReLU is 2.0 % of the amplitude away (root mean square)." in text[1]
    assert text[2].startswith("Above the noise remains Linear 0.2; for comparison, the best")


def test_nobody_fits() -> None:
    """Without any network below the noise the sentence says just that."""
    first, second, *_ = sine_regression.findings(trained({"relu": [0.015] * 3, "tanh": [0.03] * 3}))
    assert first == "No activation's median over 3 seeds falls below the noise, 0.01."
    assert second.startswith("Above the noise remain ReLU 0.015 and Tanh 0.03;")


@pytest.mark.parametrize(
    ("epoch", "end"),
    [(70, "all of 3 leave it, at epochs 70 to 70 of 100."), (100, "none of 3 leaves it.")],
)
def test_a_long_plateau_is_told(epoch: int, end: str) -> None:
    """Only activations that stay long are named, with when they leave."""
    found = trained({"relu": [0.02] * 3, "sigmoid": [0.1] * 3}, escapes={"sigmoid": epoch})
    (sentence,) = [s for s in sine_regression.findings(found) if "plateau" in s]
    assert sentence.startswith("Sigmoid networks begin with a long plateau")
    assert sentence.endswith(end)


def test_gradients_and_moves_are_shares() -> None:
    """The activation with the least gradient in layer 1 is set apart from the others."""
    text = " ".join(sine_regression.findings(trained({k: [0.02] * 3 for k in ("relu", "gelu")})))
    assert "this share of the output layer's gradient magnitude: ReLU 0.1, but GELU 0.01." in text
    assert "layer 1 moved by 12 % (ReLU) and 12 % (GELU) of its initial norm." in text


def test_diverged_networks_are_told_and_break_nothing() -> None:
    """Numbers that are not finite never reach a sentence as if they were small."""
    found = trained({"relu": [0.02, NAN, NAN], "gelu": [0.02] * 3})
    found["diverged"][0, 1] = 7
    found["weight_displacement"][0] = NAN
    text = sine_regression.findings(found)
    assert "Above the noise remain ReLU infinite and GELU 0.02;" in text[1]
    assert "moved" not in " ".join(text)
    assert text[-1] == "relu: 1 of 3 seeds diverged, the first at epoch 7."


def test_a_published_value_that_does_not_reproduce_comes_last() -> None:
    """The study's own value stands beside the median."""
    text = sine_regression.findings(trained({"sigmoid": [0.08, 0.09, 0.1]}))
    assert text[-1] == (
        "sigmoid: the published 0.51815 does not reproduce; the median is 0.09, and 0 of 3 seeds "
        "end near the published value."
    )


def test_flow_tells_ratios_and_shares() -> None:
    """The ratio of the shallowest recovered depth, and the share of signal that arrives."""
    text = gradient_flow.findings(flow())
    assert text[0].endswith(
        "gives at 2 hidden layers these ratios of weight gradients, output layer over layer 1: "
        "ReLU 2 and Sigmoid 1e6."
    )
    assert text[2] == (
        "Under he_uniform (2 networks each), of the error signal of hidden layer 2 this share "
        "reaches layer 1: ReLU 0.5 and Sigmoid 0.01."
    )
    assert len(text) == 3
    both = gradient_flow.findings(flow().assign_coords(initializer=["xavier_normal", "he_normal"]))
    assert both[-1] == "Sigmoid loses the most under xavier_normal and he_normal alike."


def test_a_level_ratio_over_nothing_is_named() -> None:
    """Near 1 and tiny together is the trap; near 1 alone, or tiny alone, is not."""
    (sentence,) = gradient_flow.level_but_vanished(flow())
    assert sentence.startswith("At 3 hidden layers a ratio near 1 goes together with weight")
    assert sentence.endswith("vanished: ReLU has a ratio of 3 and gradients from 1e-12 to 3e-12.")
    assert gradient_flow.level_but_vanished(flow(scale=0.1)) == []
    steep = flow()
    steep["gradient_ratio"][0, 1] = 100.0
    assert gradient_flow.level_but_vanished(steep) == []


def test_flow_of_one_protocol_alone_is_told() -> None:
    """A run without the other protocol's depths has fewer findings and no error."""
    robust = flow().assign(gradient_magnitude=flow()["gradient_magnitude"] * NAN)
    assert all("reaches layer 1" in s or "loses" in s for s in gradient_flow.findings(robust))
    recovered = flow().assign(error_signal_rms=flow()["error_signal_rms"] * NAN)
    assert len(gradient_flow.findings(recovered)) == 2


def test_derivatives_tell_their_extremes() -> None:
    """Whoever leaves [0, 1] is named with where; rounding below 0 is not leaving."""
    z = np.linspace(-2, 2, 5)
    found = xr.Dataset(
        {
            "derivative": (
                ("activation", "z"),
                [[1] * 5, [-1e-9, 0, 0.2, 1, 1], [0, -0.5, 0, 1.5, 1]],
            )
        },
        coords={"activation": ["linear", "tanh", "gelu"], "z": z},
    )
    assert activation_derivatives.findings(found) == [
        "Derivatives for inputs from -2 to 2: Linear 1, Tanh 0 to 1 and GELU -0.5 to 1.5.",
        "Not every derivative stays between 0 and 1: that of GELU is -0.5 at z = -1 and 1.5 at "
        "z = 1.",
    ]
    assert len(activation_derivatives.findings(found.sel(activation=["linear", "tanh"]))) == 1


def test_closed_forms_tell_floors_and_tables() -> None:
    """Each target has a sentence, and the two tables one."""
    assert closed_forms.findings(targets()) == [
        "On the target noisy sine the best constant has a mean squared error of 0.5 and the best "
        "straight line 0.2; no output between 0 and 1 gets below 0.25.",
        "For the same set-up the study's report prints other losses than its model card, by these "
        "factors: Linear 2.",
    ]


def test_the_registry_knows_experiments_and_tolerates_others() -> None:
    """Each entry is an experiment's; one without an entry has no findings."""
    told = {key for key, experiment in EXPERIMENTS.items() if experiment.findings}
    assert {"sine-regression", "gradient-flow"} <= told
    assert findings.of("of-nobody", xr.Dataset()) == []


def test_captions_tolerate_unknown_figures() -> None:
    """A figure without a caption is called by its name; captions are whole sentences."""
    assert caption("my_own-figure") == "My own figure."
    captions = dict(HISTORY_CAPTIONS)
    for experiment in EXPERIMENTS.values():
        captions |= experiment.drawn("CAPTIONS")
    for name, text in captions.items():
        assert text.endswith("."), name
    drawn = {name for drawings in figures.FIGURES.values() for name in drawings}
    assert sorted(drawn - set(captions)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.008041415, "0.00804"),
        (2.6024e7, "2.6e7"),
        (1.94e-8, "1.94e-8"),
        (-0.12890, "-0.129"),
        (1e10, "1e10"),
        (0.0, "0"),
        (500.0, "500"),
        (math.inf, "infinite"),
        (-math.inf, "minus infinity"),
        (NAN, "not a number"),
    ],
)
def test_numbers_are_written_as_in_the_study(value: float, text: str) -> None:
    """Short exponents without padding, words where there is no number."""
    assert wording.number(value) == text


def test_lists_read_as_sentences() -> None:
    """Commas, then one 'and'; counts agree with their nouns."""
    assert [wording.listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert (plural(1, "seed"), plural(2, "seed")) == ("1 seed", "2 seeds")
