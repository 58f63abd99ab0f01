"""Results of a sweep in one Zarr store, which xarray opens: whole chunks, or nothing of them."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.store.environment import VERSIONS
from actbench.store.errors import ActbenchError, require_schema
from actbench.store.files import prepare_folder
from actbench.study import DEFINITIONS
from actbench.study.sweeps.grids import AXES, Column, Grid

if TYPE_CHECKING:
    import zarr


def _foreign(path: Path, why: str) -> ActbenchError:
    return ActbenchError(
        f"{path} is not a store of a sweep, or is damaged: {why}. Choose another folder with --out"
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ActbenchError(
            f"can't write {path}: {error.strerror or error}. Free some space or choose another "
            "folder with --out; finished chunks are untouched, the same command goes on with them"
        ) from error


MISSING, TRAINED, FAILED = 0, 1, 2
"""What ``status`` says of a member."""

NOT_TRAINED = -2
"""What ``diverged`` says of a member that is not trained."""

_COORDINATE_CHUNK = 2**16
_DEFINED: Mapping[str, tuple[str, str]] = {
    **DEFINITIONS,
    "failure": ("why a member could not be trained; empty where it was", "1"),
    "status": (
        f"{MISSING}: not there yet, {TRAINED}: trained, {FAILED}: failed, as 'failure' says",
        "1",
    ),
    **{name: (axis.definition, "1") for name, axis in AXES.items()},
}


def _variables(grid: Grid) -> dict[str, tuple[tuple[str, ...], Any, Any]]:
    """Dimensions, type and what stands where nothing was written; ``status`` is written last."""
    return {
        "final_mse": (("member",), "float64", np.nan),
        "final_mse_clean": (("member",), "float64", np.nan),
        "diverged": (("member",), "int32", NOT_TRAINED),
        "loss": (("member", "recorded_epoch"), grid.common.dtype, np.nan),
        "failure": (("member",), str, ""),
        "status": (("member",), "int8", MISSING),
    }


def bytes_per_member(grid: Grid) -> int:
    """Say what a member takes in the store, before compression."""
    recorded = len(grid.common.recorded_epochs or ())
    results = 8 + 8 + 4 + recorded * np.dtype(grid.common.dtype).itemsize + 1
    return results + sum(8 if column.dtype.kind != "b" else 1 for column in _first(grid))


def _first(grid: Grid) -> list[Column]:
    return list(grid.columns(0, 1).values())


def _lay_out(group: zarr.Group, grid: Grid, chunk: int) -> None:
    """Make the arrays of an empty store."""
    from zarr.codecs import ZstdCodec

    def array(name: str, dims: tuple[str, ...], dtype: Any, fill: Any, length: int) -> None:
        definition, unit = _DEFINED[name]
        sizes = {"member": grid.size, "recorded_epoch": len(grid.common.recorded_epochs or ())}
        shape = tuple(sizes[dim] for dim in dims)
        group.create_array(
            name,
            shape=shape,
            chunks=(min(length, shape[0]), *(max(1, size) for size in shape[1:])),
            dtype=dtype,
            fill_value=fill,
            compressors=[ZstdCodec(level=3, checksum=True)],  # so that a flipped bit is noticed
            dimension_names=dims,
            attributes={"definition": definition, "units": unit},
        )

    for name, variable in _variables(grid).items():
        array(name, *variable, chunk)
    for name, column in zip(grid.axes, _first(grid), strict=True):
        kind = str if column.dtype.kind == "U" else column.dtype
        array(name, ("member",), kind, np.zeros(1, column.dtype)[0].item(), _COORDINATE_CHUNK)
    if grid.common.recorded_epochs:
        array("recorded_epoch", ("recorded_epoch",), "int64", 0, len(grid.common.recorded_epochs))


_SCHEMA_VERSION = 1
_COMPARED = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")


def _read_attributes(path: Path) -> dict[str, Any]:
    try:
        document = json.loads((path / "zarr.json").read_bytes())
        attributes: dict[str, Any] = document["attributes"]
        if document["zarr_format"] != 3 or attributes["experiment"] != "sweep":
            raise _foreign(path, "it holds something else")
        return attributes
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ActbenchError):
            raise
        raise _foreign(path, f"{type(error).__name__}: {error}") from error


def _require_same(
    path: Path, grid: Grid, environment: Mapping[str, Any], attributes: Mapping[str, Any]
) -> None:
    remedy = "Choose another folder with --out, or replace it with --overwrite"
    require_schema(path, attributes.get("schema_version", 0), _SCHEMA_VERSION, remedy)
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
        raise _foreign(path, "its environment is missing") from error
    if differ:
        raise ActbenchError(
            f"{path} was begun with {', '.join(differ)}, and numbers depend on it. Install the "
            f"versions that it was begun with to go on. {remedy}"
        )


def _require_layout(path: Path, grid: Grid, chunk: int) -> None:
    """Compare every array's description with ours before Zarr acts on it."""
    import zarr

    memory: dict[str, Any] = {}
    ours = zarr.open_group(zarr.storage.MemoryStore(memory), mode="w", zarr_format=3)
    _lay_out(ours, grid, chunk)
    for key, buffer in memory.items():
        name, _, _ = key.rpartition("/")
        if not name:
            continue
        try:
            found = json.loads((path / key).read_bytes())
        except (OSError, ValueError) as error:
            raise _foreign(path, f"{name} is damaged or missing") from error
        expected = json.loads(buffer.to_bytes())
        if not isinstance(found, dict) or any(found.get(k) != expected[k] for k in _COMPARED):
            raise _foreign(path, f"{name} is not as this actbench and zarr write it")


class Store:
    """The results of one grid."""

    def __init__(self, path: Path, grid: Grid, chunk: int, group: zarr.Group) -> None:
        self.path, self.grid, self.chunk = path, grid, chunk
        self.chunks = -(-grid.size // chunk)
        self._names = tuple(_variables(grid))
        self._arrays: dict[str, Any] = {name: group[name] for name in self._names}

    def bounds(self, number: int) -> tuple[int, int]:
        """Return which members a chunk has."""
        return number * self.chunk, min((number + 1) * self.chunk, self.grid.size)

    def write(self, number: int, values: Mapping[str, Column]) -> None:
        """Keep a chunk."""
        start, stop = self.bounds(number)
        with _writing(self.path):
            for name in self._names:  # status comes last
                self._arrays[name][start:stop] = values[name]
                self._flush(name, number)

    def _flush(self, name: str, number: int) -> None:
        file = self._file(name, number)
        if file.exists():  # nothing is written of what is as the array was made
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _file(self, name: str, number: int) -> Path:
        array = self._arrays[name]
        coordinates = (number, *(0 for _ in array.shape[1:]))
        key: str = array.metadata.encode_chunk_key(coordinates)
        return self.path / name / key

    def status(self, number: int) -> NDArray[np.int8]:
        """Return what has become of a chunk's members, shape ``(member,)``."""
        start, stop = self.bounds(number)
        missing = np.full(stop - start, MISSING, dtype=np.int8)
        if not self._file("status", number).exists():
            return missing
        try:
            found: NDArray[np.int8] = self._arrays["status"][start:stop]
        except (OSError, RuntimeError, ValueError):  # damaged: its checksum says so
            return missing
        return found

    def missing(self, *, retry: bool = False) -> tuple[list[int], int]:
        """List the chunks that are to be trained, and count the failed members of the others."""
        numbers, failed = [], 0
        for number in range(self.chunks):
            status = self.status(number)
            bad = int((status == FAILED).sum())
            if (status == MISSING).any() or (retry and bad):
                numbers.append(number)
            else:
                failed += bad
        return numbers, failed

    def steps(self, numbers: Iterable[int]) -> int:
        """Return how many steps of progress some chunks are: updates of members."""
        bounds = (self.bounds(number) for number in numbers)
        return sum(stop - start for start, stop in bounds) * self.grid.common.epochs


def open_or_create(
    path: Path, grid: Grid, chunk: int, environment: Mapping[str, Any], *, exact_chunk: bool = False
) -> Store:
    """Open the store of a grid, or make it where there is none."""
    import zarr

    if not path.exists():
        _create(path, grid, chunk, environment)
    attributes = _read_attributes(path)
    _require_same(path, grid, environment, attributes)
    found = attributes.get("chunk")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise _foreign(path, "its size of chunks is missing")
    if exact_chunk and found != chunk:
        raise ActbenchError(
            f"{path} was begun with chunks of {found} members, not {chunk}. Leave --chunk out to "
            "go on, or choose another folder with --out"
        )
    _require_layout(path, grid, found)
    with _writing(path):
        group = zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)
        return Store(path, grid, found, group)


def _create(path: Path, grid: Grid, chunk: int, environment: Mapping[str, Any]) -> None:
    """Make an empty store under another name, so that one that is there is whole."""
    import zarr

    prepare_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    with _writing(path):
        shutil.rmtree(part, ignore_errors=True)
        attributes: dict[str, Any] = {
            "schema_version": _SCHEMA_VERSION,
            "experiment": "sweep",
            "protocol": grid.text,
            "grid_sha256": grid.digest,
            "chunk": chunk,
            "environment": json.dumps(environment, sort_keys=True),
            "coordinates": " ".join(grid.axes),  # xarray reads which _variables are coordinates
        }
        group = zarr.open_group(part, mode="w-", zarr_format=3, attributes=attributes)
        _lay_out(group, grid, chunk)
        arrays: dict[str, Any] = dict(group.arrays())
        if grid.common.recorded_epochs:
            arrays["recorded_epoch"][:] = np.array(grid.common.recorded_epochs)
        for start in range(0, grid.size, _COORDINATE_CHUNK):
            stop = min(start + _COORDINATE_CHUNK, grid.size)
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
    attributes = _read_attributes(path)
    current = attributes.get("schema_version") == _SCHEMA_VERSION
    if not current or attributes.get("grid_sha256") != grid.digest:
        with _writing(path):
            shutil.rmtree(path)
