"""The study's main experiment: what the dataset holds, and that its numbers are right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from plain_networks import linear_layers, magnitudes, training

import actbench
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments.sine_regression import Config, run, study_files

pytestmark = pytest.mark.usefixtures("one_thread")

SEEDS = (43, 42)
ACTIVATIONS = ("relu", "sigmoid")
EPOCHS, DEPTH, WIDTH, POINTS = 12, 3, 8, 30
TINY = Config(
    activations=ACTIVATIONS,
    seeds=SEEDS,
    epochs=EPOCHS,
    depth=DEPTH,
    width=WIDTH,
    points=POINTS,
    device="cpu",
    threads=1,
)


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """A short run of two activations from two seeds."""
    return run(TINY)


@pytest.fixture(scope="module")
def study() -> xr.Dataset:
    """The study's protocol from its own seed, about two seconds."""
    return run(Config(seeds=1, device="cpu", threads=1))


@dataclasses.dataclass(frozen=True)
class Plain:
    """What a plain loop of torch's own parts gives for one member."""

    losses: list[float]
    magnitudes: list[float]
    hidden: list[list[list[float]]]
    output: list[float]


def plain_training(key: str, seed: int, config: Config = TINY) -> Plain:
    """Train one tiny member as anyone would, without anything from the package but the settings."""
    dtype = {"float32": torch.float32, "float64": torch.float64}[config.dtype]
    layers = linear_layers(DEPTH, WIDTH, seed, config.initializer, dtype)
    x = np.linspace(-math.pi, math.pi, POINTS)
    y = np.sin(x) + np.random.RandomState(config.noise_seed).normal(0, config.noise_std, POINTS)
    inputs, targets = (torch.tensor(values, dtype=dtype)[:, None] for values in (x, y))
    adam = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    losses: list[float] = []
    for loss, _, outputs in training(layers, key, inputs, targets, EPOCHS, **adam):
        if not losses:
            first = magnitudes(layers)
        losses.append(loss)
        *hidden, output = outputs
    return Plain(losses[:-1], first, [h.tolist() for h in hidden], output[:, 0].tolist())


def test_the_targets_are_the_studys_sine(tiny: xr.Dataset) -> None:
    """The points lie evenly on [-pi, pi], and only the noisy targets carry seed 42's noise."""
    x = np.linspace(-math.pi, math.pi, POINTS)
    noise = np.random.RandomState(42).normal(0, 0.1, POINTS)
    np.testing.assert_array_equal(tiny["x"], x)
    np.testing.assert_array_equal(tiny["target_clean"], np.sin(x))
    np.testing.assert_allclose(tiny["target_noisy"], np.sin(x) + noise, rtol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_each_member_is_what_a_plain_loop_gives(tiny: xr.Dataset, key: str, seed: int) -> None:
    """Losses from the untrained network on, gradients, predictions, and hidden layers.

    The kept hidden layers are those of the first seed's network after training.
    """
    expected = plain_training(key, seed)
    member = tiny.sel(activation=key, seed=seed)
    np.testing.assert_allclose(member["loss"], expected.losses, rtol=1e-5)
    magnitude = member["gradient_magnitude"].sel(recorded_epoch=0)
    np.testing.assert_allclose(magnitude, expected.magnitudes, rtol=1e-4)
    np.testing.assert_allclose(member["prediction"], expected.output, rtol=1e-4, atol=1e-5)
    for layer in (1, DEPTH) if seed == SEEDS[0] else ():
        kept = member["hidden_activation"].sel(hidden_layer=layer)
        np.testing.assert_allclose(kept, expected.hidden[layer - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.02},
        {"weight_decay": 0.5},
        {"initializer": "xavier_normal"},
        {"noise_std": 0.4},
        {"noise_seed": 7},
        {"dtype": "float64"},
    ],
)
def test_each_setting_reaches_the_training(tiny: xr.Dataset, settings: dict[str, Any]) -> None:
    """With any one setting changed, a plain loop with that setting is still what is followed."""
    config = dataclasses.replace(TINY, activations="sigmoid", seeds=[42], **settings)
    member = run(config).sel(activation="sigmoid", seed=42)
    tolerance = 1e-9 if config.dtype == "float64" else 1e-5
    expected = plain_training("sigmoid", 42, config)
    np.testing.assert_allclose(member["loss"], expected.losses, rtol=tolerance)
    before = tiny["loss"].sel(activation="sigmoid", seed=42)
    assert not np.allclose(member["loss"], before, rtol=tolerance)


def test_final_losses_are_those_of_the_predictions(tiny: xr.Dataset) -> None:
    """After the last update: both follow from the stored predictions and targets."""
    prediction = tiny["prediction"].astype(np.float64)
    for name, target in (("final_mse", "target_noisy"), ("final_mse_clean", "target_clean")):
        expected = ((prediction - tiny[target]) ** 2).mean("x")
        np.testing.assert_allclose(tiny[name], expected, rtol=1e-12)
    assert not np.allclose(tiny["final_mse"], tiny["final_mse_clean"], rtol=1e-3)
    # One more update than the last recorded loss has lowered the final one.
    assert (tiny["final_mse"] < tiny["loss"].isel(epoch=-1)).all()


@pytest.mark.parametrize(
    ("epochs", "recorded"),
    [
        (1, (0,)),
        (2, (0, 1)),
        (3, (0, 1, 2)),
        (11, (0, 1, 10)),
        (101, (0, 1, 10, 100)),
        (500, (0, 1, 10, 100, 499)),
        (600, (0, 1, 10, 100, 499, 599)),
    ],
)
def test_recorded_epochs_are_the_studys_and_the_last(
    epochs: int, recorded: tuple[int, ...]
) -> None:
    """A short run keeps the study's epochs that it reaches, and always its last."""
    assert Config(epochs=epochs).recorded_epochs == recorded


@pytest.mark.parametrize(
    ("depth", "kept"),
    [(1, (1,)), (2, (1, 2)), (5, (1, 5)), (10, (1, 5, 10)), (12, (1, 5, 10, 12))],
)
def test_kept_hidden_layers_are_the_studys_and_the_last(depth: int, kept: tuple[int, ...]) -> None:
    """A shallow network keeps the study's layers that it has, and always its last."""
    assert Config(depth=depth).hidden_layers == kept


@pytest.mark.parametrize(
    ("given", "seeds"), [(1, (42,)), (3, (42, 43, 44)), ([7, 42], (7, 42)), (range(2), (0, 1))]
)
def test_seeds_are_a_count_or_a_list(given: int | Sequence[int], seeds: tuple[int, ...]) -> None:
    """A count starts at the study's seed, a list is taken as it is."""
    config = Config(seeds=given)
    assert config.seeds == seeds
    assert config.protocol()["seeds"] == list(seeds)
    assert config.protocol() == Config(seeds=seeds).protocol()


def test_the_smallest_run_has_every_part() -> None:
    """One epoch of one hidden layer of one unit from one seed keeps all dimensions."""
    dataset = run(Config(activations="gelu", seeds=1, epochs=1, depth=1, width=1, device="cpu"))
    assert dict(dataset.sizes) == {
        "activation": 1,
        "seed": 1,
        "epoch": 1,
        "recorded_epoch": 1,
        "layer": 2,
        "hidden_layer": 1,
        "x": 200,
        "unit": 1,
    }


def test_the_documented_call_works() -> None:
    """A plain ``import actbench`` is enough to reach the experiment."""
    module = actbench.experiments.sine_regression
    config = module.Config(activations=["tanh"], seeds=1, epochs=2, depth=1, width=2, device="cpu")
    assert module.run(config)["final_mse"].shape == (1, 1)


def test_threads_are_put_back() -> None:
    """A run leaves the process with the CPU threads that it had, and records those it used."""
    before = torch.get_num_threads()
    other = 2 if before == 1 else 1  # never more than there are cores, which slows what follows
    dataset = run(dataclasses.replace(TINY, threads=other, epochs=1))
    assert datasets.environment_of(dataset)["threads"] == other
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [2**31]])
def test_seeds_that_will_not_do_are_told_as_a_list(seeds: list[int]) -> None:
    """What only Python can ask for is refused with what was given and what is expected."""
    with pytest.raises(ActbenchError) as caught:
        Config(seeds=seeds)
    assert str(caught.value) == (
        f"seeds are {seeds}, but must be at least one, none below 0 or above 2147483647, "
        "each named once"
    )


def test_the_largest_seed_fits_the_file() -> None:
    """The largest allowed seed comes back from the dataset as it was given."""
    config = Config(activations="relu", seeds=[2**31 - 1], epochs=1, depth=1, width=2, device="cpu")
    assert run(config)["seed"].item() == 2**31 - 1


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("linear", 0.21299, 0.21301),
        ("relu", 0.0069, 0.0086),
        ("leaky_relu", 0.0069, 0.0086),
        ("gelu", 0.0069, 0.0086),
        ("sigmoid", 0.075, 0.110),
    ],
)
def test_the_studys_protocol_ends_where_known(
    study: xr.Dataset, key: str, low: float, high: float
) -> None:
    """Seed 42 of the whole protocol ends in the interval that 200 seeds were measured to span."""
    assert low <= study["final_mse"].sel(activation=key, seed=42).item() <= high


def test_the_defaults_and_their_files_are_the_studys(study: xr.Dataset) -> None:
    """10 x 64, 200 points, 500 epochs; four files of numbers and lists as the study's own."""
    names = ["linear", "sigmoid", "relu", "leaky_relu", "gelu"]
    assert study["activation"].to_numpy().tolist() == names
    sizes = {name: study.sizes[name] for name in ("epoch", "x", "unit", "layer")}
    assert sizes == {"epoch": 500, "x": 200, "unit": 64, "layer": 11}
    assert study["hidden_layer"].to_numpy().tolist() == [1, 5, 10]
    protocol = datasets.protocol_of(study)
    stated = {"learning_rate": 1e-3, "noise_std": 0.1, "weight_decay": 0.0, "dtype": "float32"}
    assert {name: protocol[name] for name in stated} == stated
    files = study_files(study)
    assert all(list(content) == names for content in files.values())
    assert sorted(files) == [
        "final_losses.json",
        "gradient_magnitudes.json",
        "gradient_magnitudes_epochs.json",
        "loss_histories.json",
    ]
    for name in names:
        assert isinstance(files["final_losses.json"][name], float)
        assert len(files["loss_histories.json"][name]) == 500
        assert len(files["gradient_magnitudes.json"][name]) == 11
        by_epoch = files["gradient_magnitudes_epochs.json"][name]
        assert list(by_epoch) == ["0", "1", "10", "100", "499"]
        assert all(len(layers) == 11 for layers in by_epoch.values())


def test_study_files_hold_seed_42(tiny: xr.Dataset) -> None:
    """Even where another was named first; where it was not run, the first stands in for it."""
    files = study_files(tiny)
    one = tiny.sel(activation="relu", seed=42)
    assert files["final_losses.json"]["relu"] == one["final_mse"].item()
    assert files["loss_histories.json"]["relu"] == one["loss"].to_numpy().tolist()
    magnitude = one["gradient_magnitude"]
    first = magnitude.sel(recorded_epoch=0).to_numpy().tolist()
    assert files["gradient_magnitudes.json"]["relu"] == first
    by_epoch = files["gradient_magnitudes_epochs.json"]["relu"]
    assert by_epoch["10"] == magnitude.sel(recorded_epoch=10).to_numpy().tolist()
    other = tiny.sel(seed=[43])
    expected = other["final_mse"].sel(activation="sigmoid").item()
    assert study_files(other)["final_losses.json"]["sigmoid"] == expected


@pytest.mark.parametrize(
    ("settings", "epoch"), [({"initializer": "normal(1e15)"}, 0), ({"learning_rate": 1e30}, 1)]
)
def test_a_diverged_member_is_recorded_and_disturbs_nobody(
    settings: dict[str, Any], epoch: int
) -> None:
    """The first non-finite loss is recorded, and the run goes on to its end."""
    config = dataclasses.replace(TINY, activations=("relu",), epochs=4, **settings)
    dataset = run(config)
    assert (dataset["diverged"] == epoch).all()
    assert np.isfinite(dataset["loss"].isel(epoch=slice(epoch))).all()
    assert not np.isfinite(dataset["loss"].isel(epoch=epoch)).any()
    assert not np.isfinite(dataset["final_mse"]).any()


def test_only_the_member_that_diverged_is_recorded_as_such() -> None:
    """Beside a ReLU network that overflows, a bounded sigmoid network stays finite."""
    config = dataclasses.replace(TINY, initializer="normal(1e15)", epochs=2)
    diverged = run(config)["diverged"]
    assert diverged.sel(activation="relu").to_numpy().tolist() == [0, 0]
    assert diverged.sel(activation="sigmoid").to_numpy().tolist() == [-1, -1]
