"""Gradients at initialization: the study's printed digits, and autograd's own numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.store.files import write_json
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.experiments import gradient_flow
from actbench.study.experiments.gradient_flow import Config

# Measured with a script of a dozen lines, apart from this package: FACTS of the project.
RATIOS_AT_DEPTH_10 = {
    "linear": 0.84419,
    "sigmoid": 2.6024e7,
    "tanh": 1.18930,
    "relu": 1.92834,
    "leaky_relu": 0.72418,
    "elu": 1.28616,
    "gelu": 0.82784,
    "swish": 1.28655,
}
FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.01),
    "elu": functional.elu,
    "gelu": functional.gelu,
    "swish": functional.silu,
}


def small(**more: Any) -> Config:
    """A protocol of networks of five units."""
    settings: dict[str, Any] = {
        "activations": tuple(ACTIVATIONS),
        "depths": (1, 3),
        "seeds": 3,
        "initializers": ("torch_default", "he_normal"),
        "robust_depths": (2,),
        "width": 5,
        "points": 7,
        "deep_depth": 3,
        "deep_seeds": 2,
        "deep_points": 7,
        "spread_widths": (4, 6),
        "threads": 1,
    }
    return Config(**{**settings, **more})


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """The small protocol, run once."""
    return gradient_flow.run(small())


@pytest.fixture(scope="module")
def recovered() -> xr.Dataset:
    """The study's networks of depths 5 and 10; the random stream reaches the others later."""
    return gradient_flow.run(
        Config(
            depths=(5, 10),
            seeds=1,
            initializers=("xavier_uniform",),
            robust_depths=(1,),
            points=2,
            deep_depth=0,
            spread_widths=(),
            threads=1,
        )
    )


@pytest.mark.parametrize("key", list(RATIOS_AT_DEPTH_10))
def test_recovered_ratio_has_the_printed_digits(key: str, recovered: xr.Dataset) -> None:
    """Output layer over layer 1, at depth 10, as the study drew it."""
    found = recovered["gradient_ratio"].sel(activation=key, depth=10).item()
    assert found == pytest.approx(RATIOS_AT_DEPTH_10[key], rel=2e-5)


def test_recovered_magnitudes_are_those_of_the_bar_charts(recovered: xr.Dataset) -> None:
    """The charts' ends for sigmoid and ReLU, and ReLU's smallest layer."""
    chosen = recovered["gradient_magnitude"].sel(depth=10)
    sigmoid, relu = chosen.sel(activation="sigmoid"), chosen.sel(activation="relu")
    assert sigmoid.sel(layer=11).item() == pytest.approx(0.504, abs=5e-4)
    assert sigmoid.sel(layer=1).item() == pytest.approx(1.94e-8, abs=5e-11)
    assert relu.sel(layer=11).item() == pytest.approx(2.70e-3, abs=5e-6)
    assert relu.sel(layer=1).item() == pytest.approx(1.403e-3, abs=5e-7)
    assert relu.min().item() == pytest.approx(1.358e-4, abs=5e-8)


def test_global_random_state_neither_matters_nor_moves(dataset: xr.Dataset) -> None:
    """Whoever draws numbers before or after a run gets the same ones with and without it."""
    before = torch.random.get_rng_state()
    try:
        torch.manual_seed(7)
        state = torch.random.get_rng_state()
        again = gradient_flow.run(small())
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        torch.random.set_rng_state(before)
    xr.testing.assert_identical(again, dataset)


def by_autograd(
    key: str, initializer: str, seed: int, depth: int = 2
) -> tuple[list[float], list[float], list[float]]:
    """Magnitudes, error signals and squared pre-activations of one network, in plain torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [1, *[5] * depth, 1]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        if initializer == "he_normal":
            for layer in layers:
                nn.init.normal_(layer.weight, 0, math.sqrt(2 / layer.in_features))
                nn.init.zeros_(layer.bias)
    value = torch.linspace(-math.pi, math.pi, 7, dtype=torch.float64)[:, None]
    weights, pre_activations = [], []
    for number, layer in enumerate(layers):
        weight = layer.weight.detach().double().requires_grad_()
        z = value @ weight.T + layer.bias.detach().double()
        z.retain_grad()
        weights.append(weight)
        pre_activations.append(z)
        value = FUNCTIONS[key](z) if number < depth else z
    value.mean().backward()  # type: ignore[no-untyped-call]

    def gradient(tensor: Tensor) -> Tensor:
        assert tensor.grad is not None
        return tensor.grad

    return (
        [gradient(w).abs().mean().item() for w in weights],
        [gradient(z).square().mean().sqrt().item() for z in pre_activations],
        [z.detach().square().mean().item() for z in pre_activations],
    )


@pytest.mark.parametrize("key", list(ACTIVATIONS))
@pytest.mark.parametrize("initializer", ["torch_default", "he_normal"])
def test_robust_numbers_are_those_of_autograd(
    key: str, initializer: str, dataset: xr.Dataset
) -> None:
    """For every member: mean |dL/dW| and rms dL/dz of each layer, by retained gradients."""
    chosen = dataset.sel(activation=key, initializer=initializer, depth=2)
    for seed in (42, 43, 44):
        magnitude, signal, _ = by_autograd(key, initializer, seed)
        one = chosen.sel(seed=seed)
        found = one["robust_gradient_magnitude"].to_numpy()
        # An odd network without biases has a mean output of zero on inputs that are symmetric
        # about zero, whatever its weights: those gradients are rounding alone.
        np.testing.assert_allclose(found[:3], magnitude, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(one["error_signal"].to_numpy()[:3], signal, rtol=1e-9)
    pooled = np.sqrt(np.mean(chosen["error_signal"].to_numpy() ** 2, axis=0))
    np.testing.assert_allclose(chosen["error_signal_rms"].to_numpy()[:3], pooled[:3], rtol=1e-14)


@pytest.mark.parametrize("key", list(ACTIVATIONS))
@pytest.mark.parametrize("initializer", ["torch_default", "he_normal"])
def test_deep_numbers_are_those_of_autograd(
    key: str, initializer: str, dataset: xr.Dataset
) -> None:
    """For every member: mean |dL/dW|, rms dL/dz and mean z^2 of each layer, in that order."""
    chosen = dataset.sel(activation=key, initializer=initializer)
    assert chosen["deep_seed"].to_numpy().tolist() == [42, 43]
    for seed in (42, 43):
        magnitude, signal, square = by_autograd(key, initializer, seed, depth=3)
        one = chosen.sel(deep_seed=seed)
        found = one["deep_gradient_magnitude"].to_numpy()
        np.testing.assert_allclose(found, magnitude, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(one["deep_error_signal"].to_numpy(), signal, rtol=1e-9)
        np.testing.assert_allclose(one["deep_preactivation_square"].to_numpy(), square, rtol=1e-9)


def test_slopes_are_those_of_a_plain_network(dataset: xr.Dataset) -> None:
    """One input, He-normal: decades per layer between the first and the last hidden layer."""
    assert dataset["spread_activation"].to_numpy().tolist() == ["linear", "tanh", "relu", "gelu"]
    found = dataset["error_slope"].sel(width=6, spread_activation="tanh").to_numpy()
    assert found.shape == (3,)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(43)
        sizes = [1, *[6] * 6, 1]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / layer.in_features))
            nn.init.zeros_(layer.bias)
    value, pre_activations = torch.ones(1, 1), []
    for layer in layers:
        pre_activations.append(layer(value))
        pre_activations[-1].retain_grad()
        value = torch.tanh(pre_activations[-1])
    pre_activations[-1].mean().backward()
    first, last = (
        z.grad.square().mean().sqrt().item() for z in (pre_activations[0], pre_activations[5])
    )
    assert found[1] == pytest.approx(math.log10(last / first) / 5, rel=1e-4)


def test_wider_networks_are_fewer() -> None:
    """Drawing 1024 units takes as long as drawing 64 a hundred times; progress counts them."""
    wide = small(seeds=64, spread_widths=(4, 1024))
    none = small(seeds=64, spread_widths=())
    assert wide.steps - none.steps == 4 * (64 + 12)


def test_parts_can_be_left_out() -> None:
    """Depth 0 and no widths leave nothing of the two later parts but their settings."""
    config = small(activations=("relu",), deep_depth=0, spread_widths=())
    done: list[int] = []
    names = gradient_flow.run(config, done.append)
    assert sum(done) == config.steps == 2 + 2 * 3
    assert not {"deep_error_signal", "error_slope", "deep_seed", "width"} & set(names.variables)
    assert "error_slope" not in gradient_flow.run(small(activations=("sigmoid",)))


def test_cutting_the_seeds_into_stacks_changes_nothing(
    dataset: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stacks, of two members and of one, give what one stack of three gives."""
    monkeypatch.setattr("actbench.study.experiments.gradient_flow._passes._STACK_MEMBERS", 2)
    cut = gradient_flow.run(small())
    single = ["error_slope"]  # in single precision
    xr.testing.assert_allclose(cut.drop_vars(single), dataset.drop_vars(single), rtol=1e-12)
    xr.testing.assert_allclose(cut[single], dataset[single], rtol=1e-4)
    monkeypatch.setattr("actbench.study.experiments.gradient_flow._passes._STACK_MEMBERS", 50)
    monkeypatch.setattr("actbench.study.experiments.gradient_flow._passes._STACK_NUMBERS", 1)
    alone = gradient_flow.run(small())
    xr.testing.assert_allclose(alone.drop_vars(single), dataset.drop_vars(single), rtol=1e-12)


def test_what_a_depth_does_not_have_is_nan(dataset: xr.Dataset) -> None:
    """Layers beyond depth + 1 are padded, and each part has numbers at its own depths alone."""
    assert dataset["depth"].to_numpy().tolist() == [1, 3, 2]
    assert dataset["layer"].to_numpy().tolist() == [1, 2, 3, 4]
    for depth, present in ((1, 2), (3, 4), (2, 0)):
        finite = np.isfinite(dataset["gradient_magnitude"].sel(depth=depth).to_numpy())
        assert finite[:, :present].all()
        assert not finite[:, present:].any()
    for name in ("robust_gradient_magnitude", "error_signal", "error_signal_rms"):
        for depth, present in ((1, 0), (3, 0), (2, 3)):
            finite = np.isfinite(dataset[name].sel(depth=depth).to_numpy())
            assert finite[..., :present].all()
            assert not finite[..., present:].any()


def test_study_file_has_the_studys_shape_in_strict_json(
    dataset: xr.Dataset, tmp_path: Path
) -> None:
    """Activation to depth to layers, ratio, min and max; an infinite ratio is written as null."""
    changed = dataset.copy(deep=True)
    changed["gradient_magnitude"].loc[{"activation": "relu", "depth": 3, "layer": 1}] = 0.0
    changed["gradient_ratio"].loc[{"activation": "relu", "depth": 3}] = math.inf
    files = gradient_flow.study_files(changed)
    assert set(files) == {"exp1_gradient_flow.json"}
    write_json(tmp_path / "file.json", files["exp1_gradient_flow.json"])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not strict JSON")

    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refuse)
    assert list(content) == list(ACTIVATIONS)
    for key, depths in content.items():
        # the robust protocol's depth is not the study's
        assert list(depths) == ["1", "3"]
        for depth, row in depths.items():
            assert set(row) == {"grad_magnitudes", "grad_ratio", "min_grad", "max_grad"}
            found = row["grad_magnitudes"]
            assert len(found) == int(depth) + 1
            assert (row["min_grad"], row["max_grad"]) == (min(found), max(found))
            if (key, depth) == ("relu", "3"):
                assert row["grad_ratio"] is None
            else:
                assert row["grad_ratio"] == pytest.approx(found[-1] / found[0], rel=1e-12)


def test_progress_adds_up_to_the_steps_announced() -> None:
    """Every network of both protocols is counted once."""
    config = small(activations=("relu", "gelu"), seeds=(7, 9))
    done: list[int] = []
    dataset = gradient_flow.run(config, done.append)
    assert sum(done) == config.steps == 2 * (2 + 2 * 2 + 2 * 2 + 2 * 2)
    assert dataset["seed"].to_numpy().tolist() == [7, 9]
    assert datasets.protocol_of(dataset)["seeds"] == [7, 9]
    assert dataset.attrs["experiment"] == "gradient-flow"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"activations": ("rleu",)}, "unknown activation 'rleu'.*'relu'"),
        ({"activations": ()}, "activations are \\[\\], but must be at least one, each named once"),
        ({"depths": (5, 5)}, "depths are \\[5, 5\\], but must be at least one, each named once"),
        ({"spread_widths": (64, 64)}, "spread_widths are \\[64, 64\\]"),
        ({"seeds": (1, 1)}, "seeds are \\[1, 1\\]"),
        ({"depths": ()}, "depths are \\[\\], but must be at least one"),
        ({"depths": (0,)}, "depth is 0"),
        ({"robust_depths": (1.5,)}, "depth is 1.5"),
        ({"initializers": ("he",)}, "unknown initializer 'he'"),
        ({"width": 0}, "width is 0"),
        ({"points": 1}, "points is 1, but must be at least 2"),
        ({"deep_points": 1}, "deep_points is 1, but must be at least 2"),
        ({"deep_depth": -1}, "deep_depth is -1"),
        ({"deep_seeds": 0}, "deep_seeds is 0"),
        ({"spread_widths": (8, 0)}, "width is 0"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], text: str) -> None:
    """Each mistake is refused before anything runs."""
    with pytest.raises(ActbenchError, match=text):
        small(**settings)
