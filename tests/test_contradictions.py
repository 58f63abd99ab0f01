"""For every claim, data made to contradict its pinned verdict makes its test fail.

A test that cannot fail proves nothing. So each claim is given a dataset, in the shape that its
experiment writes, on which another verdict is right, and its test must end in a failure: not in a
pass, and not in the expected failure that a claim which does not hold has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from actbench import claims
from actbench.claims import Claim, Relation, Verdict, measured, metrics
from actbench.claims.verdicts import Judgment, judge, judge_values
from actbench.pytest_plugin.claim_tests import NotReproduced, check_expected
from actbench.store import datasets
from actbench.study import theory
from actbench.study.catalog import initializers

FILE = claims.published()
# What is pinned as undecided has nothing that could contradict it.
TESTABLE = [
    claim
    for claim in FILE.claim
    if claim.expected not in {Verdict.NOT_TESTABLE, Verdict.INCONCLUSIVE}
]
BY_ID = pytest.mark.parametrize("subject", TESTABLE, ids=lambda claim: claim.id)
# More than the wording "every" needs at this file's level.
SEEDS = 200

Values = npt.NDArray[np.float64]
Metric = Mapping[str, Any]


def made(
    metric: Metric, names: tuple[str, ...], variables: Mapping[str, Any], **coords: Any
) -> xr.Dataset:
    """A dataset at the one place that a metric names."""
    dataset = xr.Dataset(dict(variables), coords=coords)
    return dataset.expand_dims({name: [metric[name]] for name in names if name in metric})


def per_member(metric: Metric, variable: str, values: Values) -> xr.Dataset:
    """A variable by activation and seed: the values for one activation, 1 for the other."""
    names = [metric["activation"], metric.get("over", "another")]
    both = ("activation", "seed"), [values, np.ones_like(values)]
    return xr.Dataset({variable: both}, coords={"activation": names})


def over_noise(metric: Metric, values: Values) -> xr.Dataset:
    """Final errors on targets whose noise has a mean square of 1."""
    dataset = per_member(metric, "final_mse", values)
    return dataset.assign(target_noisy=("x", [1.0, -1.0]), target_clean=("x", [0.0, 0.0]))


def bent_lines(metric: Metric, values: Values) -> xr.Dataset:
    """Lines plus what no line has: (1, -1, -1, 1) is at right angles to 1 and to x."""
    x = np.array([-1.5, -0.5, 0.5, 1.5])
    bent = x / np.sqrt(1.25) + values[:, None] * np.array([1.0, -1.0, -1.0, 1.0])
    return made(metric, ("activation",), {"prediction": (("seed", "x"), bent)}, x=x)


def escapes(metric: Metric, values: Values) -> xr.Dataset:
    """Losses that leave the plateau at the given epochs."""
    epochs = np.arange(1001)
    loss = ("seed", "epoch"), np.where(epochs >= values[:, None], 0.1, 0.518)
    return made(metric, ("activation",), {"loss": loss}, epoch=epochs)


def plateaus(metric: Metric, values: Values) -> xr.Dataset:
    """Losses that leave the plateau at the given epochs in one cell, at epoch 500 in the others."""
    cell, other = (escapes(metric, v)["loss"][0] for v in (values, np.full_like(values, 500)))
    dims = ("depth", "adam_eps", "seed", "epoch")
    return made(
        metric,
        ("activation",),
        {"loss": (dims, np.array([[cell, other], [other, other]]))},
        depth=[metric["depth"], metric.get("over_depth", 99)],
        adam_eps=[metric["adam_eps"], metric.get("over_adam_eps", 9.0)],
    )


def of_seed(metric: Metric, values: Values) -> xr.Dataset:
    """One seed's loss and gradient, at the one epoch and layer that are asked for."""
    names = ("activation", "seed", "epoch", "recorded_epoch", "layer")
    return made(metric, names, {"gradient_magnitude" if "layer" in metric else "loss": values[0]})


def displaced(metric: Metric, values: Values) -> xr.Dataset:
    """Weights of one layer that moved so far; the other activation's moved by their norm."""
    dataset = per_member(metric, "weight_displacement", values)
    return dataset.expand_dims(layer=[metric["layer"]], axis=2)


def first_gradients(metric: Metric, values: Values) -> xr.Dataset:
    """Gradients at epoch 0: the values in one layer, 1 in the output layer after it."""
    layers = ("seed", "layer"), np.stack([values, np.ones_like(values)], axis=1)
    coords = {"layer": [metric["layer"], 99]}
    dataset = made(metric, ("activation",), {"gradient_magnitude": layers}, **coords)
    return dataset.expand_dims(recorded_epoch=[0])


def recovered(metric: Metric, values: Values) -> xr.Dataset:
    """One network's ratio, and magnitudes of which the first is 1, or larger than the value."""
    layer = metric.get("layer", 2)
    first = max(1.0, 2 * values[0]) if metric["name"] == "recovered_smallest" else 1.0
    variables = {"gradient_ratio": values[0], "gradient_magnitude": ("layer", [first, values[0]])}
    return made(metric, ("activation", "depth"), variables, layer=[layer - 1, layer])


def robust(
    variable: str, numerator: Callable[[int], int], denominator: Callable[[int], int]
) -> Any:
    """A function that puts the values into one layer, given the depth, and 1 into another."""

    def build(metric: Metric, values: Values) -> xr.Dataset:
        depth = metric["depth"]
        ones = np.ones_like(values)
        both = [np.stack(pair, axis=1) for pair in ((values, ones), (ones, ones))]
        return made(
            metric,
            ("initializer", "depth"),
            {variable: (("activation", "seed", "layer"), both)},
            activation=[metric["activation"], metric.get("over", "another")],
            layer=[numerator(depth), denominator(depth)],
        )

    return build


def derivative(metric: Metric, values: Values, offset: float) -> xr.Dataset:
    """A derivative with the value as its extreme."""
    return made(metric, ("activation",), {"derivative": ("z", [values[0] + offset, values[0]])})


def deep(metric: Metric, variable: str, values: Values) -> xr.Dataset:
    """A variable of the deep part, values of shape (network, layer) at depth 50."""
    layers = ("deep_seed", "layer"), values
    dataset = made(metric, ("activation", "initializer"), {variable: layers})
    settings = {"deep_depth": 50, "deep_points": 4, "width": 64}
    return datasets.finish(dataset, "gradient-flow", settings, {})


def deep_slope(metric: Metric, values: Values) -> xr.Dataset:
    """Networks whose error signal grows so many decades per layer, beyond theory if asked."""
    signal = 10.0 ** (values[0] * np.arange(51))
    if metric["name"] == "theory_gap":
        x = np.linspace(-np.pi, np.pi, 4)
        initializer = initializers.get(metric["initializer"])
        expected = theory.predict(metric["activation"], initializer, x, depth=50, width=64)
        signal = signal * expected.error_signal_rms
    return deep(metric, "deep_error_signal", np.tile(signal, (len(values), 1)))


def deep_ends(metric: Metric, variable: str, values: Values, at: int) -> xr.Dataset:
    """The values in one layer of 51, a negligible number in the others, 1 at the other end."""
    layers = np.full((len(values), 51), 1e-200)
    layers[:, 0 if at else 50] = 1.0
    layers[:, at] = values
    return deep(metric, variable, layers)


def spread(metric: Metric, values: Values) -> xr.Dataset:
    """Networks of width 64 whose slopes differ by so many times what theory says."""
    initializer = initializers.get("he_normal")
    q = theory.predict(metric["activation"], initializer, [1.0], depth=6, width=64).q
    expected = theory.slope_spread(metric["activation"], q, width=64, first=1, last=6)
    # Of n values +1 and -1, as many of each, the variance is n / (n - 1), with or without any one.
    half = len(values) // 2
    slopes = values[0] * expected * np.sqrt(1 - 0.5 / half) * np.tile([1.0, -1.0], half)
    dataset = xr.Dataset(
        {"error_slope": (("spread_activation", "width", "network"), slopes[None, None])},
        coords={"spread_activation": [metric["activation"]], "width": [64]},
    )
    settings = {"spread_depth": 6, "spread_initializer": "he_normal"}
    return datasets.finish(dataset, "gradient-flow", settings, {})


def units(metric: Metric, variables: Mapping[str, Sequence[Values]]) -> xr.Dataset:
    """Trained networks of two layers, with each variable's values before and after training."""
    dims = ("stage", "seed", "hidden_layer")
    count = len(next(iter(variables.values()))[0])
    dataset = made(
        metric,
        ("activation", "initializer"),
        {
            name: (dims, [np.stack([stage, stage], axis=1) for stage in stages])
            for name, stages in variables.items()
        },
        stage=["initial", "trained"],
    )
    return dataset.assign(trained=(("initializer", "seed"), np.ones((1, count), dtype=int)))


def square_gains(metric: Metric, values: Values) -> xr.Dataset:
    """Three layers, of which the last has so many times the mean square of the second."""
    ones = np.ones_like(values)
    layers = np.stack([ones, ones, np.sqrt(values)], axis=1)
    parts = {"pre_activation_mean": 0 * layers, "pre_activation_std": layers}
    variables = {
        name: (("stage", "seed", "hidden_layer"), part[None]) for name, part in parts.items()
    }
    return made(metric, ("activation", "initializer"), variables, stage=["initial"])


def final_signals(metric: Metric, values: Values) -> xr.Dataset:
    """Error signals of two hidden layers and the output, that of layer 1 being the values."""
    ones = np.ones_like(values)
    signal = np.stack([values, ones, ones], axis=1)[:, None]
    dims = ("seed", "recorded_epoch", "layer")
    return made(metric, ("activation",), {"error_signal": (dims, signal)})


def border(metric: Metric, values: Values) -> xr.Dataset:
    """The largest learning rate at one depth, and 1 at the other."""
    borders = ("depth", "seed"), np.stack([values, np.ones_like(values)])
    depths = [metric["depth"], metric["over_depth"]]
    return made(metric, ("activation", "skip"), {"stability_border": borders}, depth=depths)


def outcomes(metric: Metric, values: Values) -> xr.Dataset:
    """Five thousand learning rates, of which such a share converges."""
    rates = np.arange(5000)
    held = np.where(rates < np.round(values[:, None] * 5000), "converged", "stuck")
    names = ("activation", "skip", "depth")
    return made(metric, names, {"outcome": (("seed", "learning_rate"), held)})


def learned(metric: Metric, values: Values) -> xr.Dataset:
    """Errors on two targets of variance 1, the second all that the metric does not look at."""
    other = {"largest_clean_share": 0.0, "smallest_clean_share": 1e9}.get(metric["name"], -1.0)
    error = np.stack([values, np.full_like(values, other)])
    errors = ("depth", "target", "seed"), np.stack([error, np.ones_like(error)])
    one = ("reference", "target"), [[1.0, 1.0]]
    return made(
        metric,
        ("activation",),
        {"final_mse": errors, "final_mse_clean": errors},
        depth=[metric["depth"], metric.get("over_depth", 99)],
        target=[metric.get("target", "one"), "another"],
        reference=[metric.get("reference", "best_line")],
    ).assign(
        reference_mse=one,
        reference_mse_clean=one,
        target_clean=(("target", "x"), [[-1.0, 1.0]] * 2),
    )


MAKERS: Mapping[str, Callable[[Metric, Values], xr.Dataset]] = {
    "final_mse": lambda m, v: per_member(m, "final_mse", v),
    "final_mse_ratio": lambda m, v: per_member(m, "final_mse", v),
    "final_mse_clean": lambda m, v: per_member(m, "final_mse_clean", v),
    "final_mse_clean_ratio": lambda m, v: per_member(m, "final_mse_clean", v),
    "final_mse_over_noise": over_noise,
    "deviation_from_line": bent_lines,
    "escape_epoch": escapes,
    "weight_displacement": displaced,
    "weight_displacement_over": displaced,
    "training_gradient_share": first_gradients,
    "recovered_ratio": recovered,
    "recovered_magnitude": recovered,
    "recovered_spread": recovered,
    "recovered_smallest": recovered,
    "loss_of_seed": of_seed,
    "gradient_of_seed": of_seed,
    "escape_epoch_at": plateaus,
    "escape_epoch_ratio": lambda m, v: plateaus(m, 500 * v),
    "plateau_gradient_over_eps": lambda m, v: made(
        m,
        ("activation", "depth", "adam_eps"),
        {"plateau_gradient": ("seed", v * m["adam_eps"])},
    ),
    "robust_ratio": robust("robust_gradient_magnitude", lambda d: d + 1, lambda d: 1),
    "ratio_factor": robust("robust_gradient_magnitude", lambda d: d + 1, lambda d: 1),
    "error_share": robust("error_signal", lambda d: 1, lambda d: d),
    "error_share_of_output": robust("error_signal", lambda d: 1, lambda d: d + 1),
    "theory_gap": deep_slope,
    "pooled_slope": deep_slope,
    "deep_error_share": lambda m, v: deep_ends(m, "deep_error_signal", v, 0),
    "deep_gradient_ratio": lambda m, v: deep_ends(m, "deep_gradient_magnitude", v, 50),
    "deep_largest_gradient": lambda m, v: deep_ends(m, "deep_gradient_magnitude", v, 20),
    "spread_over_theory": spread,
    "initial_zero_share": lambda m, v: units(m, {"zero_share": [v, 0 * v]}),
    "square_gain": square_gains,
    "dead_share": lambda m, v: units(m, {"dead_unit_share": [0 * v, v]}),
    "dead_share_ratio": lambda m, v: units(m, {"dead_unit_share": [0 * v + 1, v]}),
    "saturated_share": lambda m, v: units(m, {"saturated_share": [0 * v, v]}),
    "final_error_share": final_signals,
    "stability_border_ratio": border,
    "converged_share": outcomes,
    "largest_clean_share": learned,
    "smallest_clean_share": learned,
    "depth_error_ratio": learned,
    "error_over_reference": learned,
    "loss_over_best_line": learned,
    "derivative_min": lambda m, v: derivative(m, v, 1.0),
    "derivative_max": lambda m, v: derivative(m, v, -1.0),
    "closed_form": lambda m, v: xr.Dataset(
        {m["quantity"]: ("target", v[:1])}, coords={"target": [m["target"]]}
    ),
    "largest_derivative_at": lambda m, v: derivative(m, v, -1.0).assign_coords(z=[9.0, v[0]]),
    "smallest_derivative_above_zero": lambda m, v: derivative(m, v, 1.0).assign_coords(z=[1, 2]),
    "largest_derivative_step": lambda m, v: derivative(m, 0 * v, v[0]).assign_coords(z=[1, 2]),
}
"""Metric to a function that makes a dataset on which the metric has given values."""


def inside(relation: Relation) -> list[float]:
    """Values that satisfy a relation: just within its ends, and well within."""
    low, high = relation.bounds
    if relation.kind == "equals":
        return [(low + high) / 2, low + 0.001 * (high - low), high - 0.001 * (high - low)]
    end = low if relation.kind == "above" else high
    step = abs(end) if relation.kind == "above" else -abs(end)
    return [end + step / 500, end + step / 2]


def outside(relation: Relation) -> list[float]:
    """Values that do not satisfy a relation, far from it and just beyond its ends."""
    low, high = relation.bounds
    if relation.kind == "equals":
        if relation.decades:
            return [low * 0.99, high * 1.01, high * 1.4]
        width = relation.half_width
        return [low - 0.001 * width, high + 0.001 * width, high + 100 * width]
    end = low if relation.kind == "above" else high
    step = -abs(end) if relation.kind == "above" else abs(end)
    return [end + step / 500, end + step / 2]


def contradictions(claim: Claim) -> list[float]:
    """Values on which another verdict than the expected one is right."""
    assert claim.relation is not None
    if claim.expected is Verdict.REPRODUCED:
        return outside(claim.relation)
    found = inside(claim.relation)
    if claim.direction is not None:
        others = inside if claim.expected is Verdict.NOT_REPRODUCED else outside
        found += [v for v in others(claim.direction) if not claim.relation.contains(v)]
    return found


def agreements(claim: Claim) -> list[float]:
    """Values on which the expected verdict is right."""
    assert claim.relation is not None
    if claim.expected is Verdict.REPRODUCED:
        return inside(claim.relation)
    if claim.expected is Verdict.NOT_REPRODUCED:
        return [
            v
            for relation in (claim.relation, claim.direction)
            if relation is not None
            for v in outside(relation)
            if not claim.relation.contains(v)
            and not (claim.direction is not None and claim.direction.contains(v))
        ]
    assert claim.direction is not None
    candidates = [*inside(claim.direction), *outside(claim.relation)]
    return [v for v in candidates if claim.direction.contains(v) and not claim.relation.contains(v)]


def dataset_for(claim: Claim, value: float) -> xr.Dataset:
    """A dataset of 200 seeds on which the claim's metric is the value."""
    dataset = MAKERS[str(claim.metric["name"])](claim.metric, np.full(SEEDS, value))
    steps = {"escape_epoch": 1, "escape_epoch_at": 1, "escape_epoch_ratio": 500}
    step = steps.get(str(claim.metric["name"]))
    wanted = math.ceil(value * step) / step if step else value
    found = metrics.measure(claim.metric, dataset)
    assert len(found) == (1 if claim.quantifier == "exact" else SEEDS)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-14)
    return dataset


def ending(judgment: Judgment) -> BaseException:
    """What ended the test, for a judgment on which it must not pass.

    A skip is caught as well, as otherwise it would skip the test that looks for a failure.
    """
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception, NotReproduced)) as raised:
        check_expected(judgment)
    return raised.value


@BY_ID
def test_a_dataset_that_contradicts_the_claim_fails_its_test(subject: Claim) -> None:
    """Far from the bound and just beyond it, the test fails outright and names the claim."""
    values = contradictions(subject)
    assert values
    for value in values:
        judgment = judge(subject, dataset_for(subject, value), FILE.level(subject))
        assert judgment.verdict is not subject.expected
        assert judgment.verdict is not Verdict.INCONCLUSIVE
        failure = ending(judgment)
        assert isinstance(failure, pytest.fail.Exception)
        text = str(failure)
        assert f"{subject.id} is {judgment.verdict}, but {subject.expected} was expected" in text
        assert judgment.sentence in text


@BY_ID
def test_a_dataset_that_agrees_ends_as_pinned(subject: Claim) -> None:
    """The control: the same machinery on agreeing data passes, or fails as expected."""
    values = agreements(subject)
    assert values
    for value in values:
        judgment = judge(subject, dataset_for(subject, value), FILE.level(subject))
        assert judgment.verdict is subject.expected
        if subject.expected is Verdict.REPRODUCED:
            check_expected(judgment)
        else:
            assert isinstance(ending(judgment), NotReproduced)


@BY_ID
def test_one_stored_measurement_gone_wrong_fails_the_test(subject: Claim) -> None:
    """What is stored ends as pinned; moved to where the claim is contradicted, it fails."""
    assert subject.protocol is not None
    stored = measured.load(subject.protocol).values(subject.metric)
    judgment = judge_values(subject, stored, FILE.level(subject))
    assert judgment.verdict is subject.expected, judgment.sentence
    for value in contradictions(subject):
        # The spread over seeds stays what it was, in proportion.
        center = float(np.median(stored))
        scale = center if center and math.isfinite(center) else math.inf
        with np.errstate(invalid="ignore"):
            spread = 1e-5 * np.clip(np.nan_to_num(stored / scale - 1), -1, 1)
        moved = value + spread * abs(value)
        # As many seeds as the wording needs: on fewer an agreeing "every" is skipped, not judged.
        enough = stored.shape if subject.quantifier == "exact" else SEEDS
        wrong = judge_values(subject, np.resize(moved, enough), FILE.level(subject))
        assert isinstance(ending(wrong), pytest.fail.Exception)


SEED_CLAIMS = [claim for claim in TESTABLE if claim.quantifier != "exact"]


@pytest.mark.parametrize("subject", SEED_CLAIMS, ids=lambda claim: claim.id)
def test_half_of_the_seeds_on_either_side_is_no_verdict(subject: Claim) -> None:
    """With enough seeds an interval across the bound fails; with too few the test is skipped."""
    bad, good = contradictions(subject)[-1], agreements(subject)[-1]
    mixed = np.array([bad, good] * (SEEDS // 2))
    if subject.quantifier == "median":
        judgment = judge_values(subject, mixed, FILE.level(subject))
        assert judgment.verdict is Verdict.INCONCLUSIVE
        failure = ending(judgment)
        assert isinstance(failure, pytest.fail.Exception)
        assert "is inconclusive, but" in str(failure)
    few = judge_values(subject, mixed[:2], FILE.level(subject))
    assert few.verdict is Verdict.INCONCLUSIVE
    skip = ending(few)
    assert isinstance(skip, pytest.skip.Exception)
    assert str(skip) == f"needs {few.seeds_needed} seeds, 2 were run"


def test_every_metric_of_a_claim_has_a_contradicting_dataset() -> None:
    """A metric that comes with a new claim needs a function here."""
    assert {str(claim.metric["name"]) for claim in TESTABLE} == set(MAKERS)
