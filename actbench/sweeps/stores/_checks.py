"""Whether what is at a path is a store of the grid, as this version writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actbench.environment import VERSIONS
from actbench.errors import ActbenchError, require_schema
from actbench.sweeps.grids import Grid
from actbench.sweeps.stores._places import foreign
from actbench.sweeps.stores.layout import lay_out

SCHEMA_VERSION = 1
_COMPARED = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")


def read_attributes(path: Path) -> dict[str, Any]:
    try:
        document = json.loads((path / "zarr.json").read_bytes())
        attributes: dict[str, Any] = document["attributes"]
        if document["zarr_format"] != 3 or attributes["experiment"] != "sweep":
            raise foreign(path, "it holds something else")
        return attributes
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ActbenchError):
            raise
        raise foreign(path, f"{type(error).__name__}: {error}") from error


def require_same(
    path: Path, grid: Grid, environment: Mapping[str, Any], attributes: Mapping[str, Any]
) -> None:
    remedy = "Choose another folder with --out, or replace it with --overwrite"
    require_schema(path, attributes.get("schema_version", 0), SCHEMA_VERSION, remedy)
    if attributes.get("grid_sha256") != grid.digest:
        raise ActbenchError(f"{path} holds the results of another grid. {remedy}")
    try:
        stored = json.loads(attributes["environment"])
        differ = [
            f"{name} {stored[name]} (here {environment[name]})"
            for name in VERSIONS
            if stored[name] != environment[name]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise foreign(path, "its environment is missing") from error
    if differ:
        raise ActbenchError(
            f"{path} was begun with {', '.join(differ)}, and numbers depend on it. Install the "
            f"versions that it was begun with to go on. {remedy}"
        )


def require_layout(path: Path, grid: Grid, chunk: int) -> None:
    """Compare every array's description with ours before Zarr acts on it."""
    import zarr

    memory: dict[str, Any] = {}
    ours = zarr.open_group(zarr.storage.MemoryStore(memory), mode="w", zarr_format=3)
    lay_out(ours, grid, chunk)
    for key, buffer in memory.items():
        name, _, _ = key.rpartition("/")
        if not name:
            continue
        try:
            found = json.loads((path / key).read_bytes())
        except (OSError, ValueError) as error:
            raise foreign(path, f"{name} is damaged or missing") from error
        expected = json.loads(buffer.to_bytes())
        if not isinstance(found, dict) or any(found.get(k) != expected[k] for k in _COMPARED):
            raise foreign(path, f"{name} is not as this actbench and zarr write it")
