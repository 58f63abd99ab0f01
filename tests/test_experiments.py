"""What every experiment owes: a labelled dataset that its settings alone decide, and its words."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import xarray as xr
from drawings import in_pixels
from small_runs import EXPECTED, SMALL, config_of, dataset_of

from actbench.store import datasets
from actbench.store.checkpoints import Folder
from actbench.store.errors import ActbenchError
from actbench.study import figures
from actbench.study.experiments import EXPERIMENTS, FURTHER, get, sine_regression

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
    figure = draw(dataset_of(key))
    if key == "sine-regression":  # others are drawn from odder numbers in test_any_dataset.py
        in_pixels(figure, layout=False)
    for variable in EXPECTED[key].figures[name].split():
        with pytest.raises(KeyError, match=variable):
            draw(dataset_of(key).drop_vars(variable))
