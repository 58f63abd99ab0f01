"""What can be wrong with the place of a store, said as a mistake that can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actbench.errors import ActbenchError


def foreign(path: Path, why: str) -> ActbenchError:
    return ActbenchError(
        f"{path} is not a store of a sweep, or is damaged: {why}. Choose another folder with --out"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ActbenchError(
            f"can't write {path}: {error.strerror or error}. Free some space or choose another "
            "folder with --out; finished chunks are untouched, the same command goes on with them"
        ) from error
