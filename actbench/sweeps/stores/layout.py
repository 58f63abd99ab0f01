"""The arrays of a store: what they hold, how long they are and how they are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.study import DEFINITIONS
from actbench.sweeps.axes import AXES
from actbench.sweeps.grids import Column, Grid

if TYPE_CHECKING:
    import zarr

MISSING, TRAINED, FAILED = 0, 1, 2
"""What ``status`` says of a member."""

NOT_TRAINED = -2
"""What ``diverged`` says of a member that is not trained."""

COORDINATE_CHUNK = 2**16
_STATUS = f"{MISSING}: not there yet, {TRAINED}: trained, {FAILED}: failed, as 'failure' says"
_FAILURE = "why a member could not be trained; empty where it was"


@dataclass(frozen=True)
class Variable:
    """One array of a chunk, and what stands in it where nothing was written."""

    dims: tuple[str, ...]
    dtype: Any
    fill: Any


def variables(grid: Grid) -> dict[str, Variable]:
    """What a chunk holds; ``status`` is last, and written last."""
    return {
        "final_mse": Variable(("member",), "float64", np.nan),
        "final_mse_clean": Variable(("member",), "float64", np.nan),
        "diverged": Variable(("member",), "int32", NOT_TRAINED),
        "loss": Variable(("member", "recorded_epoch"), grid.common.dtype, np.nan),
        "failure": Variable(("member",), str, ""),
        "status": Variable(("member",), "int8", MISSING),
    }


def bytes_per_member(grid: Grid) -> int:
    """Say what a member takes in the store, before compression."""
    recorded = len(grid.common.recorded_epochs or ())
    results = 8 + 8 + 4 + recorded * np.dtype(grid.common.dtype).itemsize + 1
    return results + sum(8 if column.dtype.kind != "b" else 1 for column in _first(grid))


def _first(grid: Grid) -> list[Column]:
    return list(grid.columns(0, 1).values())


def lay_out(group: zarr.Group, grid: Grid, chunk: int) -> None:
    """Make the arrays of an empty store."""
    from zarr.codecs import ZstdCodec

    def array(name: str, dims: tuple[str, ...], dtype: Any, fill: Any, length: int) -> None:
        definition, unit = _defined(name)
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

    for name, variable in variables(grid).items():
        array(name, variable.dims, variable.dtype, variable.fill, chunk)
    for name, column in zip(grid.axes, _first(grid), strict=True):
        kind = str if column.dtype.kind == "U" else column.dtype
        array(name, ("member",), kind, np.zeros(1, column.dtype)[0].item(), COORDINATE_CHUNK)
    if grid.common.recorded_epochs:
        array("recorded_epoch", ("recorded_epoch",), "int64", 0, len(grid.common.recorded_epochs))


def _defined(name: str) -> tuple[str, str]:
    own = {"status": (_STATUS, "1"), "failure": (_FAILURE, "1")}
    if name in AXES:
        return AXES[name].definition, AXES[name].unit
    return own[name] if name in own else DEFINITIONS[name]
