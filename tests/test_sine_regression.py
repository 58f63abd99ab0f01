"""The study's main experiment: what the dataset holds, and that its numbers are right."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import actbench
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments import sine_regression
from actbench.study.experiments.sine_regression import Config, run, study_files

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
BY_MEMBER = ("activation", "seed")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for networks this small: on a busy machine more of them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def plain_training(module: nn.Module, seed: int, config: Config = TINY) -> Plain:
    """Train one tiny member as anyone would, without anything from the package but the settings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(1, WIDTH), *(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH - 1))]
        layers.append(nn.Linear(WIDTH, 1))
        if config.initializer == "xavier_normal":
            for layer in layers:
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
    dtype = {"float32": torch.float32, "float64": torch.float64}[config.dtype]
    x = np.linspace(-math.pi, math.pi, POINTS)
    y = np.sin(x) + np.random.RandomState(config.noise_seed).normal(0, config.noise_std, POINTS)
    inputs = torch.tensor(x, dtype=dtype)[:, None]
    targets = torch.tensor(y, dtype=dtype)[:, None]
    optimizer = torch.optim.Adam(
        [p for layer in layers for p in layer.to(dtype).parameters()],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )

    def forward() -> tuple[list[torch.Tensor], torch.Tensor]:
        hidden, a = [], inputs
        for layer in layers[:-1]:
            a = module(layer(a))
            hidden.append(a)
        return hidden, layers[-1](a)

    losses: list[float] = []
    magnitudes: list[float] = []
    for epoch in range(EPOCHS):
        optimizer.zero_grad()
        loss = (forward()[1] - targets).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        if epoch == 0:
            gradients = [layer.weight.grad for layer in layers]
            magnitudes = [g.abs().mean().item() for g in gradients if g is not None]
        optimizer.step()
    hidden, output = forward()
    return Plain(losses, magnitudes, [h.tolist() for h in hidden], output[:, 0].tolist())


@pytest.mark.parametrize(
    ("variable", "dims"),
    [
        ("loss", (*BY_MEMBER, "epoch")),
        ("final_mse", BY_MEMBER),
        ("final_mse_clean", BY_MEMBER),
        ("gradient_magnitude", (*BY_MEMBER, "recorded_epoch", "layer")),
        ("prediction", (*BY_MEMBER, "x")),
        ("hidden_activation", ("activation", "hidden_layer", "x", "unit")),
        ("diverged", BY_MEMBER),
        ("target_noisy", ("x",)),
        ("target_clean", ("x",)),
    ],
)
def test_each_variable_has_its_dimensions(
    tiny: xr.Dataset, variable: str, dims: tuple[str, ...]
) -> None:
    """Every variable is labelled by the contract's dimensions, in its order."""
    assert tiny[variable].dims == dims


def test_nothing_else_is_in_the_dataset(tiny: xr.Dataset) -> None:
    """The dataset holds the variables of the contract and no others."""
    assert set(tiny.data_vars) == {
        "loss",
        "final_mse",
        "final_mse_clean",
        "gradient_magnitude",
        "weight_displacement",
        "prediction",
        "hidden_activation",
        "diverged",
        "target_noisy",
        "target_clean",
    }


@pytest.mark.parametrize(
    ("coordinate", "values"),
    [
        ("activation", list(ACTIVATIONS)),
        ("seed", list(SEEDS)),
        ("epoch", list(range(EPOCHS))),
        ("recorded_epoch", [0, 1, 10, 11]),
        ("layer", [1, 2, 3, 4]),
        ("hidden_layer", [1, 3]),
        ("unit", list(range(WIDTH))),
    ],
)
def test_each_coordinate_has_its_values(
    tiny: xr.Dataset, coordinate: str, values: list[object]
) -> None:
    """Epochs count from 0, layers from 1 to the output layer at depth + 1."""
    assert tiny[coordinate].to_numpy().tolist() == values


def test_the_targets_are_the_studys_sine(tiny: xr.Dataset) -> None:
    """The points lie evenly on [-pi, pi], and only the noisy targets carry seed 42's noise."""
    x = np.linspace(-math.pi, math.pi, POINTS)
    noise = np.random.RandomState(42).normal(0, 0.1, POINTS)
    np.testing.assert_array_equal(tiny["x"], x)
    np.testing.assert_array_equal(tiny["target_clean"], np.sin(x))
    np.testing.assert_allclose(tiny["target_noisy"], np.sin(x) + noise, rtol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("key", "module"), [("relu", nn.ReLU()), ("sigmoid", nn.Sigmoid())])
def test_each_member_is_what_a_plain_loop_gives(
    tiny: xr.Dataset, key: str, module: nn.Module, seed: int
) -> None:
    """Losses from the untrained network on, gradients and predictions stand at their labels."""
    expected = plain_training(module, seed)
    member = tiny.sel(activation=key, seed=seed)
    np.testing.assert_allclose(member["loss"], expected.losses, rtol=1e-5)
    magnitude = member["gradient_magnitude"].sel(recorded_epoch=0)
    np.testing.assert_allclose(magnitude, expected.magnitudes, rtol=1e-4)
    np.testing.assert_allclose(member["prediction"], expected.output, rtol=1e-4, atol=1e-5)


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
    expected = plain_training(nn.Sigmoid(), 42, config)
    np.testing.assert_allclose(member["loss"], expected.losses, rtol=tolerance)
    before = tiny["loss"].sel(activation="sigmoid", seed=42)
    assert not np.allclose(member["loss"], before, rtol=tolerance)


@pytest.mark.parametrize(("key", "module"), [("relu", nn.ReLU()), ("sigmoid", nn.Sigmoid())])
def test_hidden_activations_are_the_first_seeds(
    tiny: xr.Dataset, key: str, module: nn.Module
) -> None:
    """The kept hidden layers are those of the first seed's network after training."""
    hidden = plain_training(module, SEEDS[0]).hidden
    for layer in (1, DEPTH):
        kept = tiny["hidden_activation"].sel(activation=key, hidden_layer=layer)
        np.testing.assert_allclose(kept, hidden[layer - 1], rtol=1e-4, atol=1e-5)


def test_final_losses_are_those_of_the_predictions(tiny: xr.Dataset) -> None:
    """Both final losses follow from the stored predictions and targets, noisy and clean."""
    prediction = tiny["prediction"].astype(np.float64)
    for name, target in (("final_mse", "target_noisy"), ("final_mse_clean", "target_clean")):
        expected = ((prediction - tiny[target]) ** 2).mean("x")
        np.testing.assert_allclose(tiny[name], expected, rtol=1e-12)
    assert not np.allclose(tiny["final_mse"], tiny["final_mse_clean"], rtol=1e-3)


def test_final_losses_come_after_the_last_update(tiny: xr.Dataset) -> None:
    """One more update than the last recorded loss has lowered the final one."""
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


def test_a_count_and_its_seeds_are_one_protocol() -> None:
    """However the seeds were written down, equal settings are equal protocols."""
    assert Config(seeds=2).protocol() == Config(seeds=[42, 43]).protocol()


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


def test_the_protocol_lists_every_setting_and_every_choice(tiny: xr.Dataset) -> None:
    """No setting on which a number depends is missing, nor a choice that the study left open."""
    protocol = datasets.protocol_of(tiny)
    settings = {field.name: getattr(TINY, field.name) for field in dataclasses.fields(Config)}
    del settings["drawn_in_order"]  # told by random_state, in words
    chosen = {
        "optimizer",
        "objective",
        "random_state",
        "construction",
        "inputs",
        "gradient_magnitude",
    }
    assert protocol.keys() == settings.keys() | chosen
    as_json = json.loads(json.dumps(settings))
    assert {name: protocol[name] for name in settings} == as_json
    assert all(isinstance(protocol[name], str) and protocol[name] for name in chosen)


def test_the_dataset_says_what_it_is(tiny: xr.Dataset) -> None:
    """Schema, experiment and environment stand beside the numbers."""
    assert tiny.attrs["schema_version"] == datasets.SCHEMA_VERSION
    assert tiny.attrs["experiment"] == "sine-regression"
    environment = datasets.environment_of(tiny)
    assert environment["torch"] == torch.__version__
    assert environment["device"] == "cpu"
    assert environment["threads"] == 1
    assert {"actbench", "numpy", "python", "cpu", "cpu_capability"} <= environment.keys()


def test_every_variable_has_a_definition_and_a_unit(tiny: xr.Dataset) -> None:
    """A reader of the file alone learns what each variable means."""
    for name in tiny.data_vars:
        assert tiny[name].attrs["definition"]
        assert tiny[name].attrs["units"]


def test_the_documented_call_works() -> None:
    """A plain ``import actbench`` is enough to reach the experiment."""
    module = actbench.experiments.sine_regression
    config = module.Config(activations=["tanh"], seeds=1, epochs=2, depth=1, width=2, device="cpu")
    assert module.run(config)["final_mse"].shape == (1, 1)


@pytest.mark.parametrize("epochs", [3, 10, 12])
def test_progress_adds_up(epochs: int) -> None:
    """The steps told add up to activations x seeds x epochs, the total that a bar shows."""
    steps: list[int] = []
    run(dataclasses.replace(TINY, epochs=epochs, depth=1), steps.append)
    assert sum(steps) == len(ACTIVATIONS) * len(SEEDS) * epochs


def test_threads_are_put_back() -> None:
    """A run leaves the process with the CPU threads that it had, and records those it used."""
    before = torch.get_num_threads()
    other = 2 if before == 1 else 1  # never more than there are cores, which slows what follows
    dataset = run(dataclasses.replace(TINY, threads=other, epochs=1))
    assert datasets.environment_of(dataset)["threads"] == other
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"activations": []}, "activations are [], but must be at least one, each named once"),
        (
            {"activations": ["relu", "relu"]},
            "activations are ['relu', 'relu'], but must be at least one, each named once",
        ),
        (
            {"seeds": []},
            "seeds are [], but must be at least one, none below 0 or above 2147483647, "
            "each named once",
        ),
        (
            {"seeds": [1, 1]},
            "seeds are [1, 1], but must be at least one, none below 0 or above 2147483647, "
            "each named once",
        ),
        (
            {"seeds": [-1]},
            "seeds are [-1], but must be at least one, none below 0 or above 2147483647, "
            "each named once",
        ),
        (
            {"seeds": [2**31]},
            "seeds are [2147483648], but must be at least one, none below 0 or above 2147483647, "
            "each named once",
        ),
        ({"seeds": True}, "seeds is True, but must be a whole number of at least 1"),
        ({"points": 1}, "points is 1, but must be at least 2"),
        ({"noise_std": -0.1}, "noise_std is -0.1, but must be a finite number, at least 0"),
        ({"noise_std": math.inf}, "noise_std is inf, but must be a finite number, at least 0"),
        ({"depth": 2.0}, "depth is 2.0, but must be a whole number of at least 1"),
    ],
)
def test_a_bad_setting_is_refused_before_anything_runs(settings: dict[str, Any], text: str) -> None:
    """What only Python can ask for is refused with what was given and what is expected."""
    with pytest.raises(ActbenchError) as caught:
        Config(**settings)
    assert str(caught.value) == text


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


def test_the_defaults_are_the_studys(study: xr.Dataset) -> None:
    """Without arguments the experiment is the documented one: 10 x 64, 200 points, 500 epochs."""
    assert study["activation"].to_numpy().tolist() == [
        "linear",
        "sigmoid",
        "relu",
        "leaky_relu",
        "gelu",
    ]
    sizes = {name: study.sizes[name] for name in ("epoch", "x", "unit", "layer")}
    assert sizes == {"epoch": 500, "x": 200, "unit": 64, "layer": 11}
    assert study["hidden_layer"].to_numpy().tolist() == [1, 5, 10]
    protocol = datasets.protocol_of(study)
    stated = {"learning_rate": 1e-3, "noise_std": 0.1, "weight_decay": 0.0, "dtype": "float32"}
    assert {name: protocol[name] for name in stated} == stated


def test_study_files_have_the_studys_shapes(study: xr.Dataset) -> None:
    """The four files hold numbers and lists as the study's own do."""
    files = study_files(study)
    names = ["linear", "sigmoid", "relu", "leaky_relu", "gelu"]
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
    """The files are of the study's seed even where another was named first."""
    files = study_files(tiny)
    one = tiny.sel(activation="relu", seed=42)
    assert files["final_losses.json"]["relu"] == one["final_mse"].item()
    assert files["loss_histories.json"]["relu"] == one["loss"].to_numpy().tolist()
    magnitude = one["gradient_magnitude"]
    first = magnitude.sel(recorded_epoch=0).to_numpy().tolist()
    assert files["gradient_magnitudes.json"]["relu"] == first
    by_epoch = files["gradient_magnitudes_epochs.json"]["relu"]
    assert by_epoch["10"] == magnitude.sel(recorded_epoch=10).to_numpy().tolist()


def test_study_files_hold_the_first_seed_where_42_was_not_run(tiny: xr.Dataset) -> None:
    """Without the study's seed the first one stands in for it."""
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


def test_the_calibration_is_a_short_run_of_the_same_shape() -> None:
    """An estimate rests on the same members, for a few epochs and never more than asked for."""
    long = Config(activations=["relu"], seeds=3, epochs=500)
    assert sine_regression.calibration(long) == dataclasses.replace(long, epochs=20)
    short = dataclasses.replace(long, epochs=3)
    assert sine_regression.calibration(short) == short


def test_an_absent_device_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not there stops the run before the first network is built."""
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu",))
    monkeypatch.setattr(
        "actbench.study.experiments._noisy_sine.train",
        lambda *_, **__: pytest.fail("trained all the same"),
    )
    with pytest.raises(ActbenchError) as caught:
        run(dataclasses.replace(TINY, device="cuda"))
    assert str(caught.value) == (
        "device 'cuda' is not present; present here: cpu. Choose one of them, or 'auto'"
    )
