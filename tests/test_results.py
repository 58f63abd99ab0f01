"""An output folder: what is there is reused, the rest is written, nothing is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import xarray as xr
from drawings import draw_instead
from matplotlib.figure import Figure

from actbench.runs.results import Outcome, default_name, fulfil
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments import EXPERIMENTS, FURTHER, get, sine_regression
from actbench.study.experiments.sine_regression import Config

EXPERIMENT = get("sine-regression")
TINY = Config(
    activations=("relu",), seeds=2, epochs=3, depth=2, width=4, points=10, device="cpu", threads=1
)
FILES = [
    "sine_regression.nc",
    "final_losses.json",
    "loss_histories.json",
    "gradient_magnitudes.json",
    "gradient_magnitudes_epochs.json",
    "drawing.png",
    "drawing.svg",
    "film.gif",
]


@pytest.fixture(scope="module", autouse=True)
def drawn() -> Iterator[None]:
    """One plain figure instead of the real ones, and a film that tells what it was drawn from."""

    def draw(dataset: xr.Dataset) -> Figure:  # noqa: ARG001 - as every figure
        return Figure(figsize=(1, 1))

    def film(dataset: xr.Dataset) -> bytes:
        return b"GIF89a" + dataset["final_mse"].to_numpy().tobytes()

    with pytest.MonkeyPatch.context() as patch:
        draw_instead(patch, EXPERIMENT.key, {"drawing": draw})
        draw_instead(patch, EXPERIMENT.key, {"film": film}, "ANIMATIONS")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, drawn: None) -> Path:  # noqa: ARG001 - first
    """The results of ``TINY``, run once."""
    folder = tmp_path_factory.mktemp("made") / "a" / "b"
    steps: list[int] = []
    outcome = fulfil(EXPERIMENT, TINY, folder, progress=steps.append)
    assert sum(steps) == 1 * 2 * 3
    assert (outcome.reused, outcome.notes) == (False, [])
    assert outcome.written == [folder / name for name in FILES]
    return folder


@pytest.fixture
def out(tmp_path: Path, made: Path) -> Path:
    """A folder that holds the results of ``TINY``."""
    return shutil.copytree(made, tmp_path / "results")


def forbid_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make computing anything a failure."""
    monkeypatch.setattr(sine_regression.experiment, "run", lambda *_: pytest.fail("computed again"))


@pytest.fixture
def finished(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and computing anything is a failure."""
    forbid_running(monkeypatch)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def names(outcome: Outcome) -> list[str]:
    """List the files that were written."""
    return [path.name for path in outcome.written]


def final_loss(folder: Path) -> float:
    """Read one number of the study files."""
    text = (folder / "final_losses.json").read_text(encoding="utf-8")
    loss: float = json.loads(text)["relu"]
    return loss


def filmed(folder: Path) -> bytes:
    """Read what the film was drawn from."""
    return (folder / "film.gif").read_bytes().removeprefix(b"GIF89a")


def test_everything_is_written_and_listed(out: Path) -> None:
    """A new folder gets data, study files and figures, each named to the user where it is made."""
    assert contents(out).keys() == {*FILES, "sine_regression.nc.sha256"}
    dataset = datasets.load(out / default_name(EXPERIMENT))
    assert dataset["final_mse"].sel(activation="relu", seed=42) == final_loss(out)
    for key in EXPERIMENTS:
        assert default_name(get(key)) == f"{key.replace('-', '_')}.nc"


def test_a_variant_is_data_alone_beside_the_experiment(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its own file, no study files or figures, and touches no other; it is guarded alike."""
    before, name = contents(out), "sine_regression-deeper.nc"
    deeper = dataclasses.replace(TINY, depth=3)
    outcome = fulfil(EXPERIMENT, deeper, out, name=name)
    assert (outcome.reused, names(outcome)) == (False, [name])
    assert outcome.dataset.sizes["layer"] == 4
    after = contents(out)
    assert after.keys() - before.keys() == {name, f"{name}.sha256"}
    assert {name: after[name] for name in before} == before
    forbid_running(monkeypatch)
    again = fulfil(EXPERIMENT, deeper, out, name=name)
    assert (again.reused, again.written) == (True, [])
    with pytest.raises(ActbenchError) as caught:
        fulfil(EXPERIMENT, TINY, out, name=name)
    assert str(caught.value).startswith(
        f"{out / name} holds results of other settings (depth: 3 there, 2 now)."
    )
    assert contents(out) == after


UNTRAINED = [key for key in EXPERIMENTS if "device" not in get(key).module().Config().protocol()]
ONE = {"activations": ("relu",), "seeds": 1, "epochs": 2, "width": 4, "points": 6}
SMALL: dict[str, dict[str, object]] = {
    "sine-regression": {**ONE, "depth": 2},
    "gradient-flow": {
        "depths": (2,),
        "robust_depths": (2,),
        "seeds": 2,
        "initializers": ("he_normal",),
        "deep_depth": 0,
        "spread_widths": (),
    },
    "activation-derivatives": {"points": 101},
    "activation-statistics": {**ONE, "depth": 2},
    "stability": {**ONE, "depths": (2,), "learning_rates": (0.1,)},
    "capacity": {
        **{name: value for name, value in ONE.items() if name != "width"},
        "targets": ("step",),
        "depths": (2,),
        "widths": (4,),
    },
    "training-dynamics": {**ONE, "depth": 2},
    "plateau-escape": {**ONE, "depths": (2,)},
    "signal-propagation": {"widths": (2,), "depth": 2, "networks": 4, "points": 4, "seeds": 2},
}


@pytest.mark.parametrize("key", [*EXPERIMENTS, *FURTHER])
def test_the_same_command_reuses_on_a_machine_of_several_cores(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody asked for, such as the number of threads, is the same, or is not used."""
    draw_instead(monkeypatch, key, {})
    draw_instead(monkeypatch, key, {}, "ANIMATIONS")
    monkeypatch.setattr("actbench.study.nets.devices.default_threads", lambda: 2)
    experiment = get(key)
    config = experiment.module().Config(**SMALL.get(key, {}), device="cpu")
    assert not fulfil(experiment, config, tmp_path).reused
    assert fulfil(experiment, config, tmp_path).reused
    if key in UNTRAINED:  # where nothing runs on the accelerator, its presence refuses no result
        monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu", "mps"))
        monkeypatch.setattr("actbench.study.nets.devices.default_threads", lambda: 3)
        outcome = fulfil(experiment, dataclasses.replace(config, device="auto"), tmp_path)
        assert (outcome.reused, outcome.written, outcome.notes) == (True, [], [])


@pytest.mark.parametrize(
    ("key", "device", "told"),
    [
        *((key, "cpuu", "unknown device 'cpuu'") for key in UNTRAINED),
        (EXPERIMENT.key, "cuda", "device 'cuda' is not present"),
    ],
)
def test_a_device_that_is_not_there_leaves_no_folder(
    key: str, device: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in a device's name is told, whatever is run, and a refusal leaves nothing behind."""
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu",))
    with pytest.raises(ActbenchError, match=f"^{told}"):
        fulfil(get(key), get(key).module().Config(device=device), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_the_device_that_was_used_counts(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for as 'auto' and came to be the CPU is the CPU's result, and no other's."""
    auto = dataclasses.replace(TINY, device="auto")
    fulfil(EXPERIMENT, auto, out, overwrite=True)
    assert fulfil(EXPERIMENT, TINY, out).reused
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu", "mps"))
    with pytest.raises(ActbenchError, match=r"\(device: 'cpu' there, 'mps' now\)"):
        fulfil(EXPERIMENT, auto, out)


def test_the_study_files_are_strict_json(tmp_path: Path) -> None:
    """A network that diverged gives null in every file, never the word NaN or Infinity."""
    diverging = dataclasses.replace(TINY, initializer="normal(1e15)", activations=("relu", "tanh"))
    fulfil(EXPERIMENT, diverging, tmp_path)

    def refuse(constant: str) -> NoReturn:
        pytest.fail(f"{constant} is not JSON")

    read = {
        path.name: json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
        for path in tmp_path.glob("*.json")
    }
    assert read["final_losses.json"]["relu"] is None
    assert isinstance(read["final_losses.json"]["tanh"], float)
    assert read["loss_histories.json"]["relu"] == [None, None, None]
    assert read["gradient_magnitudes.json"]["relu"] == [None, None, None]
    assert read["gradient_magnitudes_epochs.json"]["relu"]["2"] == [None, None, None]


def test_a_second_time_nothing_is_computed_or_written(finished: Path) -> None:
    """With the same settings all is reused, and no byte of the folder changes."""
    before = contents(finished)
    steps: list[int] = []
    outcome = fulfil(EXPERIMENT, TINY, finished, progress=steps.append)
    assert (outcome.reused, outcome.written, outcome.notes) == (True, [], [])
    assert contents(finished) == before
    xr.testing.assert_identical(outcome.dataset, datasets.load(finished / "sine_regression.nc"))
    assert sum(steps) == 0


@pytest.mark.parametrize("name", FILES[1:])
def test_what_is_missing_is_written_again(finished: Path, name: str) -> None:
    """A deleted file comes back as it was, from the stored data, a figure in both its forms."""
    before = contents(finished)
    (finished / name).unlink()
    outcome = fulfil(EXPERIMENT, TINY, finished)
    drawn = ["drawing.png", "drawing.svg"]
    assert (outcome.reused, names(outcome)) == (True, drawn if name in drawn else [name])
    assert contents(finished) == before


@pytest.mark.parametrize("damage", ["flipped", "truncated", "no checksum"])
def test_damaged_data_is_computed_again_with_a_note(out: Path, damage: str) -> None:
    """What can't be trusted is replaced by the same numbers, and the user is told why."""
    before = contents(out)
    path = out / "sine_regression.nc"
    content = before[path.name]
    if damage == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    else:
        path.with_name("sine_regression.nc.sha256").unlink()
    outcome = fulfil(EXPERIMENT, TINY, out)
    assert not outcome.reused
    assert names(outcome) == FILES
    reason = "can't read" if damage == "no checksum" else f"{path} is damaged: its SHA-256"
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith(f"recomputed, because {reason}")
    assert contents(out) == before


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"epochs": 4}, "epochs: 3 there, 4 now"),
        ({"seeds": 3}, "seeds: [42, 43] there, [42, 43, 44] now"),
        (
            {"learning_rate": 0.01, "activations": ("tanh",)},
            "activations: ['relu'] there, ['tanh'] now; learning_rate: 0.001 there, 0.01 now",
        ),
    ],
)
def test_other_settings_are_refused_and_named(
    finished: Path, changed: dict[str, object], text: str
) -> None:
    """Results of another protocol are never mixed in, and what differs is named, both ways."""
    before = contents(finished)
    with pytest.raises(ActbenchError) as caught:
        fulfil(EXPERIMENT, dataclasses.replace(TINY, **changed), finished)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{finished / 'sine_regression.nc'} holds results of other settings ({text}). "
        "Replace them with --overwrite, or choose another folder with --out"
    )
    assert contents(finished) == before


def test_another_environment_is_refused_and_named(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of another torch release are not taken for this one's."""
    stored = datasets.environment_of(datasets.load(finished / "sine_regression.nc"))
    other = {**stored, "torch": "2.6.0"}
    monkeypatch.setattr("actbench.store.environment.describe", lambda device, threads: other)
    with pytest.raises(ActbenchError) as caught:
        fulfil(EXPERIMENT, TINY, finished)
    assert f"(torch: {stored['torch']!r} there, '2.6.0' now)" in str(caught.value)


def test_overwriting_replaces_all(out: Path) -> None:
    """When asked to, every file is made from the new settings."""
    before = contents(out)
    outcome = fulfil(EXPERIMENT, dataclasses.replace(TINY, epochs=4), out, overwrite=True)
    assert not outcome.reused
    assert names(outcome) == FILES
    assert outcome.dataset.sizes["epoch"] == 4
    assert final_loss(out) == outcome.dataset["final_mse"].sel(activation="relu", seed=42)
    assert filmed(out) == outcome.dataset["final_mse"].to_numpy().tobytes()
    assert contents(out).keys() == before.keys()


def test_another_schema_is_refused(out: Path) -> None:
    """Data of another version of the package is not silently replaced."""
    path = out / "sine_regression.nc"
    other = datasets.load(path)
    other.attrs["schema_version"] = 99
    datasets.save(other, path)
    with pytest.raises(ActbenchError, match="has schema version 99, but this actbench reads"):
        fulfil(EXPERIMENT, TINY, out)


def test_what_an_interrupted_run_left_of_older_settings_is_not_kept(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the data but before the rest, the next run writes the rest anew."""
    for path in out.iterdir():
        os.utime(path, ns=(0, 0))
    other = dataclasses.replace(TINY, learning_rate=0.1)

    def interrupt(dataset: xr.Dataset) -> NoReturn:
        raise KeyboardInterrupt(dataset.sizes)

    with monkeypatch.context() as patch:
        patch.setattr(sine_regression.experiment, "study_files", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fulfil(EXPERIMENT, other, out, overwrite=True)
    forbid_running(monkeypatch)
    outcome = fulfil(EXPERIMENT, other, out)
    assert (outcome.reused, names(outcome)) == (True, FILES[1:])
    assert final_loss(out) == outcome.dataset["final_mse"].sel(activation="relu", seed=42)
    assert filmed(out) == outcome.dataset["final_mse"].to_numpy().tobytes()


def test_an_interrupt_while_training_leaves_earlier_results(out: Path) -> None:
    """Ctrl-C in the middle of a run that was to replace results leaves them as they were."""
    before = contents(out)

    def interrupt(done: int) -> NoReturn:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt):
        fulfil(EXPERIMENT, TINY, out, overwrite=True, progress=interrupt)
    assert contents(out) == before


def test_an_unwritable_folder_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a training whose results have no place."""
    (tmp_path / "file").touch()
    forbid_running(monkeypatch)
    with pytest.raises(ActbenchError, match=r"^can't write to the output folder '.*file/results'"):
        fulfil(EXPERIMENT, TINY, tmp_path / "file" / "results")
