"""Each metric gives the number that its definition says, worked out by hand on small datasets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr

from actbench.claims.metrics import METRICS, definition, measure
from actbench.store import datasets
from actbench.store.errors import ActbenchError

NAN, INF = math.nan, math.inf


def training() -> xr.Dataset:
    """Two seeds of two activations, as sine-regression labels them."""
    by_member = ("activation", "seed")
    # activation, seed, recorded epoch, layer
    gradients = [
        [[[1.0, 2.0, 4.0], [9.0, 9.0, 9.0]], [[6.0, 2.0, 3.0], [9.0, 9.0, 9.0]]],
        [[[1.0, 5.0, 8.0], [7.0, 7.0, 7.0]], [[0.0, 2.0, 0.0], [7.0, 7.0, 7.0]]],
    ]
    losses = [
        [[0.6, 0.5, 0.49, 0.7], [0.4, 0.3, 0.2, 0.1]],
        [[0.6, 0.6, 0.6, 0.6], [0.6, NAN, 0.6, 0.1]],
    ]
    return xr.Dataset(
        {
            "loss": ((*by_member, "epoch"), losses),
            "final_mse": (by_member, [[2.0, 3.0], [4.0, 12.0]]),
            "final_mse_clean": (by_member, [[1.0, 5.0], [3.0, 1.0]]),
            "weight_displacement": (
                (*by_member, "layer"),
                [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[2.0, 8.0, 1.0], [2.0, 15.0, 1.0]]],
            ),
            "gradient_magnitude": ((*by_member, "recorded_epoch", "layer"), gradients),
            # around 3 + 2 x, whose residual is half of (1, -1, -1, 1); then an exact line
            "prediction": (
                (*by_member, "x"),
                [
                    [[0.5, 1.5, 3.5, 6.5], [-3.0, -1.0, 1.0, 3.0]],
                    [[0.0, 0.0, 0.0, 0.0], [NAN, 0.0, 0.0, 0.0]],
                ],
            ),
            "target_noisy": ("x", [2.0, 0.0, 1.0, -1.0]),
            "target_clean": ("x", [0.0, 0.0, 0.0, 0.0]),
        },
        coords={
            "activation": ["relu", "sigmoid"],
            "seed": [42, 43],
            "epoch": range(4),
            "recorded_epoch": [0, 1],
            "layer": [1, 2, 3],
            "x": [-1.5, -0.5, 0.5, 1.5],
        },
        attrs={"experiment": "sine-regression"},
    )


def flow() -> xr.Dataset:
    """Depths 1 and 2 of two activations, padded with NaN, as gradient-flow labels them."""
    robust = ("activation", "initializer", "seed", "depth", "layer")
    # One initializer, two seeds; layers 1 to 3, of which depth 1 has two.
    magnitude = [
        [[[[2.0, 4.0, NAN], [1.0, 5.0, 3.0]], [[2.0, 1.0, NAN], [4.0, 8.0, 2.0]]]],
        [[[[1.0, 8.0, NAN], [1.0, 2.0, 12.0]], [[5.0, 5.0, NAN], [2.0, 4.0, 5.0]]]],
    ]
    signal = [
        [[[[0.1, 0.4, NAN], [0.5, 2.0, 10.0]], [[0.3, 0.6, NAN], [3.0, 6.0, 4.0]]]],
        [[[[1.0, 1.0, NAN], [1.0, 1.0, 1.0]], [[1.0, 1.0, NAN], [1.0, 1.0, 1.0]]]],
    ]
    return xr.Dataset(
        {
            "gradient_ratio": (("activation", "depth"), [[1.5, 2.5], [3.5, 4.5]]),
            "gradient_magnitude": (
                ("activation", "depth", "layer"),
                [[[0.5, 2.0, NAN], [6.0, 3.0, 4.0]], [[1.0, 1.0, NAN], [1.0, 1.0, 1.0]]],
            ),
            "robust_gradient_magnitude": (robust, magnitude),
            "error_signal": (robust, signal),
        },
        coords={
            "activation": ["relu", "sigmoid"],
            "initializer": ["he_normal"],
            "seed": [42, 43],
            "depth": [1, 2],
            "layer": [1, 2, 3],
        },
    )


def units() -> xr.Dataset:
    """Three seeds of one activation, of which two are trained, as activation-statistics labels."""
    stages = ("activation", "stage", "initializer", "seed", "hidden_layer")

    def both(initial: list[list[float]], trained: list[list[float]]) -> Any:
        return (stages, [[[initial], [[*trained, [NAN] * 3]]]])

    zeros = [[0.0, 0.25, 0.5], [0.5, 0.5, 0.5], [0.75, 0.5, 1.0]]
    dead = [[0.0, 0.2, 0.4], [0.1, 0.1, 0.1], [1.0, 1.0, 1.0]]
    return xr.Dataset(
        {
            "zero_share": both(zeros, zeros[:2]),
            "pre_activation_mean": both([[9, 0, 1], [9, 1, 1], [9, 1, 0]], [[0] * 3] * 2),
            "pre_activation_std": both([[9, 1, 1], [9, 1, 0], [9, 0, 2]], [[0] * 3] * 2),
            "dead_unit_share": both(dead, [[0.1, 0.1, 0.1], [0.0, 0.4, 0.5]]),
            "saturated_share": both(zeros, [[0.6, 0.6, 0.6], [0.0, 0.2, 0.4]]),
            "trained": (("initializer", "seed"), [[1, 1, 0]]),
        },
        coords={
            "activation": ["relu"],
            "stage": ["initial", "trained"],
            "initializer": ["he"],
            "seed": [42, 43, 44],
            "hidden_layer": [1, 2, 3],
        },
    )


def cells() -> xr.Dataset:
    """Two seeds at four learning rates and two depths, as stability labels them."""
    won, lost = "converged", "stuck"
    shallow = [[won, won, won, lost], [lost, won, lost, lost]]
    return xr.Dataset(
        {
            "outcome": (
                ("activation", "skip", "depth", "seed", "learning_rate"),
                [[[shallow, [[lost] * 4] * 2]]],
            ),
            "stability_border": (
                ("activation", "skip", "depth", "seed"),
                [[[[0.1, 0.2], [0.05, 0.0]]]],
            ),
        },
        coords={"activation": ["relu"], "skip": [1], "depth": [5, 20], "seed": [42, 43]},
    )


def learned() -> xr.Dataset:
    """Two seeds of two depths on two targets, as capacity labels them."""
    dims = ("activation", "depth", "target", "seed")
    clean = [[[[9.0, 9.0], [1.0, 8.0]], [[0.25, 3.0], [2.0, 4.0]]]]
    losses = [[[[9.0, 9.0], [9.0, 9.0]], [[2.0, 6.0], [3.0, 5.0]]]]
    by_reference = ("target", "reference")
    return xr.Dataset(
        {
            "final_mse_clean": (dims, clean),
            "final_mse": (dims, losses),
            "reference_mse": (by_reference, [[2.0, 7.0], [3.0, 7.0]]),
            "reference_mse_clean": (by_reference, [[7.0, 7.0], [7.0, 0.5]]),
            "target_clean": (("target", "x"), [[1.0, 3.0], [-2.0, 2.0]]),
        },
        coords={
            "activation": ["relu"],
            "depth": [2, 10],
            "target": ["one", "two"],
            "reference": ["best_line", "spline"],
            "seed": [42, 43],
        },
    )


def dynamics() -> xr.Dataset:
    """Two seeds at two epochs, three hidden layers and an output layer."""
    first = [[1.0] * 4] * 2
    return xr.Dataset(
        {
            "error_signal": (
                ("activation", "seed", "recorded_epoch", "layer"),
                [[[first[0], [2.0, 9.0, 4.0, 7.0]], [first[1], [4.0, 9.0, 0.5, 7.0]]]],
            )
        },
        coords={"activation": ["relu"], "seed": [42, 43], "recorded_epoch": [0, 5]},
    )


def deep() -> xr.Dataset:
    """Two networks of 40 hidden layers, and two of six, as gradient-flow labels its later parts."""
    signal = 10 ** (0.02 * np.arange(41)) * [[1.0], [7.0]]
    magnitude = np.ones((2, 41))
    magnitude[0, [0, 4, 40]] = 2.0, 4.0, 6.0
    magnitude[1, [0, 38, 40]] = 8.0, 3.0, 2.0
    dims = ("activation", "initializer", "deep_seed", "layer")
    dataset = xr.Dataset(
        {
            "deep_error_signal": (dims, signal[None, None]),
            "deep_gradient_magnitude": (dims, magnitude[None, None]),
            "error_slope": (
                ("spread_activation", "width", "network"),
                [[[0.3, 0.5, 0.3, 0.5, NAN]]],
            ),
        },
        coords={
            "activation": ["relu"],
            "initializer": ["he_normal"],
            "deep_seed": [42, 43],
            "layer": range(1, 42),
            "spread_activation": ["relu"],
            "width": [10],
        },
    )
    settings = {"deep_depth": 40, "deep_points": 3, "width": 8}
    spread = {"spread_depth": 6, "spread_initializer": "he_normal"}
    return datasets.finish(dataset, "gradient-flow", {**settings, **spread}, {})


def other() -> xr.Dataset:
    """Derivatives on a grid and closed forms of targets."""
    return xr.Dataset(
        {
            "derivative": (("activation", "z"), [[0.0, 1.0, 1.0], [0.1, 0.25, 0.05]]),
            "best_line_mse": ("target", [0.2, 0.4]),
        },
        coords={
            "activation": ["relu", "sigmoid"],
            "z": [-1.0, 0.0, 2.0],
            "target": ["one", "two"],
        },
    )


def plateaus() -> xr.Dataset:
    """Two seeds at two depths and two values of Adam's eps, as plateau-escape labels them."""
    high, low = 0.51, 0.49
    stays, second, third = [high, high, high], [high, low, low], [high, high, low]
    dims = ("activation", "depth", "adam_eps", "seed")
    return xr.Dataset(
        {
            "loss": ((*dims, "epoch"), [[[[third, second]] * 2, [[stays] * 2, [second, stays]]]]),
            "plateau_gradient": (dims, [[[[1.0, 2.0]] * 2, [[3.0, 4.0], [5.0, 6.0]]]]),
        },
        coords={
            "activation": ["sigmoid"],
            "depth": [1, 2],
            "adam_eps": [0.25, 0.5],
            "seed": [42, 43],
        },
    )


def propagated() -> xr.Dataset:
    """Two seeds of two layers and two scales of input, as signal-propagation labels them."""
    dims = ("activation", "initializer", "width", "input_variance", "seed", "layer")

    def numbers(small: list[list[float]], large: list[list[float]]) -> Any:
        return (dims, [[[[small, large]]]])

    return xr.Dataset(
        {
            "born_dead_share": numbers([[0, 0.25, 1], [0, 0.5, 1]], [[1, 1, 1], [1, 1, 1]]),
            "dead_at_input_share": numbers([[0.5, 0.75, 1], [0.25, 1, 1]], [[0, 0, 0], [0, 0, 0]]),
            "activation_mean": numbers([[0, 1, 2], [2, 3, 4]], [[4, 5, 6], [6, 7, 8]]),
            "activation_variance": numbers([[1, 0, 2], [1, 0, 3]], [[9, 0, 4], [2, 0, 3.25]]),
        },
        coords={
            "activation": ["relu"],
            "initializer": ["he_normal"],
            "width": [2],
            "input_variance": [0.1, 16.0],
            "seed": [42, 43],
            "layer": [1, 2, 3],
        },
    )


def mapped() -> xr.Dataset:
    """Two variances and two sums of weights, as moment-map labels them."""
    dims = ("activation", "mean", "variance", "weight_sum", "weight_square")
    box = [[[[-0.5], [0.25]], [[1e-12], [0.75]]]]
    return xr.Dataset(
        {
            "next_mean": (dims, [box]),
            "next_variance": (dims, [[[[[1.0], [3.0]], [[2.0], [5.0]]]]]),
            "jacobian_norm": (dims, [np.abs(box)]),
        },
        coords={
            "activation": ["relu"],
            "mean": [0.0],
            "variance": [0.5, 4.0],
            "weight_sum": [0.0, 0.1],
            "weight_square": [1.0],
        },
    )


R: dict[str, Any] = {"activation": "relu"}
S: dict[str, Any] = {"activation": "sigmoid"}
S_OVER_R: dict[str, Any] = {**S, "over": "relu"}
AT: dict[str, Any] = {"initializer": "he_normal", "depth": 2}
HE: dict[str, Any] = {"initializer": "he_normal"}
SPREAD = math.sqrt(5 * 5 / 10) / (2 * math.log(10)) / 5

CASES: list[tuple[str, dict[str, Any], xr.Dataset, list[float]]] = [
    ("final_mse", S, training(), [4, 12]),
    ("final_mse_clean", R, training(), [1, 5]),
    ("final_mse_ratio", S_OVER_R, training(), [2, 4]),
    ("final_mse_clean_ratio", S_OVER_R, training(), [3, 0.2]),
    # the noise is (2, 0, 1, -1), of mean square 1.5
    ("final_mse_over_noise", S, training(), [8 / 3, 8]),
    # residuals of 0.5 over a slope of 2 times the spread of x, sqrt(1.25)
    ("deviation_from_line", R, training(), [0.5 / (2 * math.sqrt(1.25)), 0]),
    ("escape_epoch", R, training(), [2, 0]),
    ("escape_epoch", S, training(), [INF, 3]),
    ("weight_displacement", {**R, "layer": 2}, training(), [2, 5]),
    ("weight_displacement_over", {**S_OVER_R, "layer": 2}, training(), [4, 3]),
    ("training_gradient_share", {**R, "layer": 1}, training(), [0.25, 2]),
    ("training_gradient_share", {**S, "layer": 1}, training(), [0.125, NAN]),
    ("early_loss", {**R, "epoch": 1}, training(), [0.5, 0.3]),
    ("first_gradient", {**S, "layer": 2}, training(), [5, 2]),
    ("loss_of_seed", {**R, "epoch": 1, "seed": 43}, training(), [0.3]),
    (
        "gradient_of_seed",
        {**S, "layer": 2, "recorded_epoch": 0, "seed": 43},
        training(),
        [2],
    ),
    ("recovered_smallest", {**R, "depth": 2}, flow(), [3]),
    ("recovered_ratio", {**S, "depth": 2}, flow(), [4.5]),
    ("recovered_magnitude", {**R, "depth": 2, "layer": 3}, flow(), [4]),
    ("recovered_spread", {**R, "depth": 2}, flow(), [2]),
    ("recovered_spread", {**R, "depth": 1}, flow(), [4]),
    ("robust_ratio", {**R, **AT}, flow(), [3, 0.5]),
    ("robust_ratio", {**R, **AT, "depth": 1}, flow(), [2, 0.5]),
    ("ratio_factor", {**S_OVER_R, **AT}, flow(), [4, 5]),
    ("error_share", {**R, **AT}, flow(), [0.25, 0.5]),
    ("error_share_of_output", {**R, **AT}, flow(), [0.05, 0.75]),
    ("initial_zero_share", {**R, "initializer": "he"}, units(), [0.25, 0.5, 0.75]),
    # (mean^2 + std^2) of layer 3 over that of layer 2, one step
    ("square_gain", {**R, "initializer": "he"}, units(), [2, 0.5, 4]),
    ("dead_share", {**R, "initializer": "he"}, units(), [0.1, 0.3]),
    ("dead_share_ratio", {**R, "initializer": "he"}, units(), [0.5, 3]),
    ("saturated_share", {**R, "initializer": "he"}, units(), [0.6, 0.2]),
    ("final_error_share", R, dynamics(), [0.5, 8]),
    ("stability_border", {**R, "skip": 1, "depth": 5}, cells(), [0.1, 0.2]),
    (
        "stability_border_ratio",
        {**R, "skip": 1, "depth": 20, "over_depth": 5},
        cells(),
        [0.5, 0],
    ),
    ("converged_share", {**R, "skip": 1, "depth": 5}, cells(), [0.75, 0.25]),
    # the first target varies by 1 around its mean, the second by 4
    ("clean_share", {**R, "target": "two", "depth": 10}, learned(), [0.5, 1]),
    ("largest_clean_share", {**R, "depth": 10}, learned(), [0.5, 3]),
    ("smallest_clean_share", {**R, "depth": 10}, learned(), [0.25, 1]),
    (
        "depth_error_ratio",
        {**R, "target": "two", "depth": 10, "over_depth": 2},
        learned(),
        [2, 0.5],
    ),
    (
        "error_over_reference",
        {**R, "target": "two", "depth": 10, "reference": "spline"},
        learned(),
        [4, 8],
    ),
    # losses (2, 6) and (3, 5) over best lines of 2 and 3
    ("loss_over_best_line", {**R, "depth": 10}, learned(), [1, 3]),
    # ReLU under He keeps the error signal as it is, so that all of the slope is beyond theory
    # without either network the pool has the same slope, and so has each pseudo-value
    ("theory_gap", {**R, **HE}, deep(), [0.02, 0.02]),
    ("pooled_slope", {**R, **HE}, deep(), [0.02, 0.02]),
    ("deep_slope_size", {**R, **HE}, deep(), [0.02, 0.02]),
    ("deep_error_share", {**R, **HE}, deep(), [10**-0.8, 10**-0.8]),
    ("deep_gradient_ratio", {**R, **HE}, deep(), [3, 0.25]),
    ("deep_largest_gradient", {**R, **HE}, deep(), [4, 3]),
    # four networks 0.1 from their mean, of variance 0.04 / 3, which it stays without any of them;
    # five steps of relative variance 5 / 10, in decades
    ("spread_over_theory", R, deep(), [math.sqrt(0.04 / 3) / SPREAD] * 4),
    ("derivative_min", S, other(), [0.05]),
    ("derivative_max", S, other(), [0.25]),
    ("derivative_at", {**S, "z": 0.9}, other(), [0.25]),
    ("derivative_at", {**S, "z": 1.1}, other(), [0.05]),
    ("closed_form", {"quantity": "best_line_mse", "target": "two"}, other(), [0.4]),
    ("largest_derivative_at", S, other(), [0]),
    ("smallest_derivative_above_zero", S, other(), [0.05]),
    ("largest_derivative_step", S, other(), [0.2]),
    ("escape_epoch_at", {**S, "depth": 2, "adam_eps": 0.5}, plateaus(), [1, INF]),
    (
        "escape_epoch_ratio",
        {**S, "depth": 1, "adam_eps": 0.25, "over_depth": 2, "over_adam_eps": 0.5},
        plateaus(),
        [2, 0],
    ),
    (
        "plateau_gradient_over_eps",
        {**S, "depth": 2, "adam_eps": 0.25},
        plateaus(),
        [12, 16],
    ),
    ("born_dead_share", {**R, **AT, "width": 2}, propagated(), [0.25, 0.5]),
    ("dead_at_input_share", {**R, **AT, "width": 2}, propagated(), [0.75, 1]),
    (
        "carried_mean",
        {**R, **HE, "width": 2, "input_variance": 16, "layer": 2},
        propagated(),
        [5, 7],
    ),
    (
        "carried_variance",
        {**R, **HE, "width": 2, "input_variance": 0.1, "layer": 3},
        propagated(),
        [2, 3],
    ),
    # differences of 8 and 1 in layer 1, of 2 and 1/4 in layer 3, two layers above
    (
        "difference_kept",
        {**R, **HE, "width": 2, "layer": 3, "over_layer": 1},
        propagated(),
        [0.5, 0.5],
    ),
    ("mapped_mean_low", R, mapped(), [-0.5]),
    ("mapped_mean_high", R, mapped().isel(weight_sum=[0]), [0]),
    ("mapped_variance_low", R, mapped(), [1]),
    ("mapped_variance_high", R, mapped(), [5]),
    ("variance_gain_low", R, mapped(), [0.5]),
    ("variance_gain_high", R, mapped(), [6]),
    ("jacobian_norm_high", R, mapped(), [0.75]),
]


@pytest.mark.parametrize(
    ("name", "arguments", "dataset", "expected"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_metric(
    name: str, arguments: dict[str, Any], dataset: xr.Dataset, expected: list[float]
) -> None:
    """The values are those worked out by hand, one per seed, in float64."""
    values = measure({"name": name, **arguments}, dataset)
    assert values.dtype == np.float64
    assert values.shape == (len(expected),)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)


def test_every_metric_is_worked_out_here_and_says_what_it_is() -> None:
    """None is left untested, and each has a definition of one sentence."""
    assert {case[0] for case in CASES} == set(METRICS)
    for name in METRICS:
        assert definition(name).endswith(".")
    assert definition("final_mse") == (
        "Mean squared error on the noisy targets after the last update, infinite if it diverged."
    )


@pytest.mark.parametrize("end", [NAN, INF])
@pytest.mark.parametrize(
    ("name", "arguments", "dataset", "expected"),
    [
        ("final_mse", S, training(), [4, INF]),
        ("final_mse_clean", S, training(), [3, INF]),
        ("final_mse_ratio", S_OVER_R, training(), [2, NAN]),
        ("final_mse_over_noise", S, training(), [8 / 3, NAN]),
        ("weight_displacement", {**S, "layer": 2}, training(), [8, NAN]),
        ("smallest_clean_share", {**R, "depth": 10}, learned(), [0.25, INF]),
        ("loss_over_best_line", {**R, "depth": 10}, learned(), [1, INF]),
    ],
)
def test_divergence_counts_as_the_definition_says_however_it_ends(
    end: float, name: str, arguments: dict[str, Any], dataset: xr.Dataset, expected: list[float]
) -> None:
    """Whether the second seed overflows or ends in NaN; one infinite error over another is none."""
    spoiled = dataset.copy(deep=True)
    for variable in ("final_mse", "final_mse_clean", "weight_displacement"):
        if variable in spoiled:
            spoiled[variable].loc[{"seed": 43}] = end
    np.testing.assert_allclose(measure({"name": name, **arguments}, spoiled), expected)


def test_an_infinite_error_is_the_larger_one() -> None:
    """Of a run that did not diverge beside one that did, in either order."""
    spoiled = training()
    spoiled["final_mse"].loc[{"activation": "sigmoid", "seed": 43}] = NAN
    over, under = (
        {"activation": one, "over": two} for one, two in (("relu", "sigmoid"), ("sigmoid", "relu"))
    )
    assert measure({"name": "final_mse_ratio", **over}, spoiled).tolist() == [0.5, 0]
    assert measure({"name": "final_mse_ratio", **under}, spoiled).tolist() == [2, INF]


@pytest.mark.parametrize("layer", [0, 2])
def test_an_error_signal_that_overflowed_is_no_share(layer: int) -> None:
    """Neither the whole of the last hidden layer's nor nothing of it."""
    spoiled = dynamics()
    spoiled["error_signal"][{"seed": 1, "layer": layer}] = INF
    np.testing.assert_equal(measure({"name": "final_error_share", **R}, spoiled), [0.5, NAN])


def test_diverged_members_give_no_number_and_no_warning() -> None:
    """A constant has no best slope, and a prediction of NaN no distance: neither is a number."""
    values = measure({"name": "deviation_from_line", **S}, training())
    assert not np.isfinite(values).any()


@pytest.mark.parametrize(
    ("metric", "dataset", "text"),
    [
        ({"name": "final_mse"}, training(), "missing 1 required .* 'activation'"),
        ({"name": "final_mse", **R, "depth": 2}, training(), "unexpected keyword .* 'depth'"),
        ({"name": "final_mse", "activation": "gelu"}, training(), "'gelu'"),
        ({"name": "final_mse", **R}, flow(), "'an unknown experiment': .*final_mse"),
        ({"name": "recovered_ratio", **R, "depth": 2}, training(), "'sine-regression'.*ratio"),
        ({"name": "recovered_magnitude", **R, "depth": 2, "layer": 1}, training(), "depth"),
        ({"name": "weight_displacement", **R, "layer": 9}, training(), "9"),
    ],
)
def test_wrong_arguments_are_named(metric: dict[str, Any], dataset: xr.Dataset, text: str) -> None:
    """A metric that the dataset can't answer says so, with metric, experiment and cause."""
    with pytest.raises(ActbenchError, match=text) as error:
        measure(metric, dataset)
    assert metric["name"] in str(error.value)
