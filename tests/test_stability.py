"""The map of stability: its rules on hand-made curves, and its trainings against theory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import back_propagate

from actbench.study.catalog import activations, initializers
from actbench.study.experiments.stability import OUTCOMES, Config, border, classify, run
from actbench.study.experiments.stability.findings import findings
from actbench.study.nets.networks import Architecture, linear_layers, seeded_network

pytestmark = pytest.mark.usefixtures("one_thread")
Array = npt.NDArray[np.float64]
TINY = Config(
    activations=("tanh", "relu"),
    depths=(2, 3),
    learning_rates=(1e-3, 0.1),
    seeds=(43, 42),
    epochs=9,
    width=8,
    points=16,
    device="cpu",
    threads=1,
)
BY_CELL = ("activation", "skip", "depth")
BY_MEMBER = (*BY_CELL, "learning_rate", "seed")


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """A short run of every kind of cell."""
    return run(TINY)


def curve(*parts: tuple[int, float]) -> Array:
    """A loss curve of 100 values: how often which value, in turn."""
    made = np.concatenate([np.full(count, value) for count, value in parts])
    assert len(made) == 100
    return made


@pytest.mark.parametrize(
    ("expected", "losses"),
    [
        # The late fifth are the last 20 losses; the variance is 1.
        ("converged", curve((80, 1.0), (20, 0.1))),
        ("converged", np.linspace(1.0, 0.01, 100)),
        ("converged", curve((100, 0.949))),
        ("converged", curve((99, 1.0), (1, 0.9))),
        ("converged", curve((1, 1.0), (20, 1e9), (79, 0.2))),  # a catapult
        ("converged", curve((82, 0.1), (2, 50.0), (16, 0.1))),  # rare spikes
        ("converged", curve((90, 0.5), (10, 0.59))),
        ("stuck", curve((100, 1.0))),
        ("stuck", curve((100, 0.95))),
        ("stuck", curve((1, 1.0), (30, 1e9), (69, 1.02))),
        ("stuck", curve((1, 4.0), (99, 3.9))),
        ("stuck", curve((50, 0.96), (50, 1.0))),
        ("stuck", curve((50, 100.0), (50, 109.0))),
        ("unstable", curve((82, 0.1), (3, 50.0), (15, 0.1))),
        ("unstable", curve((90, 0.5), (10, 0.61))),
        ("unstable", curve((50, 0.1), (50, 1.0))),  # has forgotten what it knew
        ("unstable", curve((80, 1.0), (10, 1.4), (10, 1.0))),  # before stuck
        ("unstable", curve((50, 100.0), (50, 111.0))),
        ("unstable", curve((50, 1.0), (50, 2.0))),
        ("unstable", curve((1, 1.0), (98, 99.0), (1, 1.9))),
        ("unstable", curve((1, 10.0), (99, 15.0))),
        ("diverged", curve((1, 1.0), (99, 2.01))),
        ("diverged", curve((1, 10.0), (99, 21.0))),
        ("diverged", curve((1, 0.2), (79, 1.0), (20, 1e30))),
        ("diverged", curve((50, 0.1), (1, math.inf), (49, 0.1))),
        ("diverged", curve((50, 1.0), (1, math.nan), (49, 1.0))),  # before stuck
        ("diverged", curve((99, 0.1), (1, -math.inf))),
    ],
)
def test_the_rules_on_curves_made_by_hand(expected: str, losses: Array) -> None:
    """Each class, both sides of each bound, and which rule comes first."""
    assert classify(losses, 1.0) == expected


@pytest.mark.parametrize("epochs", [1, 2, 5, 11])
def test_short_curves_have_an_end_too(epochs: int) -> None:
    """The late fifth is never empty."""
    assert classify(np.full(epochs, 1.0), 1.0) == "stuck"
    assert classify(np.append(np.full(epochs, 1.0), math.inf), 1.0) == "diverged"


losses = st.lists(
    st.floats(1e-6, 1e6) | st.sampled_from([math.inf, math.nan]), min_size=20, max_size=60
)


@given(losses, st.floats(1e-3, 1e3), st.integers(-20, 20))
@settings(max_examples=60, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(
    values: list[float], variance: float, power: int
) -> None:
    """Loss and variance in another unit, a power of two to keep rounding away, end the same."""
    scaled = np.array(values) * 2.0**power
    assert classify(scaled, variance * 2.0**power) == classify(np.array(values), variance)


@given(st.lists(st.floats(1e-6, 1e6), min_size=20, max_size=60), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_early_losses_does_not_matter(values: list[float], random: Any) -> None:
    """Between the first loss and the late ones, only the lowest counts."""
    start, late = 1, len(values) - math.ceil(len(values) / 5)
    early = values[start:late]
    random.shuffle(early)
    shuffled = [*values[:start], *early, *values[late:]]
    assert classify(np.array(shuffled), 1.0) == classify(np.array(values), 1.0)


@given(st.lists(st.floats(1e-6, 1e6), min_size=20, max_size=60), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_a_loss_that_never_rises_is_learned_or_stuck(values: list[float], variance: float) -> None:
    """Gradient descent below its stability limit is one of the two harmless classes."""
    falling = np.array(sorted(values, reverse=True))
    expected = "stuck" if falling[-1] >= 0.95 * variance else "converged"
    assert classify(falling, variance) == expected


@given(losses, st.integers(0, 19))
@settings(max_examples=40, deadline=None)
def test_one_loss_that_is_not_finite_decides(values: list[float], place: int) -> None:
    """Wherever it stands, nothing else matters."""
    values[place] = math.nan
    assert classify(np.array(values), 1.0) == "diverged"


@given(st.floats(0.01, 1.99), st.floats(0.05, 1), st.floats(1e-3, 100))
@settings(max_examples=40, deadline=None)
def test_gradient_descent_on_a_parabola(below: float, beyond: float, curvature: float) -> None:
    """A step of s / curvature multiplies the error by 1 - s, which shrinks it for s below 2."""
    steps = 2 * np.arange(400)
    stable = 0.5 * curvature * np.abs(1 - below) ** steps
    assert classify(stable, stable[0]) == "converged"
    grown = 0.5 * curvature * (1 + beyond) ** steps
    assert classify(grown, grown[0]) == "diverged"


def test_many_curves_are_classified_one_by_one() -> None:
    """The place of a curve in an array changes nothing, and the array is left as it was."""
    rng = np.random.default_rng(3)
    many = 10 ** rng.uniform(-2, 1, (3, 4, 40))
    many[1, 2, 5], many[0, 0, 39] = math.nan, math.inf
    before = many.copy()
    found = classify(many, 1.0)
    assert found.shape == (3, 4)
    for place in np.ndindex(3, 4):
        assert found[place] == classify(many[place], 1.0)
    np.testing.assert_array_equal(many, before)


def test_the_rules_are_written_out() -> None:
    """Every outcome and every bound stands in words where a reader of the file finds it."""
    rules = Config().protocol()["rules"]
    for word in (*OUTCOMES, "last fifth", "twice", "a tenth", "0.95", "not finite"):
        assert word in rules


@pytest.mark.parametrize(
    ("converged", "expected"),
    [
        ([1, 1, 1], 0.1),
        ([1, 1, 0], 0.01),
        ([0, 0, 0], 0.0),
        ([0, 1, 0], 0.01),
        ([1, 0, 1], 0.1),
    ],
)
def test_the_border_is_the_largest_rate_that_converges(
    converged: list[int], expected: float
) -> None:
    """Gaps below it do not count, and where nothing converges it is 0."""
    found = border(np.array(converged, dtype=bool)[:, None], (1e-3, 0.01, 0.1))
    assert found.tolist() == [expected]
    backwards = border(np.array(converged[::-1], dtype=bool)[:, None], (0.1, 0.01, 1e-3))
    assert backwards.tolist() == [expected]


@pytest.mark.parametrize("rate", [1e-4, 0.03, 1.0])
def test_adams_first_step_has_the_size_of_the_learning_rate(rate: float) -> None:
    """It is the learning rate times the gradient's sign (Kingma and Ba 2015, algorithm 1)."""
    config = dataclasses.replace(
        TINY,
        activations="tanh",
        depths=(2,),
        learning_rates=(7e-3, rate),
        skip=(False,),
        seeds=1,
        epochs=1,
        dtype="float64",
    )
    dataset = run(config)
    network = seeded_network(
        Architecture(activations.get("tanh"), 2, 8), initializers.get("torch_default"), 42
    )
    layers = [
        (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
        for layer in linear_layers(network)
    ]
    x, y = dataset["x"].to_numpy(), dataset["target_noisy"].to_numpy()
    weights, biases = [w for w, _ in layers], [b for _, b in layers]
    before = back_propagate("tanh", weights, biases, x, y)
    moved = back_propagate(
        "tanh",
        [w - rate * np.sign(g) for w, g in zip(weights, before.weight_gradients, strict=True)],
        [b - rate * np.sign(g) for b, g in zip(biases, before.bias_gradients, strict=True)],
        x,
        y,
    )
    cell = dataset.sel(learning_rate=rate).squeeze()
    assert cell["loss"].item() == pytest.approx(before.loss, rel=1e-9)
    # The constant 1e-8 in Adam's denominator shortens the steps of the smallest gradients.
    assert cell["final_mse"].item() == pytest.approx(moved.loss, rel=1e-4)


def test_linear_networks_converge_get_stuck_and_diverge_as_theory_says() -> None:
    """Adam's steps are about the learning rate: too small to leave, right, or far too large."""
    config = Config(
        activations="linear",
        depths=(3,),
        learning_rates=(1e-9, 0.01, 100.0),
        skip=(False,),
        seeds=2,
        epochs=200,
        width=8,
        points=16,
        device="cpu",
        threads=1,
    )
    dataset = run(config).squeeze()
    assert dataset["outcome"].isel(learning_rate=0).to_numpy().tolist() == ["stuck"] * 2
    assert dataset["outcome"].isel(learning_rate=1).to_numpy().tolist() == ["converged"] * 2
    assert set(dataset["outcome"].isel(learning_rate=2).to_numpy()) <= {"unstable", "diverged"}
    assert dataset["stability_border"].to_numpy().tolist() == [0.01] * 2
    x, y = dataset["x"].to_numpy(), dataset["target_noisy"].to_numpy()
    best_line = np.var(y) * (1 - np.corrcoef(x, y)[0, 1] ** 2)
    final = dataset["final_mse"].isel(learning_rate=1)
    np.testing.assert_allclose(final, best_line, rtol=1e-3)


def test_outcomes_follow_from_the_stored_losses(tiny: xr.Dataset) -> None:
    """Whoever holds the file can classify by rules of their own."""
    whole = np.concatenate([tiny["loss"], tiny["final_mse"].to_numpy()[..., None]], -1)
    variance = float(np.var(tiny["target_noisy"].to_numpy()))
    np.testing.assert_array_equal(tiny["outcome"], classify(whole, variance))
    peak = whole.max(-1) / np.maximum(whole[..., 0], variance)
    np.testing.assert_allclose(tiny["loss_peak"], peak, rtol=1e-12)
    converged = (tiny["outcome"] == "converged").transpose(*BY_MEMBER).to_numpy()
    expected = border(converged, TINY.learning_rates)
    np.testing.assert_array_equal(tiny["stability_border"], expected)


def test_a_training_that_overflows_diverges() -> None:
    """A learning rate beyond all measure leaves the first epoch that is not finite."""
    config = dataclasses.replace(TINY, activations="relu", learning_rates=(1e30,), epochs=3)
    dataset = run(config)
    assert (dataset["outcome"] == "diverged").all()
    assert (dataset["diverged"] == 1).all()
    assert (dataset["stability_border"] == 0).all()


def test_the_defaults_are_the_studys_depths_and_every_activation() -> None:
    """Eight activations at four depths, without and with skips, round rates over four decades."""
    config = Config()
    assert config.activations == tuple(activations.ACTIVATIONS)
    assert config.depths == (5, 10, 20, 50)
    assert config.skip == (False, True)
    logs = np.log10(config.learning_rates)
    assert (logs[0], logs[-1]) == (-4, 0)
    np.testing.assert_allclose(np.diff(logs), 0.5, atol=0.03)
    assert 1e-3 in config.learning_rates


def made(outcomes: Sequence[Sequence[str]], peak: float = 1.0) -> xr.Dataset:
    """A map of one activation, two depths, one seed: plain networks first, then with skips."""
    words = np.array(outcomes)[None, :, None, :, None]  # skip x learning rate
    words = np.concatenate([words, np.full_like(words, "stuck")], 2)
    words[:, 1, 1, 0] = "converged"
    return xr.Dataset(
        {"outcome": (BY_MEMBER, words), "loss_peak": (BY_MEMBER, np.full(words.shape, peak))},
        coords={
            "activation": ["relu"],
            "skip": [0, 1],
            "depth": [5, 50],
            "learning_rate": [1e-3, 0.1],
            "seed": [42],
            "epoch": range(7),
        },
    )


def test_findings_are_computed_from_the_map() -> None:
    """Shares, borders, what skips change and the study's learning rate, in words."""
    ds = made([["converged", "diverged"], ["converged", "converged"]], peak=1000)
    text = " ".join(findings(ds))
    assert "Of 8 trainings over 7 epochs, 1 seed in each cell of the grid, 50 % converged" in text
    assert "38 % stuck, 0 % unstable and 12 % diverged" in text
    assert "Without skip connections, the border of stability" in text
    assert "at 5 hidden layers ReLU 0.001; at 50 hidden layers none for any activation." in text
    assert "at 5 hidden layers ReLU 0.1; at 50 hidden layers ReLU 0.001." in text
    assert "At depth 50 skip connections raise" in text
    assert "ReLU from 0 to 50 %." in text
    assert "without skip connections ReLU 5; with skip connections ReLU 50." in text
    assert "Of 4 trainings that converged, 4 had seen their loss rise" in text


def test_findings_of_the_smallest_map() -> None:
    """One of everything has findings too."""
    ds = made([["stuck", "stuck"], ["stuck", "stuck"]])
    small = ds.isel(skip=[0], depth=[0], learning_rate=[1])
    text = " ".join(findings(small))
    assert "100 % stuck" in text
    assert "at 5 hidden layers none for any activation" in text
    assert "skip connections raise" not in text
