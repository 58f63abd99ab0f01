"""Making, opening and removing the store of a grid."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actbench.errors import ActbenchError
from actbench.files import prepare_folder
from actbench.sweeps.grids import Grid
from actbench.sweeps.stores._checks import (
    SCHEMA_VERSION,
    read_attributes,
    require_layout,
    require_same,
)
from actbench.sweeps.stores._places import foreign, writing
from actbench.sweeps.stores.layout import COORDINATE_CHUNK, lay_out
from actbench.sweeps.stores.store import Store


def open_or_create(
    path: Path, grid: Grid, chunk: int, environment: Mapping[str, Any], *, exact_chunk: bool = False
) -> Store:
    """Open the store of a grid, or make it where there is none."""
    import zarr

    if not path.exists():
        _create(path, grid, chunk, environment)
    attributes = read_attributes(path)
    require_same(path, grid, environment, attributes)
    found = attributes.get("chunk")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise foreign(path, "its size of chunks is missing")
    if exact_chunk and found != chunk:
        raise ActbenchError(
            f"{path} was begun with chunks of {found} members, not {chunk}. Leave --chunk out to "
            "go on, or choose another folder with --out"
        )
    require_layout(path, grid, found)
    with writing(path):
        group = zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)
        return Store(path, grid, found, group)


def _create(path: Path, grid: Grid, chunk: int, environment: Mapping[str, Any]) -> None:
    """Make an empty store under another name, so that one that is there is whole."""
    import zarr

    prepare_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        shutil.rmtree(part, ignore_errors=True)
        attributes: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "experiment": "sweep",
            "protocol": grid.text,
            "grid_sha256": grid.digest,
            "chunk": chunk,
            "environment": json.dumps(environment, sort_keys=True),
            "coordinates": " ".join(grid.axes),  # xarray reads which variables are coordinates
        }
        group = zarr.open_group(part, mode="w-", zarr_format=3, attributes=attributes)
        lay_out(group, grid, chunk)
        arrays: dict[str, Any] = dict(group.arrays())
        if grid.common.recorded_epochs:
            arrays["recorded_epoch"][:] = np.array(grid.common.recorded_epochs)
        for start in range(0, grid.size, COORDINATE_CHUNK):
            stop = min(start + COORDINATE_CHUNK, grid.size)
            for name, column in grid.columns(start, stop).items():
                arrays[name][start:stop] = column
        with warnings.catch_warnings():
            # zarr-python writes it, xarray reads it; other readers pass over it.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(part, zarr_format=3)
        part.rename(path)


def remove_other(path: Path, grid: Grid) -> None:
    """Remove the store of another grid or version; what is no store of a sweep is left alone."""
    if not path.exists():
        return
    attributes = read_attributes(path)
    current = attributes.get("schema_version") == SCHEMA_VERSION
    if not current or attributes.get("grid_sha256") != grid.digest:
        with writing(path):
            shutil.rmtree(path)
