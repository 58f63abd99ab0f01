"""What is recorded while training is what autograd finds in a plain network at that epoch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import xarray as xr
from plain_networks import error_signals, linear_layers, magnitudes, training

from actbench.study.catalog import initializers
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.catalog.targets import noisy_sine
from actbench.study.experiments import sine_regression
from actbench.study.experiments.training_dynamics import Config, look, run
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Member, Schedule, train

pytestmark = pytest.mark.usefixtures("one_thread")

DEPTH, WIDTH, POINTS, EPOCHS = 3, 8, 30, 20
TINY = Config(
    activations=("relu", "sigmoid", "gelu"),
    seeds=(43, 42),
    epochs=EPOCHS,
    looks=5,
    depth=DEPTH,
    width=WIDTH,
    points=POINTS,
    learning_rate=0.01,
    device="cpu",
    dtype="float64",
    threads=1,
)
RECORDED = (0, 1, 2, 4, 9, 20)


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """A short run of three activations from two seeds, in float64."""
    return run(TINY)


def by_autograd(key: str, seed: int) -> dict[int, dict[str, npt.NDArray[np.float64]]]:
    """Train a plain network and ask autograd at each recorded epoch, the last one included."""
    layers = linear_layers(DEPTH, WIDTH, seed)
    x = np.linspace(-math.pi, math.pi, POINTS)
    y = np.sin(x) + np.random.RandomState(42).normal(0, 0.1, POINTS)
    inputs, targets = (torch.tensor(values)[:, None] for values in (x, y))
    found = {}
    steps = training(layers, key, inputs, targets, EPOCHS, lr=0.01)
    for epoch, (_, pre_activations, outputs) in enumerate(steps):
        *hidden, output = (a.detach() for a in outputs)
        if epoch in RECORDED:
            found[epoch] = {
                "activation_rms": np.array([a.square().mean().sqrt() for a in hidden]),
                "zero_share": np.array([(a == 0).double().mean() for a in hidden]),
                "gradient_magnitude": np.array(magnitudes(layers)),
                "error_signal": np.array(error_signals(pre_activations)),
                "learned_function": output[:, 0].numpy(),
            }
    return found


@pytest.mark.parametrize("key", TINY.activations)
@pytest.mark.parametrize("seed", [42, 43])
def test_every_look_is_what_autograd_finds(tiny: xr.Dataset, key: str, seed: int) -> None:
    """At every recorded epoch, the state after the last update too, to eight digits."""
    assert tiny["recorded_epoch"].to_numpy().tolist() == list(RECORDED)
    member = tiny.sel(activation=key, seed=seed)
    for epoch, expected in by_autograd(key, seed).items():
        at = member.sel(recorded_epoch=epoch)
        for name, numbers in expected.items():
            np.testing.assert_allclose(at[name], numbers, rtol=1e-8, err_msg=f"{name}, {epoch}")


def test_losses_and_the_outputs_error_signal_follow_from_the_learned_functions(
    tiny: xr.Dataset,
) -> None:
    """Before each update the loss, and after the last the final error.

    The output is linear, so dL/dz is 2 (output - target) / points: its RMS is 2 sqrt(L) / n.
    """
    error = ((tiny["learned_function"] - tiny["target_noisy"]) ** 2).mean("x")
    epochs = list(RECORDED[:-1])
    losses = tiny["loss"].sel(epoch=epochs).to_numpy()
    np.testing.assert_allclose(error.sel(recorded_epoch=epochs), losses, rtol=1e-12)
    np.testing.assert_allclose(error.isel(recorded_epoch=-1), tiny["final_mse"], rtol=1e-12)
    found = tiny["error_signal"].sel(recorded_epoch=epochs).isel(layer=-1).to_numpy()
    np.testing.assert_allclose(found, 2 * np.sqrt(losses) / POINTS, rtol=1e-12)


@pytest.mark.parametrize("key", list(ACTIVATIONS))
def test_the_output_biass_gradient_is_twice_the_mean_residual(key: str) -> None:
    """At epoch 0, in closed form; looking leaves every gradient as the training will use it."""
    target = noisy_sine(POINTS)
    architecture = Architecture(ACTIVATIONS[key], DEPTH, WIDTH)
    network = seeded_network(architecture, initializers.get("torch_default"), 42)
    stack = Stack(architecture, [network], 1, POINTS, torch.device("cpu"), torch.float64)
    x, y = (torch.tensor(values)[:, None] for values in (target.x, target.noisy))
    gradient = (stack.forward(x) - y) * (2 / POINTS)
    stack.backward(x, gradient)
    assert stack.parameters.grad is not None
    before = stack.parameters.grad.clone()
    function = look(stack, x, gradient)["learned_function"]
    residual = function.numpy() - target.noisy
    assert stack.bias_gradients[-1].item() == pytest.approx(2 * residual.mean(), rel=1e-12)
    assert torch.equal(stack.parameters.grad, before)


def test_the_last_learned_function_is_the_prediction() -> None:
    """After the last update both are the same numbers, bit for bit."""
    target, architecture = noisy_sine(POINTS), Architecture(ACTIVATIONS["gelu"], DEPTH, WIDTH)
    members = [Member(seed, initializers.get("he_normal")) for seed in (1, 2)]
    schedule = Schedule(epochs=7, recorded_epochs=(0, 7))
    trained = train(architecture, members, schedule, target.x, target.noisy, recorder=look)
    last = trained.recorded["learned_function"][:, -1]
    np.testing.assert_array_equal(last, trained.prediction)


def test_looking_does_not_disturb_the_training(tiny: xr.Dataset) -> None:
    """Losses and final errors are bit for bit those of the study's main experiment."""
    settings = {
        name: getattr(TINY, name)
        for name in sine_regression.Config.__dataclass_fields__
        if hasattr(TINY, name)
    }
    plain = sine_regression.run(sine_regression.Config(**settings))
    for name in ("loss", "final_mse", "diverged", "target_noisy", "target_clean"):
        np.testing.assert_array_equal(tiny[name], plain[name])
    np.testing.assert_array_equal(
        tiny["gradient_magnitude"].isel(recorded_epoch=0),
        plain["gradient_magnitude"].isel(recorded_epoch=0),
    )


def test_signals_too_small_to_be_squared_are_kept() -> None:
    """At depth 30 a sigmoid network's error signal is some 1e-27, whose square no float32 holds."""
    deep = dataclasses.replace(TINY, activations="sigmoid", epochs=1, depth=30, seeds=1)
    exact, single = (run(dataclasses.replace(deep, dtype=d)) for d in ("float64", "float32"))
    smallest = exact["error_signal"].isel(recorded_epoch=0).min().item()
    assert 0 < smallest < 1e-23
    np.testing.assert_allclose(single["error_signal"], exact["error_signal"], rtol=1e-3)


def test_a_signal_of_exactly_zero_is_zero() -> None:
    """Dead ReLU layers pass nothing back, which is a number and not a failure."""
    architecture = Architecture(ACTIVATIONS["relu"], 2, 4)
    stack = Stack(architecture, (), 2, 5, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for bias in stack.biases:
            bias.fill_(-10)
    x = torch.linspace(-1, 1, 5)[:, None]
    found = look(stack, x, stack.forward(x).clone())
    assert (found["zero_share"] == 1).all()
    assert (found["activation_rms"] == 0).all()
    assert (found["error_signal"][:, :-1] == 0).all()
    assert (found["error_signal"][:, -1] == 10).all()
    assert (found["learned_function"] == -10).all()


def test_looks_are_spaced_from_the_start_to_the_end() -> None:
    """By default 25 to 40 of them, the untrained and the final state among them, ever sparser."""
    epochs = Config().recorded_epochs
    assert 25 <= len(epochs) <= 40
    assert (epochs[0], epochs[-1]) == (0, 500)
    gaps = [later - earlier for earlier, later in itertools.pairwise(epochs)]
    assert min(gaps) == 1
    ratios = [later / earlier for earlier, later in itertools.pairwise(epochs[5:])]
    assert max(ratios) < 1.35


@pytest.mark.parametrize(
    ("epochs", "looks", "recorded"),
    [
        (1, 1, (0, 1)),
        (1, 9, (0, 1)),
        (9, 1, (0, 1, 9)),
        (3, 99, (0, 1, 2, 3)),
        (100, 2, (0, 1, 100)),
    ],
)
def test_few_epochs_or_looks_keep_both_ends(
    epochs: int, looks: int, recorded: tuple[int, ...]
) -> None:
    """None is recorded twice, and neither end is ever missing."""
    assert Config(epochs=epochs, looks=looks).recorded_epochs == recorded


def test_divergence_is_kept_in_the_numbers() -> None:
    """A huge learning rate ends no run and raises nothing; the dataset says when it happened."""
    absurd: dict[str, Any] = {"learning_rate": 1e30, "epochs": 6, "dtype": "float32"}
    dataset = run(dataclasses.replace(TINY, activations="relu", **absurd))
    assert (dataset["diverged"] > 0).all()
    assert not np.isfinite(dataset["final_mse"]).any()
    assert np.isfinite(dataset["error_signal"].isel(recorded_epoch=0)).all()
    assert not np.isfinite(dataset["learned_function"].isel(recorded_epoch=-1)).any()
