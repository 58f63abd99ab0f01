"""What is recorded while training is what autograd finds in a plain network at that epoch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest
import torch
import xarray as xr
from torch import nn

from actbench.store import checkpoints, datasets
from actbench.store.errors import ActbenchError
from actbench.study.catalog import initializers
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.catalog.targets import noisy_sine
from actbench.study.experiments import sine_regression
from actbench.study.experiments.training_dynamics import Config, look, run
from actbench.study.nets.networks import Architecture, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Member, Schedule, train

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
BY_LOOK = ("activation", "seed", "recorded_epoch")
DIMS = {
    "activation_rms": (*BY_LOOK, "hidden_layer"),
    "zero_share": (*BY_LOOK, "hidden_layer"),
    "gradient_magnitude": (*BY_LOOK, "layer"),
    "error_signal": (*BY_LOOK, "layer"),
    "learned_function": (*BY_LOOK, "x"),
    "loss": ("activation", "seed", "epoch"),
    "final_mse": ("activation", "seed"),
    "diverged": ("activation", "seed"),
    "target_noisy": ("x",),
    "target_clean": ("x",),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for networks this small: on a busy machine more of them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """A short run of three activations from two seeds, in float64."""
    return run(TINY)


def by_autograd(key: str, seed: int) -> dict[int, dict[str, npt.NDArray[np.float64]]]:
    """Train a plain network and ask autograd at each recorded epoch, the last one included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(1, WIDTH), *(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH - 1))]
        layers.append(nn.Linear(WIDTH, 1))
    module = ACTIVATIONS[key].module()
    x = np.linspace(-math.pi, math.pi, POINTS)
    y = torch.tensor(np.sin(x) + np.random.RandomState(42).normal(0, 0.1, POINTS))[:, None]
    parameters = [p for layer in layers for p in layer.double().parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    found = {}
    for epoch in range(EPOCHS + 1):
        pre, post, value = [], [], torch.tensor(x)[:, None]
        for number, layer in enumerate(layers):
            z = layer(value)
            z.retain_grad()
            pre.append(z)
            value = module(z) if number < DEPTH else z
            post.append(value.detach())
        optimizer.zero_grad()
        (value - y).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if epoch in RECORDED:
            found[epoch] = {
                "activation_rms": np.array([a.square().mean().sqrt() for a in post[:-1]]),
                "zero_share": np.array([(a == 0).double().mean() for a in post[:-1]]),
                "gradient_magnitude": np.array([_grad(v.weight).abs().mean() for v in layers]),
                "error_signal": np.array([_grad(z).square().mean().sqrt() for z in pre]),
                "learned_function": post[-1][:, 0].numpy(),
            }
    return found


def _grad(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


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


def test_losses_are_those_of_the_learned_functions(tiny: xr.Dataset) -> None:
    """Before each update the loss, and after the last the final error, follow from the function."""
    error = ((tiny["learned_function"] - tiny["target_noisy"]) ** 2).mean("x")
    epochs = list(RECORDED[:-1])
    losses = tiny["loss"].sel(epoch=epochs).to_numpy()
    np.testing.assert_allclose(error.sel(recorded_epoch=epochs), losses, rtol=1e-12)
    np.testing.assert_allclose(error.isel(recorded_epoch=-1), tiny["final_mse"], rtol=1e-12)


def test_the_outputs_error_signal_has_a_closed_form(tiny: xr.Dataset) -> None:
    """The output is linear, so dL/dz is 2 (output - target) / points: its RMS is 2 sqrt(L) / n."""
    epochs = list(RECORDED[:-1])
    found = tiny["error_signal"].sel(recorded_epoch=epochs).isel(layer=-1).to_numpy()
    losses = tiny["loss"].sel(epoch=epochs).to_numpy()
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
    training = train(architecture, members, schedule, target.x, target.noisy, recorder=look)
    last = training.recorded["learned_function"][:, -1]
    np.testing.assert_array_equal(last, training.prediction)


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


def test_labels_and_dimensions(tiny: xr.Dataset) -> None:
    """Every variable has the documented dimensions, a definition and a unit."""
    assert {name: tiny[name].dims for name in tiny.data_vars} == DIMS
    for name in DIMS:
        assert tiny[name].attrs["definition"]
        assert tiny[name].attrs["units"]
    assert tiny["seed"].to_numpy().tolist() == [43, 42]
    assert tiny["layer"].to_numpy().tolist() == [1, 2, 3, 4]
    assert tiny["hidden_layer"].to_numpy().tolist() == [1, 2, 3]
    assert tiny.attrs["experiment"] == "training-dynamics"


def test_the_protocol_states_every_setting(tiny: xr.Dataset) -> None:
    """No setting on which a number depends is missing, nor when a look is taken."""
    protocol = datasets.protocol_of(tiny)
    fields = {field.name for field in dataclasses.fields(Config)} - {"drawn_in_order"}
    assert protocol.keys() == fields | {"optimizer", "objective", "random_state", "recorded", "rms"}
    assert (protocol["seeds"], protocol["looks"]) == ([43, 42], 5)


def test_progress_adds_up_to_the_steps_announced() -> None:
    """Every epoch of every member is counted once."""
    steps: list[int] = []
    config = dataclasses.replace(TINY, epochs=13, depth=1)
    run(config, steps.append)
    assert sum(steps) == config.steps == 3 * 2 * 13


def test_an_interrupted_run_goes_on_to_the_same_bits(tiny: xr.Dataset, tmp_path: Path) -> None:
    """What was finished is read, the rest computed, and the whole is the undisturbed run's."""

    def folder(progress: Callable[[int], None] = lambda done: None) -> checkpoints.Folder:
        path = tmp_path / "dynamics.nc"
        return checkpoints.Folder(path, "training-dynamics", TINY.protocol(), {}, progress)

    seen: list[int] = []

    def stop(done: int) -> None:
        seen.append(done)
        if sum(seen) > TINY.steps / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(TINY, stop, folder())
    done: list[int] = []
    resumed = folder(done.append)
    xr.testing.assert_identical(run(TINY, done.append, resumed), tiny)
    assert resumed.reused == 1
    assert sum(done) == TINY.steps


def test_divergence_is_kept_in_the_numbers() -> None:
    """A huge learning rate ends no run and raises nothing; the dataset says when it happened."""
    absurd: dict[str, Any] = {"learning_rate": 1e30, "epochs": 6, "dtype": "float32"}
    dataset = run(dataclasses.replace(TINY, activations="relu", **absurd))
    assert (dataset["diverged"] > 0).all()
    assert not np.isfinite(dataset["final_mse"]).any()
    assert np.isfinite(dataset["error_signal"].isel(recorded_epoch=0)).all()
    assert not np.isfinite(dataset["learned_function"].isel(recorded_epoch=-1)).any()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"activations": ("rleu",)}, "unknown activation 'rleu'.*'relu'"),
        ({"activations": ()}, r"activations are \[\]"),
        ({"initializer": "he"}, "unknown initializer 'he'"),
        ({"seeds": 0}, "seeds is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"looks": 0}, "looks is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"width": 1.5}, "width is 1.5"),
        ({"points": 1}, "points is 1, but must be at least 2"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"noise_std": math.inf}, "noise_std is inf"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], text: str) -> None:
    """Each mistake is refused before anything runs."""
    with pytest.raises(ActbenchError, match=text):
        Config(**settings)


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained on another device than was asked for."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("trained")

    monkeypatch.setattr("actbench.study.experiments._noisy_sine.train", refuse)
    with pytest.raises(ActbenchError, match="device 'xpu' is not present"):
        run(dataclasses.replace(TINY, device="xpu"))
