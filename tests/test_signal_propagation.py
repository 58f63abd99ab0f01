"""Random networks before training: layer by layer as by hand, and as probability theory has it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from fresh_runs import compare
from numpy.typing import NDArray

from actbench import claims
from actbench.claims import measured
from actbench.runs import evidence
from actbench.study import theory
from actbench.study.catalog import initializers
from actbench.study.experiments import signal_propagation
from actbench.study.experiments.signal_propagation import Config, drawn_layers, run

STUDIES = {path.stem: claims.load(path) for path in claims.further_studies()}


def tiny(**changes: Any) -> Config:
    """Five networks of two units in three layers, on four inputs."""
    small = Config(widths=(2,), depth=3, networks=5, points=4, seeds=2, threads=1)
    return dataclasses.replace(small, **changes)


def by_hand(
    layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]], x: NDArray[np.float64]
) -> dict[str, list[float]]:
    """What is recorded of one draw and one set of inputs ``(point, feature)``, by plain loops."""
    count = len(layers[0][0])
    outputs = [list(x) for _ in range(count)]
    gone = [[False] * len(x) for _ in range(count)]
    ever = [False] * count
    found: dict[str, list[float]] = {}
    for weights, biases in layers:
        pre = [
            [weights[n] @ point + biases[n][0] for point in points]
            for n, points in enumerate(outputs)
        ]
        outputs = [[np.maximum(z, 0) for z in points] for points in pre]
        for n, points in enumerate(outputs):
            silent = [not point.any() for point in points]
            gone[n] = [before or now for before, now in zip(gone[n], silent, strict=True)]
            ever[n] = ever[n] or all(silent)
        row = {
            "born_dead_share": np.mean(ever),
            "dead_at_input_share": np.mean([points[-1] for points in gone]),
            "pre_activation_mean": np.mean(pre),
            "pre_activation_variance": np.var(pre),
            "activation_mean": np.mean(outputs),
            "activation_variance": np.var(outputs),
        }
        for name, value in row.items():
            found.setdefault(name, []).append(float(value))
    return found


@pytest.mark.parametrize("initializer", ["he_normal", "torch_default"])
def test_every_number_is_the_one_by_hand(initializer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares, means and variances of each layer, with two scales of input, zero bias or not."""
    drawn = []

    def keep(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        weights, biases = drawn_layers(*arguments)
        drawn.append((weights.double().numpy(), biases.double().numpy()))
        return weights, biases

    monkeypatch.setattr(signal_propagation.experiment, "drawn_layers", keep)
    config = tiny(
        initializers=(initializer,), seeds=(7,), networks=40, input_mean=0.5,
        input_variances=(1.0, 4.0),
    )  # fmt: skip
    dataset = run(config).squeeze(["activation", "initializer", "width", "seed"])
    standard = np.linspace(-math.sqrt(3), math.sqrt(3), 4)[:, None]
    for variance in (1.0, 4.0):
        expected = by_hand(drawn, 0.5 + math.sqrt(variance) * standard)
        for name, values in expected.items():
            found = dataset[name].sel(input_variance=variance)
            np.testing.assert_allclose(found, values, rtol=2e-5, atol=1e-7, err_msg=name)
        assert 0 < expected["born_dead_share"][-1] < expected["dead_at_input_share"][-1] < 1


@pytest.mark.parametrize("key", ["xavier_normal", "xavier_uniform", "he_normal", "torch_default"])
def test_layers_of_many_networks_have_one_layers_variance(key: str) -> None:
    """Drawn together or alone, weights and biases have the variances that are stated."""
    initializer = initializers.get(key)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        weights, biases = drawn_layers(initializer, 8, 4, 20_000)
    assert weights.shape == (20_000, 4, 8)
    assert biases.shape == (20_000, 1, 4)
    assert weights.var().item() == pytest.approx(initializer.weight_variance(8, 4), rel=0.01)
    assert biases.var().item() == pytest.approx(initializer.bias_variance(8), rel=0.02)


def test_a_seed_is_a_draw_of_its_own() -> None:
    """A seed gives the same draw alone or beside others, and torch's stream is left as it was."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    both, alone = run(tiny(seeds=(3, 9))), run(tiny(seeds=(9,)))
    assert torch.equal(torch.get_rng_state(), before)
    xr.testing.assert_equal(both.isel(seed=[1]), alone)
    assert not both["activation_mean"].isel(seed=0).equals(both["activation_mean"].isel(seed=1))


def test_draws_too_large_for_memory_are_passed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more networks at a time than the limit allows, and every network once."""
    passed = []
    whole = signal_propagation.experiment._pass

    def watched(*arguments: Any) -> Any:
        passed.append(arguments[3][0])
        return whole(*arguments)

    monkeypatch.setattr(signal_propagation.experiment, "_pass", watched)
    monkeypatch.setattr(signal_propagation.experiment, "_CHUNK_NUMBERS", 16)
    steps: list[int] = []
    config = tiny(seeds=(3,))
    run(config, steps.append)
    assert passed == steps == [2, 2, 1]
    assert sum(steps) == config.steps


def test_a_short_run_shows_what_theory_says() -> None:
    """8000 networks: exact at one input, for two layers and for width 1, else within bounds."""
    config = tiny(widths=(1, 2, 3), depth=6, networks=1000, seeds=8, points=2)
    mean = run(config).mean("seed").squeeze(drop=True)
    for width in config.widths:
        for depth in (1, 2, 6):
            place = {"width": width, "layer": depth}
            dead, at_one = (mean[n].sel(place).item() for n in config_variables())
            low, high = theory.born_dead_bounds(width, depth)
            sd = 0.5 / math.sqrt(8000)
            assert at_one == pytest.approx(high, abs=4 * sd)
            if depth <= 2 or width == 1:
                assert dead == pytest.approx(low, abs=4 * sd)
            assert low - 4 * sd <= dead <= at_one


def config_variables() -> tuple[str, str]:
    """The two shares, on all inputs and on one."""
    return "born_dead_share", "dead_at_input_share"


@pytest.mark.parametrize(
    ("study", "protocol"),
    [("dying-relu", "zero-bias"), ("self-normalizing", "near-the-fixed-point")],
)
def test_a_small_fresh_run_agrees_with_the_store(study: str, protocol: str) -> None:
    """A few seeds of a slow protocol have the distribution of the hundred that are stored."""
    file = STUDIES[study]
    config = evidence.config_for(file.protocol[protocol], 1, "cpu", 1)
    dataset = run(dataclasses.replace(config, seeds=(301, 302, 303, 304)))
    stored = measured.load(protocol, file.measured_folder)
    assert compare(stored, measured.from_dataset(protocol, file, dataset)) == []


def test_the_store_holds_a_hundred_thousand_networks() -> None:
    """What the claims about being born dead are judged from."""
    file = STUDIES["dying-relu"]
    for protocol in file.protocol:
        stored = measured.load(protocol, file.measured_folder)
        assert all(
            len(entry.values) * stored.settings["networks"] >= 100_000 for entry in stored.entries
        )
