"""What every experiment owes: a labelled dataset that its settings alone decide, and its words."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import xarray as xr
from drawings import in_pixels
from small_runs import SMALL, config_of, dataset_of

from actbench.store import datasets
from actbench.store.checkpoints import Folder
from actbench.store.errors import ActbenchError
from actbench.study import figures
from actbench.study.experiments import EXPERIMENTS, FURTHER, get, sine_regression


@dataclass(frozen=True)
class Expected:
    """What the small protocol of an experiment must give.

    Args:
        steps: Of progress, in all.
        parts: Which are kept one by one, where the run can be resumed.
        variables: By dimensions, all that the dataset holds.
        labels: Coordinates beside those that are settings.
        states: What the protocol says beside the settings.
        unstated: Settings that are not in it: told in other words, or of no effect.
        figures: By name the variables that the figure can't do without.
        short: What an estimate of the default protocol changes.
    """

    steps: int
    variables: Mapping[str, str]
    parts: int = 0
    labels: Mapping[str, list[Any]] = field(default_factory=dict)
    states: str = ""
    unstated: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)


X = np.linspace(-math.pi, math.pi, 6).tolist()
TRAINING = "optimizer objective random_state"
REFERENCES = ["best_constant", "best_line", "smoothing_spline", "kernel_ridge"]
LEVELS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
EXPECTED = {
    "sine-regression": Expected(
        steps=2 * 2 * 3,
        parts=2,
        variables={
            "activation seed epoch": "loss",
            "activation seed": "final_mse final_mse_clean diverged",
            "activation seed recorded_epoch layer": "gradient_magnitude",
            "activation seed layer": "weight_displacement",
            "activation seed x": "prediction",
            "activation hidden_layer x unit": "hidden_activation",
            "x": "target_noisy target_clean",
        },
        labels={
            "epoch": [0, 1, 2],
            "recorded_epoch": [0, 1, 2],
            "layer": [1, 2, 3],
            "hidden_layer": [1, 2],
            "unit": [0, 1, 2],
            "x": X,
        },
        states=f"{TRAINING} construction inputs gradient_magnitude",
        unstated="drawn_in_order",
        figures={
            "learned_functions": "prediction target_noisy",
            "loss_curves": "loss",
            "gradient_flow": "gradient_magnitude",
            "hidden_activations": "hidden_activation",
            "summary_figure": "final_mse loss gradient_magnitude prediction",
        },
        short={"epochs": 20},
    ),
    "gradient-flow": Expected(
        steps=2 * (2 + 2 + 2 + 2),
        variables={
            "activation depth layer": "gradient_magnitude",
            "activation depth": "gradient_ratio",
            "activation initializer seed depth layer": "robust_gradient_magnitude error_signal",
            "activation initializer depth layer": "error_signal_rms",
            "activation initializer deep_seed layer": (
                "deep_gradient_magnitude deep_error_signal deep_preactivation_square"
            ),
            "spread_activation width network": "error_slope",
        },
        labels={
            "depth": [1, 3, 2],
            "layer": list(range(1, 43)),
            "deep_seed": [43, 42],
            "spread_activation": ["relu", "gelu"],
            "width": [4],
        },
        states="objective recovered robust deep spread spread_depth spread_initializer",
        unstated="device threads",
        figures={"exp1_gradient_flow": "", "theory_error_signals": "", "theory_width": ""},
        short={"seeds": (42, 43, 44, 45), "spread_widths": ()},
    ),
    "activation-statistics": Expected(
        steps=2 * (6 * 2 * 2 + 2 * 3),
        parts=2,
        variables={
            "initializer seed": "trained",
            "activation initializer seed": "trained_mse",
            "activation stage initializer seed hidden_layer": (
                "pre_activation_mean pre_activation_std activation_mean activation_std zero_share "
                "near_zero_share dead_unit_share saturated_share saturated_unit_share"
            ),
            "activation stage initializer seed hidden_layer level": (
                "pre_activation_quantile activation_quantile"
            ),
        },
        labels={
            "stage": ["initial", "trained"],
            "hidden_layer": [1, 2, 3, 4],
            "level": LEVELS,
        },
        states=f"{TRAINING} pooling quantiles near_zero saturated dead",
        figures={
            "exp2_activation_distributions": "activation_quantile trained",
            "exp2_sparsity_dead_neurons": "dead_unit_share",
        },
        short={"seeds": (42, 43, 44, 45), "epochs": 20},
    ),
    "stability": Expected(
        steps=2 * 2 * 2 * 2 * (2 + 1) * 3,
        parts=4,
        variables={
            "activation skip depth learning_rate seed": "outcome loss_peak final_mse diverged",
            "activation skip depth learning_rate seed epoch": "loss",
            "activation skip depth seed": "stability_border",
            "x": "target_noisy target_clean",
        },
        labels={"epoch": [0, 1, 2], "x": X},
        states=f"{TRAINING} rules",
        figures={"exp3_stability": "outcome loss_peak"},
        short={"seeds": (42,), "epochs": 6},
    ),
    "capacity": Expected(
        steps=2 * 2 * 2 * 2 * 3,
        parts=2,
        variables={
            "activation target depth seed": "final_mse final_mse_clean diverged",
            "activation target depth seed x": "prediction",
            "target x": "target_noisy target_clean",
            "reference target x": "reference_prediction",
            "reference target": "reference_mse reference_mse_clean",
            "target": "kernel_ridge_freedom",
            "depth": "width parameters",
        },
        labels={"reference": REFERENCES, "x": X},
        states=f"{TRAINING} formulas references",
        figures={
            "exp4_predictions": "target_clean prediction",
            "exp4_representational_heatmap": "target_clean final_mse_clean",
        },
        short={"seeds": (42, 43), "epochs": 14},
    ),
    "training-dynamics": Expected(
        steps=2 * 2 * 3,
        parts=2,
        variables={
            "activation seed recorded_epoch hidden_layer": "activation_rms zero_share",
            "activation seed recorded_epoch layer": "gradient_magnitude error_signal",
            "activation seed recorded_epoch x": "learned_function",
            "activation seed epoch": "loss",
            "activation seed": "final_mse diverged",
            "x": "target_noisy target_clean",
        },
        labels={
            "epoch": [0, 1, 2],
            "recorded_epoch": [0, 1, 2, 3],
            "layer": [1, 2, 3],
            "hidden_layer": [1, 2],
            "x": X,
        },
        states=f"{TRAINING} recorded rms",
        unstated="drawn_in_order",
        figures={
            "activation_evolution": "activation_rms zero_share",
            "gradient_evolution": "gradient_magnitude error_signal",
            "training_dynamics_functions": "learned_function",
            "training_dynamics_summary": "loss activation_rms",
        },
        short={"epochs": 30},
    ),
    "plateau-escape": Expected(
        steps=2 * 2 * 2 * 3,
        parts=4,
        variables={
            "activation depth adam_eps seed epoch": "loss",
            "activation depth adam_eps seed": "final_mse plateau_gradient diverged",
        },
        labels={"epoch": [0, 1, 2]},
        states=f"{TRAINING} plateau_gradient",
        figures={"depth_decides": "loss"},
        short={"epochs": 8},
    ),
    "activation-derivatives": Expected(
        steps=2,
        variables={"activation z": "value derivative backward_difference forward_difference"},
        labels={"z": [-2, -1, 0, 1, 2]},
        states="dtype",
        unstated="seeds device threads",
    ),
    "closed-forms": Expected(
        steps=0,
        variables={
            "target": "best_constant_mse best_line_mse best_unit_interval_mse noise_mse",
            "activation": "report_over_card",
        },
        labels={"target": ["noisy_sine", "sine_one_period", "sine_two_periods"]},
        unstated="seeds device threads",
    ),
    "signal-propagation": Expected(
        steps=2 * 2 * 2,
        variables={
            "activation initializer width input_variance seed layer": (
                "born_dead_share dead_at_input_share pre_activation_mean pre_activation_variance "
                "activation_mean activation_variance"
            )
        },
        labels={"layer": [1, 2, 3]},
        states="draw",
        unstated="device",
        short={"seeds": (42,)},
    ),
    "moment-map": Expected(
        steps=1,
        variables={
            "activation mean variance weight_sum weight_square": (
                "next_mean next_variance jacobian_norm"
            )
        },
        labels={"mean": [-0.1, 0.1], "variance": [0.8, 1.5]},
        states="dtype",
        unstated="seeds device threads",
    ),
}
COORDINATES = {
    "activation": "activations",
    "initializer": "initializers",
    "target": "targets",
    "skip": "skip",
    "depth": "depths",
    "width": "widths",
    "learning_rate": "learning_rates",
    "adam_eps": "adam_epsilons",
    "input_variance": "input_variances",
    "seed": "seeds",
}
"""Which setting lists the labels of a dimension."""
RESUMED = [key for key, expected in EXPECTED.items() if expected.parts]
DRAWN = {name: key for key, expected in EXPECTED.items() for name in expected.figures}


def refuse(*_: object) -> NoReturn:
    """In place of what must not be called."""
    pytest.fail("computed")


def test_every_experiment_is_looked_at() -> None:
    """A new one is told what it owes."""
    assert set(EXPECTED) == set(SMALL) == {*EXPERIMENTS, *FURTHER}
    assert {key for key in EXPECTED if get(key).resumable} == set(RESUMED)


@pytest.mark.parametrize("key", EXPECTED)
def test_each_variable_has_its_dimensions_and_definition(key: str) -> None:
    """Every variable is labelled, and a reader of the file alone learns what it means."""
    dataset, expected = dataset_of(key), EXPECTED[key]
    found = {name: " ".join(map(str, variable.dims)) for name, variable in dataset.items()}
    named = {n: dims for dims, names in expected.variables.items() for n in names.split()}
    assert found == named
    if key != "closed-forms":
        assert all(v.attrs["definition"] and v.attrs["units"] for v in dataset.values())
    assert dataset.attrs["experiment"] == key
    assert dataset.attrs["schema_version"] == datasets.SCHEMA_VERSION


@pytest.mark.parametrize("key", EXPECTED)
def test_each_coordinate_has_its_values(key: str) -> None:
    """Labels are the settings, in their order."""
    config, labels = config_of(key), dict(EXPECTED[key].labels)
    for name, values in dataset_of(key).coords.items():
        expected = labels.pop(str(name), None)
        if expected is None and (setting := COORDINATES.get(str(name))) is not None:
            expected = list(getattr(config, setting, values.to_numpy()))
        if expected is not None:
            np.testing.assert_array_equal(values, expected)
    assert not labels


@pytest.mark.parametrize("key", EXPECTED)
def test_the_protocol_lists_every_setting_and_every_choice(key: str) -> None:
    """No setting on which a number depends is missing, nor what no argument changes."""
    config = config_of(key)
    protocol = datasets.protocol_of(dataset_of(key))
    assert protocol == json.loads(json.dumps(config.protocol()))
    given = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    stated = EXPECTED[key].states.split()
    kept = given.keys() - EXPECTED[key].unstated.split()
    assert protocol.keys() == kept | set(stated)
    assert {n: protocol[n] for n in kept} == json.loads(json.dumps({n: given[n] for n in kept}))
    assert all(protocol[name] for name in stated)
    facts = datasets.environment_of(dataset_of(key))
    assert (facts["device"], facts["threads"]) == ("cpu", 1)


@pytest.mark.parametrize("key", EXPECTED)
def test_a_run_is_repeated_bit_by_bit_and_its_progress_adds_up(key: str) -> None:
    """The same settings are the same dataset; lists do what tuples do."""
    listed = {n: list(v) if isinstance(v, tuple) else v for n, v in SMALL[key].items()}
    config = config_of(key, **listed)
    told: list[int] = []
    assert config == config_of(key)
    again = get(key).module().run(config, told.append)
    xr.testing.assert_identical(again, dataset_of(key))
    assert sum(told) == config.steps == EXPECTED[key].steps


@pytest.mark.parametrize("key", [key for key in EXPECTED if "seed" in dataset_of(key).dims])
def test_a_seed_is_the_same_alone_and_in_company(key: str) -> None:
    """What else is computed beside it changes nothing but rounding."""
    alone = get(key).module().run(config_of(key, seeds=(43,)))
    beside = dataset_of(key).sel(seed=[43])
    for name in [name for name, variable in beside.items() if "seed" in variable.dims]:
        if beside[name].dtype.kind == "U":
            assert alone[name].equals(beside[name])
        else:
            np.testing.assert_allclose(alone[name], beside[name], rtol=1e-5, err_msg=str(name))


@pytest.mark.parametrize(
    ("key", "where", "dims"),
    [
        ("stability", {}, ("activation", "skip", "depth", "learning_rate")),
        ("capacity", {"target": "sine"}, ("activation", "depth")),
        ("plateau-escape", {"adam_eps": 1e-8}, ("activation", "depth")),
    ],
)
def test_every_cell_is_the_main_experiment_at_its_settings(
    key: str, where: Mapping[str, Any], dims: Sequence[str]
) -> None:
    """Bit for bit: each setting and seed stands at its own label."""
    config, dataset = config_of(key), dataset_of(key).sel(where)
    for place in itertools.product(*(dataset[dim].to_numpy().tolist() for dim in dims)):
        at = dict(zip(dims, place, strict=True))
        cell = dataset.sel(at)
        width = int(cell["width"]) if "width" in cell else config.width
        changed = {**at, "skip": bool(at.get("skip"))}
        main = config_of("sine-regression", activations=changed.pop("activation"), width=width)
        expected = sine_regression.run(dataclasses.replace(main, **changed)).squeeze("activation")
        for name in {"loss", "prediction", "final_mse", "final_mse_clean"} & {*cell.data_vars}:
            np.testing.assert_array_equal(cell[name], expected[name], err_msg=f"{name}, {at}")


@pytest.mark.parametrize("key", RESUMED)
def test_threads_change_nothing(key: str) -> None:
    """Two networks at a time or one: not a bit of the result depends on it."""
    other = get(key).module().run(config_of(key, threads=2))
    xr.testing.assert_equal(other, dataset_of(key))


@pytest.mark.parametrize("key", RESUMED)
def test_an_interrupted_run_goes_on_where_it_stopped(key: str, tmp_path: Path) -> None:
    """What the second attempt returns is the undisturbed run, and finished parts are not redone."""
    config, run, expected = config_of(key), get(key).module().run, EXPECTED[key]
    facts = datasets.environment_of(dataset_of(key))

    def folder(progress: Callable[[int], None]) -> Folder:
        return Folder(tmp_path / "run.nc", key, config.protocol(), facts, progress)

    done: list[int] = []

    def interrupt(more: int) -> None:
        done.append(more)
        if sum(done) > (expected.parts - 1) * expected.steps / expected.parts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt, folder(interrupt))
    told: list[int] = []
    parts = folder(told.append)
    again = run(config, told.append, parts)
    assert parts.reused == expected.parts - 1
    assert sum(told) == expected.steps
    xr.testing.assert_equal(again, dataset_of(key))
    assert again.attrs == dataset_of(key).attrs


@pytest.mark.parametrize("key", EXPECTED)
def test_the_dataset_comes_back_from_its_file(key: str, tmp_path: Path) -> None:
    """Nothing in it is beyond what the file can hold; words are words in it too."""
    datasets.save(dataset_of(key), tmp_path / "run.nc")
    loaded = datasets.load(tmp_path / "run.nc")
    words = {n: v.astype(object) for n, v in dataset_of(key).items() if v.dtype.kind == "U"}
    xr.testing.assert_identical(loaded, dataset_of(key).assign(words))


@pytest.mark.parametrize("key", RESUMED)
def test_an_absent_device_is_refused_before_anything_is_computed(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is not there stops the run before the first network is built."""
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu",))
    with pytest.raises(ActbenchError, match=r"^device 'cuda' is not present; present here: cpu"):
        get(key).module().run(config_of(key, device="cuda"), refuse, refuse)


@pytest.mark.parametrize("key", EXPECTED)
def test_an_estimate_runs_less_of_the_same(key: str) -> None:
    """The same networks, and never more than asked for."""
    module = get(key).module()
    calibration = getattr(module, "calibration", lambda config: config)
    config = module.Config()
    assert calibration(config) == dataclasses.replace(config, **EXPECTED[key].short)
    small = config_of(key)
    shorter = calibration(small)
    for name in {"epochs", "networks"} & SMALL[key].keys():
        assert getattr(shorter, name) == getattr(small, name)


@pytest.mark.parametrize(("name", "key"), DRAWN.items(), ids=list(DRAWN))
def test_each_figure_is_drawn_from_a_run(name: str, key: str) -> None:
    """Under the study's name, with a caption; what it lacks in another dataset is named."""
    assert list(figures.FIGURES[key]) == list(EXPECTED[key].figures)
    assert get(key).drawn("CAPTIONS")[name]
    draw = figures.FIGURES[key][name]
    in_pixels(draw(dataset_of(key)), layout=False)
    for variable in EXPECTED[key].figures[name].split():
        with pytest.raises(KeyError, match=variable):
            draw(dataset_of(key).drop_vars(variable))
