"""Finished parts survive an interruption, are never taken for another run's, and go at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from drawings import draw_instead

from actbench.runs import results
from actbench.store import checkpoints
from actbench.study.experiments import get, sine_regression
from actbench.study.nets import training

PROTOCOL: dict[str, Any] = {"epochs": 3}
HERE: dict[str, Any] = {"torch": "2.13.0"}


def value(number: float) -> xr.Dataset:
    """A part that holds one number."""
    return xr.Dataset({"loss": ("seed", [number])})


def folder(tmp_path: Path, done: list[int] | None = None, **other: Any) -> checkpoints.Folder:
    """The parts of one run, beside its dataset."""
    settings = {"experiment": "sine-regression", "protocol": PROTOCOL, "environment": HERE, **other}
    note = [] if done is None else done
    return checkpoints.Folder(tmp_path / "run.nc", **settings, progress=note.append)


def never() -> xr.Dataset:
    """What must not be computed again."""
    raise AssertionError("this part was there")


def test_a_finished_part_is_not_computed_again(tmp_path: Path) -> None:
    """A second run reads it, and its steps count as done; where nothing is kept, it is computed."""
    assert checkpoints.compute_now("relu", 5, lambda: value(1.0))["loss"].item() == 1.0
    folder(tmp_path)("relu", 5, lambda: value(0.1))
    done: list[int] = []
    again = folder(tmp_path, done)
    assert again("relu", 5, never)["loss"].item() == 0.1
    assert (done, again.reused, again.notes) == ([5], 1, [])


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("gelu", {}),
        ("relu", {"protocol": {"epochs": 4}}),
        ("relu", {"environment": {"torch": "2.6.0"}}),
        ("relu", {"experiment": "stability"}),
    ],
)
def test_a_part_of_something_else_is_not_taken(
    tmp_path: Path, key: str, other: dict[str, Any]
) -> None:
    """Another part, setting, environment or experiment is computed for itself."""
    folder(tmp_path)("relu", 5, lambda: value(1.0))
    asked = folder(tmp_path, **other)
    assert asked(key, 5, lambda: value(2.0))["loss"].item() == 2.0
    assert asked.reused == 0


def test_a_damaged_part_is_computed_again_and_said(tmp_path: Path) -> None:
    """A flipped bit is noticed; the good part replaces it."""
    folder(tmp_path)("relu", 5, lambda: value(1.0))
    (path,) = tmp_path.rglob("*.nc")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = folder(tmp_path)
    assert again("relu", 5, lambda: value(1.0))["loss"].item() == 1.0
    (note,) = again.notes
    assert note.startswith("part 'relu' recomputed, because ")
    assert "is damaged" in note
    assert folder(tmp_path)("relu", 5, never)["loss"].item() == 1.0


def test_discarding_leaves_other_runs_alone(tmp_path: Path) -> None:
    """What is saved as a whole needs no parts; an interrupted run of other settings keeps its."""
    one, other = folder(tmp_path), folder(tmp_path, protocol={"epochs": 4})
    for parts in (one, other):
        parts("relu", 5, lambda: value(1.0))
    one.discard()
    assert other("relu", 5, never)["loss"].item() == 1.0
    other.discard()
    assert list(tmp_path.iterdir()) == []
    other.discard()


def test_an_interrupted_run_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second of two activations, it trains that one alone, and no bit differs."""
    draw_instead(monkeypatch, "sine-regression", {})
    experiment = get("sine-regression")
    config = sine_regression.Config(
        activations=("relu", "gelu"), seeds=2, epochs=4, depth=2, width=4, points=8, threads=1
    )
    whole = tmp_path / "whole"
    results.fulfil(experiment, config, whole)
    train, trained = training.train, []

    def counted(architecture: Any, *arguments: Any, **recorder: Any) -> Any:
        trained.append(architecture.activation.key)
        if trained == ["relu", "gelu"]:
            raise KeyboardInterrupt
        return train(architecture, *arguments, **recorder)

    monkeypatch.setattr("actbench.study.experiments._noisy_sine.train", counted)
    with pytest.raises(KeyboardInterrupt):
        results.fulfil(experiment, config, tmp_path / "stopped")
    steps: list[int] = []
    outcome = results.fulfil(experiment, config, tmp_path / "stopped", progress=steps.append)
    assert trained == ["relu", "gelu", "gelu"]
    assert sum(steps) == config.steps
    assert outcome.notes == ["went on after an interrupted run: 1 part was there already"]
    read: Callable[[Path], bytes] = lambda path: (path / "sine_regression.nc").read_bytes()  # noqa: E731
    assert read(tmp_path / "stopped") == read(whole)
    assert not (tmp_path / "stopped" / ".sine_regression.parts").exists()
