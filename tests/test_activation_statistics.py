"""Distributions, sparsity, dead and saturated units: mean-field theory and NumPy as oracles."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import oracle
import plain_networks
import pytest
import torch
import xarray as xr
from torch import nn

from actbench.study.catalog import activations
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.experiments import activation_statistics
from actbench.study.experiments.activation_statistics import LEVELS, Config, run, statistics
from actbench.study.nets.networks import Architecture
from actbench.study.nets.stacks import Stack

pytestmark = pytest.mark.usefixtures("one_thread")
Array = npt.NDArray[np.float64]
DEPTH, WIDTH, POINTS, EPOCHS = 3, 8, 30, 12
TINY = Config(
    activations=("relu", "sigmoid", "gelu"),
    seeds=(43, 42, 7),
    initializers=("torch_default", "xavier_uniform", "he_normal"),
    trained_initializers=("he_normal", "torch_default"),
    trained_seeds=2,
    epochs=EPOCHS,
    depth=DEPTH,
    width=WIDTH,
    points=POINTS,
    device="cpu",
    dtype="float64",
    threads=1,
)
SHARES = (
    "zero_share",
    "near_zero_share",
    "dead_unit_share",
    "saturated_share",
    "saturated_unit_share",
)
MOMENTS = ("pre_activation_mean", "pre_activation_std", "activation_mean", "activation_std")
QUANTILES = ("pre_activation_quantile", "activation_quantile")


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """Three activations, three initializers, three seeds, of which two by two are trained."""
    return run(TINY)


@pytest.fixture(scope="module")
def untrained() -> xr.Dataset:
    """Two dozen networks of the study's width per activation and initializer, where they start."""
    return run(
        Config(
            seeds=24,
            initializers=("torch_default", "he_normal"),
            trained_initializers=("he_normal",),
            trained_seeds=0,
            depth=4,
            points=12,
            device="cpu",
            threads=1,
        )
    ).sel(stage="initial")


def described(key: str, layers: list[nn.Linear]) -> dict[str, Array]:
    """What the dataset should say of one network, in NumPy, ``(hidden layer,)`` each."""
    value = np.linspace(-math.pi, math.pi, POINTS)[:, None]
    low, high = activations.get(key).derivative_bounds
    found: dict[str, list[Any]] = {}
    for layer in layers[:-1]:
        z = value @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        value = oracle.FUNCTIONS[key](z)
        flat = np.abs(oracle.DERIVATIVES[key](z)) < 0.01 * max(-low, high)
        each = {
            "zero_share": np.mean(value == 0),
            "near_zero_share": np.mean(np.abs(value) < 0.01),
            "dead_unit_share": np.mean([not unit.any() for unit in value.T]),
            "saturated_share": flat.mean(),
            "saturated_unit_share": np.mean([unit.all() for unit in flat.T]),
        }
        for name, values in (("pre_activation", z), ("activation", value)):
            each[f"{name}_mean"], each[f"{name}_std"] = values.mean(), values.std()
            each[f"{name}_quantile"] = np.quantile(values, LEVELS, method="nearest")
        for name, number in each.items():
            found.setdefault(name, []).append(number)
    return {name: np.array(numbers) for name, numbers in found.items()}


def plain_network(key: str, initializer: str, seed: int, *, trained: bool) -> list[nn.Linear]:
    """One tiny network by torch's own parts, in float64, with the study's noise in its targets."""
    layers = plain_networks.linear_layers(DEPTH, WIDTH, seed, initializer)
    x = np.linspace(-math.pi, math.pi, POINTS)
    y = np.sin(x) + np.random.RandomState(42).normal(0, 0.1, POINTS)
    inputs, goals = torch.tensor(x)[:, None], torch.tensor(y)[:, None]
    training = plain_networks.training(layers, key, inputs, goals, EPOCHS, lr=1e-3)
    for _ in range(EPOCHS + 1 if trained else 0):
        next(training)
    return layers


@pytest.mark.parametrize("key", TINY.activations)
@pytest.mark.parametrize(
    ("stage", "initializer", "seed"),
    [
        ("initial", "torch_default", 43),
        ("initial", "xavier_uniform", 42),
        ("initial", "he_normal", 7),
        ("trained", "torch_default", 43),
        ("trained", "torch_default", 42),
        ("trained", "he_normal", 42),
    ],
)
def test_every_number_is_what_numpy_finds_in_a_plain_network(
    tiny: xr.Dataset, key: str, stage: str, initializer: str, seed: int
) -> None:
    """Before training and after it, each member's statistics stand at its own labels."""
    layers = plain_network(key, initializer, seed, trained=stage == "trained")
    chosen = tiny.sel(activation=key, stage=stage, initializer=initializer, seed=seed)
    for name, numbers in described(key, layers).items():
        np.testing.assert_allclose(chosen[name], numbers, rtol=1e-7, atol=1e-9, err_msg=name)


def predicted(key: str, sigma_w2: float, sigma_b2: float, layers: int, x: Array) -> list[float]:
    """Mean of z^2 per layer in mean field (Poole et al. 2016, eq. 3), input by input."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    weights = weights / weights.sum()
    # The first layer has one input and takes its variances at that fan-in.
    q = x**2 * (1 / 3 if sigma_b2 else sigma_w2) + (1 / 3 if sigma_b2 else 0)
    means = [float(q.mean())]
    for _ in range(layers - 1):
        squares = oracle.FUNCTIONS[key](np.sqrt(q)[:, None] * nodes) ** 2
        q = sigma_w2 * squares @ weights + sigma_b2
        means.append(float(q.mean()))
    return means


@pytest.mark.parametrize("key", list(ACTIVATIONS))
@pytest.mark.parametrize(
    ("initializer", "sigma_w2", "sigma_b2"),
    [("torch_default", 1 / 3, 1 / (3 * 64)), ("he_normal", 2.0, 0.0)],
)
def test_pre_activations_have_the_variance_of_mean_field_theory(
    untrained: xr.Dataset, key: str, initializer: str, sigma_w2: float, sigma_b2: float
) -> None:
    """Layer by layer E[z^2] is what the variance map predicts, within five standard errors."""
    chosen = untrained.sel(activation=key, initializer=initializer)
    squares = (chosen["pre_activation_std"] ** 2 + chosen["pre_activation_mean"] ** 2).to_numpy()
    x = np.linspace(-math.pi, math.pi, 12)
    expected = predicted(key, sigma_w2, sigma_b2, 4, x)
    error = squares.std(0, ddof=1) / math.sqrt(len(squares))
    assert np.all(np.abs(squares.mean(0) - expected) < 5 * error)
    assert np.all(error < 0.16 * np.array(expected))


def test_he_weights_double_the_mean_square_of_a_relu_layer(untrained: xr.Dataset) -> None:
    """E[z^2] of a layer is 2 E[a^2] of the one below (He et al. 2015, eq. 9), in the mean."""
    chosen = untrained.sel(activation="relu", initializer="he_normal")
    z2 = chosen["pre_activation_std"] ** 2 + chosen["pre_activation_mean"] ** 2
    a2 = chosen["activation_std"] ** 2 + chosen["activation_mean"] ** 2
    ratios = z2.to_numpy()[:, 1:] / (2 * a2.to_numpy()[:, :-1])
    error = ratios.std(0, ddof=1) / math.sqrt(len(ratios))
    assert np.all(np.abs(ratios.mean(0) - 1) < 4 * error)
    assert np.all(error < 0.07)


def test_symmetric_weights_let_half_of_relus_outputs_be_zero(untrained: xr.Dataset) -> None:
    """Without biases exactly half at layer 1, on inputs symmetric about 0, and half on average."""
    share = untrained["zero_share"].sel(activation="relu", initializer="he_normal").to_numpy()
    np.testing.assert_allclose(share[:, 0], 0.5, atol=1e-7)
    error = share.std(0, ddof=1) / math.sqrt(len(share))
    assert np.all(np.abs(share[:, 1:].mean(0) - 0.5) < 4 * error[1:])


def test_relu_dies_at_initialization_where_others_do_not(untrained: xr.Dataset) -> None:
    """The deeper, the more alike all inputs look to a layer: a unit is off for all or for none."""
    dead = untrained["dead_unit_share"].mean("seed").sel(initializer="he_normal")
    relu = dead.sel(activation="relu").to_numpy()
    assert relu[0] == 0
    assert relu[-1] > relu[1] > 0.1
    assert (dead.drop_sel(activation="relu") == 0).all()


def test_what_relu_does_not_pass_is_what_is_zero(untrained: xr.Dataset) -> None:
    """ReLU's derivative vanishes exactly where its output does, unit by unit."""
    relu = untrained.sel(activation="relu")
    xr.testing.assert_allclose(relu["saturated_share"], relu["zero_share"])
    xr.testing.assert_allclose(relu["saturated_unit_share"], relu["dead_unit_share"])


@pytest.mark.parametrize("key", ["linear", "leaky_relu"])
def test_a_derivative_that_is_bounded_below_never_saturates(
    untrained: xr.Dataset, key: str
) -> None:
    """Leaky ReLU's smaller slope is one hundredth of the larger one, not below it."""
    assert (untrained["saturated_share"].sel(activation=key) == 0).all()


@pytest.mark.parametrize("key", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu"])
def test_quantiles_of_a_rising_function_are_the_functions_of_quantiles(
    untrained: xr.Dataset, key: str
) -> None:
    """An order statistic of the outputs is the activation of that of the pre-activations."""
    z, a = (untrained[name].sel(activation=key).to_numpy() for name in QUANTILES)
    np.testing.assert_allclose(a, oracle.FUNCTIONS[key](z.astype(np.float64)), atol=2e-6)
    assert (np.diff(z, axis=-1) >= 0).all()


@pytest.mark.parametrize(("key", "low"), [("sigmoid", 0), ("tanh", -1), ("relu", 0), ("elu", -1)])
def test_outputs_keep_their_bounds(untrained: xr.Dataset, key: str, low: float) -> None:
    """What is bounded below stays above its bound, and squashing functions below 1."""
    values = untrained["activation_quantile"].sel(activation=key)
    assert values.min() >= low
    if key in ("sigmoid", "tanh"):
        assert values.max() <= 1


def stack_with_bias(key: str, bias: float) -> tuple[Stack, torch.Tensor]:
    """Two members, whose hidden layers have small weights and one bias."""
    architecture = Architecture(activations.get(key), 2, 4)
    stack = Stack(architecture, (), 2, 5, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for weight, biases in zip(stack.weights, stack.biases, strict=True):
            weight.fill_(1e-3)
            biases.fill_(bias)
    x = torch.linspace(-1, 1, 5)[:, None]
    stack.forward(x)
    return stack, x


@pytest.mark.parametrize(
    ("key", "bias", "dead", "saturated"),
    [
        ("relu", -10.0, 1, 1),
        ("relu", 10.0, 0, 0),
        ("leaky_relu", -10.0, 0, 0),
        ("sigmoid", -10.0, 0, 1),
        ("sigmoid", -1.0, 0, 0),
        ("tanh", 10.0, 0, 1),
        ("elu", -10.0, 0, 1),
        ("gelu", -10.0, 1, 1),  # its value is some 1e-23, which the kernel rounds to zero
        ("gelu", -3.0, 0, 0),
        ("swish", -10.0, 0, 1),
    ],
)
def test_a_network_of_one_bias_is_dead_or_saturated_as_a_whole(
    key: str, bias: float, dead: int, saturated: int
) -> None:
    """Biases of -10 kill every ReLU and flatten every squashing function, others live on."""
    found = statistics(*stack_with_bias(key, bias), epsilon=0.01, saturation=0.01)
    for name, expected in (
        ("zero_share", dead),
        ("dead_unit_share", dead),
        ("saturated_share", saturated),
        ("saturated_unit_share", saturated),
    ):
        assert found[name].shape == (2, 2)
        assert (found[name] == expected).all(), name


@pytest.mark.parametrize(
    ("setting", "variable"), [("epsilon", "near_zero_share"), ("saturation", "saturated_share")]
)
def test_thresholds_are_settings(setting: str, variable: str, tiny: xr.Dataset) -> None:
    """A larger threshold counts more, and no other number moves."""
    changed: dict[str, Any] = {setting: 0.4}
    more = dataclasses.replace(TINY, trained_seeds=0, **changed)
    before, after = (ds.sel(stage="initial") for ds in (tiny, run(more)))
    assert after[variable].mean() > before[variable].mean()
    for name in {*SHARES, *MOMENTS} - {variable, variable.replace("share", "unit_share")}:
        xr.testing.assert_equal(before[name], after[name])


def test_what_was_not_trained_is_nan_and_said_to_be(tiny: xr.Dataset) -> None:
    """A mask tells which networks were trained; exactly the others lack numbers after it."""
    trained = tiny["trained"].to_numpy().astype(bool)
    assert trained.tolist() == [[True, True, False], [False] * 3, [True, True, False]]
    after = tiny.sel(stage="trained")
    for name in (*SHARES, *MOMENTS, *QUANTILES):
        there = np.isfinite(after[name].transpose("initializer", "seed", ...).to_numpy())
        assert there[trained].all()
        assert not there[~trained].any()
        assert np.isfinite(tiny[name].sel(stage="initial")).all()
    assert (np.isfinite(tiny["trained_mse"]) == tiny["trained"].astype(bool)).all()


def test_training_may_be_left_out(tiny: xr.Dataset) -> None:
    """With no trained seeds the same networks are looked at, and nothing else."""
    config = dataclasses.replace(TINY, trained_seeds=0)
    dataset = run(config)
    assert not dataset["trained"].any()
    for name in (*SHARES, *MOMENTS, *QUANTILES):
        assert dataset[name].sel(stage="trained").isnull().all()
        xr.testing.assert_equal(dataset[name].sel(stage="initial"), tiny[name].sel(stage="initial"))


def test_more_trained_seeds_than_seeds_are_all() -> None:
    """Asking for few seeds needs no second option."""
    config = Config(seeds=2, trained_seeds=4)
    assert len(config.trained_members) == 2 * 2


def test_cutting_the_members_into_stacks_changes_nothing(
    tiny: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stacks of two and of one give what one stack of nine gives."""
    monkeypatch.setattr(activation_statistics.experiment, "_STACK_MEMBERS", 2)
    config = dataclasses.replace(TINY, trained_seeds=0)
    cut = run(config).sel(stage="initial").drop_vars(["trained", "trained_mse"])
    xr.testing.assert_allclose(cut, tiny.sel(stage="initial")[list(cut)], rtol=1e-12)


def test_what_overflows_is_not_a_number_and_disturbs_no_other() -> None:
    """A member whose numbers are not finite has no statistics, its neighbors have theirs."""
    config = dataclasses.replace(
        TINY,
        activations="relu",
        initializers=("normal(1e20)", "he_normal"),
        trained_initializers=("normal(1e20)",),
        dtype="float32",
    )
    dataset = run(config)
    absurd = dataset.sel(initializer="normal(1e20)")
    for name in (*SHARES, *MOMENTS):
        assert np.isnan(absurd[name].sel(hidden_layer=DEPTH)).all()
        assert np.isfinite(dataset[name].sel(initializer="he_normal", stage="initial")).all()
    assert not np.isfinite(absurd["trained_mse"]).any()
