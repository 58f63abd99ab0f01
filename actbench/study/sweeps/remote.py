"""What Dask calls on other machines.

The scheduler loads this module too, to read what it passes on: nothing heavy may come with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from actbench.store import environment
from actbench.store.errors import ActbenchError, one_line
from actbench.study.sweeps.grids import Column, Grid

_LOADING = Lock()


def train_remotely(
    grid: Grid, start: int, stop: int, expected: Mapping[str, str]
) -> dict[str, Column]:
    """Train some members on a worker, if it has the versions that the sweep was begun with."""
    require_versions("a worker", environment.versions(), expected)
    environment.require_exact_arithmetic()
    try:
        from actbench.study.sweeps.chunks import train_chunk

        _load(grid)
        return train_chunk(grid, start, stop)
    except Exception as error:
        reason = one_line(error)
    # Some errors can't be sent, and a client that waits for one waits forever: only this one is.
    raise ActbenchError(
        f"a worker failed at members {start} to {stop - 1}: {reason}. Finished chunks are safe; "
        "the same command goes on with them"
    )


def _load(grid: Grid) -> None:
    """Load the activations of one's own that a grid names, each once."""
    from actbench.study import own
    from actbench.study.catalog import activations

    for key, folder, source in grid.code:
        with _LOADING:
            known = activations.OWN.get(key)
            if known is None or known.source != source:
                known = own.activation(key, Path(folder))
        if known.source != source:
            raise ActbenchError(f"{key} in {folder} is not the file that the sweep was begun with")


def require_versions(where: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse other versions than expected."""
    differ = [
        f"{name} {found.get(name)} (here {version})"
        for name, version in expected.items()
        if found.get(name) != version
    ]
    if differ:
        raise ActbenchError(
            f"{where} has {', '.join(differ)}. Install the same versions on scheduler, workers and "
            "client, such as by one environment or image for all, and start again"
        )
