"""Gradients at initialization: the study's printed digits, and autograd's own numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from plain_networks import error_signals, forward, linear_layers, magnitudes
from small_runs import recovered

from actbench.store.files import write_json
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.experiments import gradient_flow
from actbench.study.experiments.gradient_flow import Config, _passes

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


@pytest.mark.parametrize("key", list(RATIOS_AT_DEPTH_10))
def test_recovered_ratio_has_the_printed_digits(key: str) -> None:
    """Output layer over layer 1, at depth 10, as the study drew it."""
    found = recovered()["gradient_ratio"].sel(activation=key, depth=10).item()
    assert found == pytest.approx(RATIOS_AT_DEPTH_10[key], rel=2e-5)


def test_recovered_magnitudes_are_those_of_the_bar_charts() -> None:
    """The charts' ends for sigmoid and ReLU, and ReLU's smallest layer."""
    chosen = recovered()["gradient_magnitude"].sel(depth=10)
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


def by_autograd(key: str, initializer: str, seed: int, depth: int) -> dict[str, list[float]]:
    """What flows through one network, in plain torch, by the end of a variable's name."""
    layers = linear_layers(depth, 5, seed, initializer)
    x = torch.linspace(-math.pi, math.pi, 7, dtype=torch.float64)[:, None]
    pre_activations, outputs = forward(layers, key, x)
    outputs[-1].mean().backward()  # type: ignore[no-untyped-call]
    return {
        "gradient_magnitude": magnitudes(layers),
        "error_signal": error_signals(pre_activations),
        "preactivation_square": [z.detach().square().mean().item() for z in pre_activations],
    }


@pytest.mark.parametrize("key", list(ACTIVATIONS))
@pytest.mark.parametrize("initializer", ["torch_default", "he_normal"])
def test_numbers_are_those_of_autograd(key: str, initializer: str, dataset: xr.Dataset) -> None:
    """For every member of both parts, by retained gradients, layer by layer.

    Mean |dL/dW|, rms dL/dz and in the deep part mean z^2. An odd network without biases has a mean
    output of zero on inputs that are symmetric about zero, whatever its weights: those gradients of
    weights are rounding alone.
    """
    chosen = dataset.sel(activation=key, initializer=initializer)
    robust = chosen.sel(depth=2)
    assert chosen["deep_seed"].to_numpy().tolist() == [42, 43]
    for seed in (42, 43, 44):
        found = by_autograd(key, initializer, seed, 2)
        one = robust.sel(seed=seed).isel(layer=slice(3))
        magnitude, signal = one["robust_gradient_magnitude"], one["error_signal"]
        np.testing.assert_allclose(magnitude, found["gradient_magnitude"], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(signal, found["error_signal"], rtol=1e-9)
    for seed in (42, 43):
        one = chosen.sel(deep_seed=seed)
        for name, expected in by_autograd(key, initializer, seed, 3).items():
            rounding = 1e-15 if name == "gradient_magnitude" else 0
            np.testing.assert_allclose(one[f"deep_{name}"], expected, rtol=1e-9, atol=rounding)
    pooled = np.sqrt(np.mean(robust["error_signal"].to_numpy() ** 2, axis=0))
    np.testing.assert_allclose(robust["error_signal_rms"].to_numpy()[:3], pooled[:3], rtol=1e-14)


def test_slopes_are_those_of_a_plain_network(dataset: xr.Dataset) -> None:
    """One input, He-normal: decades per layer between the first and the last hidden layer."""
    assert dataset["spread_activation"].to_numpy().tolist() == ["linear", "tanh", "relu", "gelu"]
    found = dataset["error_slope"].sel(width=6, spread_activation="tanh").to_numpy()
    assert found.shape == (3,)
    layers = linear_layers(6, 6, 43, "he_normal", torch.float32)
    pre_activations, outputs = forward(layers, "tanh", torch.ones(1, 1))
    outputs[-1].mean().backward()  # type: ignore[no-untyped-call]
    first, *_, last, _ = error_signals(pre_activations)
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


@pytest.mark.parametrize(
    ("limit", "most"), [("_STACK_MEMBERS", 2), ("_STACK_NUMBERS", 1)], ids=["two", "one by one"]
)
def test_cutting_the_seeds_into_stacks_changes_nothing(
    dataset: xr.Dataset, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    """Two stacks, of two members and of one, give what one stack of three gives, as do three."""
    monkeypatch.setattr(_passes, limit, most)
    cut = gradient_flow.run(small())
    single = ["error_slope"]  # in single precision
    xr.testing.assert_allclose(cut.drop_vars(single), dataset.drop_vars(single), rtol=1e-12)
    xr.testing.assert_allclose(cut[single], dataset[single], rtol=1e-4)


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
