"""A grid that trains in a moment, and how two stores are compared."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rounding
import xarray as xr

from actbench.store import environment
from actbench.study.sweeps import grid_files
from actbench.study.sweeps.grids import Grid

pytest.importorskip("zarr", reason="sweeps need the extra: pip install 'actbench-claims[scale]'")
pytest.importorskip(
    "distributed", reason="sweeps need the extra: pip install 'actbench-claims[scale]'"
)

from actbench.study.sweeps import running, stores

TEXT = """
[settings]
epochs = 6
points = 16
width = 16
recorded_epochs = [0, 5]
[grid]
activation = ["relu", "tanh"]
seed = 5
[[zip]]
depth = [2, 3]
learning_rate = [1e-3, 1e-2]
"""
CHUNK = 3


def small_grid(text: str = TEXT) -> Grid:
    """Twenty members in four stacks; chunks of three cut through them."""
    return grid_files.build(tomllib.loads(text))


def new_store(path: Path, grid: Grid | None = None, chunk: int = CHUNK) -> stores.Store:
    """Open the store of a grid, made here where there is none."""
    return stores.open_or_create(path, grid or small_grid(), chunk, environment.describe("cpu", 1))


def load(path: Path) -> xr.Dataset:
    """Read a store as a user does."""
    dataset: xr.Dataset = xr.open_zarr(path, chunks=None).load()
    return dataset


def assert_same(one: Path, other: Path, *, cut_alike: bool = True) -> None:
    """Two stores hold every member and the same, to the bit where their stacks are the same."""
    first, second = load(one), load(other)
    assert (first["status"] == stores.TRAINED).all()
    assert set(first.variables) == set(second.variables)
    for name, variable in first.variables.items():
        wanted = second.variables[name].values
        if cut_alike or wanted.dtype.kind != "f":
            assert bits(variable.values) == bits(wanted), name
        else:
            rounding.assert_same(
                variable.values,
                wanted,
                terms=16,
                depth=3,
                updates=6,
                dtype=np.float32,
                name=str(name),
            )
    assert first.attrs["grid_sha256"] == second.attrs["grid_sha256"]


def bits(values: Any) -> Any:
    """What tells apart even zeros and NaNs."""
    array = np.asarray(values)
    return array.tolist() if array.dtype.kind in "OTU" else array.tobytes()


def silent(line: str) -> None:
    """Nobody expects to be told anything."""
    raise AssertionError(line)


def nothing(done: int) -> None:
    """No progress is shown."""


def train(
    store: stores.Store,
    numbers: Sequence[int] | None = None,
    threads: int = 1,
    progress: Callable[[int], None] = nothing,
    say: Callable[[str], None] = silent,
) -> running.Failures:
    """Train chunks of a store in this process: those that it lacks, unless others are named."""
    failures = running.Failures(say)
    numbers = store.missing()[0] if numbers is None else numbers
    running.run_here(store, numbers, threads, progress, failures)
    return failures
