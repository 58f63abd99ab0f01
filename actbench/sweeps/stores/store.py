"""Chunks of results, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.sweeps.grids import Column, Grid
from actbench.sweeps.stores._places import writing
from actbench.sweeps.stores.layout import MISSING, variables

if TYPE_CHECKING:
    import zarr


class Store:
    """The results of one grid.

    Args:
        path: Its folder.
        grid: Its members.
        chunk: Members per chunk.
        group: Its content.

    Attributes:
        chunks: How many chunks there are.
    """

    def __init__(self, path: Path, grid: Grid, chunk: int, group: zarr.Group) -> None:
        self.path, self.grid, self.chunk = path, grid, chunk
        self.chunks = -(-grid.size // chunk)
        self._names = tuple(variables(grid))
        self._arrays: dict[str, Any] = {name: group[name] for name in self._names}

    def bounds(self, number: int) -> tuple[int, int]:
        """Return which members a chunk has."""
        return number * self.chunk, min((number + 1) * self.chunk, self.grid.size)

    def write(self, number: int, values: Mapping[str, Column]) -> None:
        """Keep a chunk."""
        start, stop = self.bounds(number)
        with writing(self.path):
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
        """Return what has become of a chunk's members.

        Args:
            number: Of the chunk.

        Returns:
            ``MISSING``, ``TRAINED`` or ``FAILED``, shape ``(member,)``.
        """
        start, stop = self.bounds(number)
        missing = np.full(stop - start, MISSING, dtype=np.int8)
        if not self._file("status", number).exists():
            return missing
        try:
            found: NDArray[np.int8] = self._arrays["status"][start:stop]
        except (OSError, RuntimeError, ValueError):  # damaged: its checksum says so
            return missing
        return found
