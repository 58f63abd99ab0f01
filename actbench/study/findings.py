"""What was found in each experiment, and captions of its figures, from its dataset alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.store import studies

if TYPE_CHECKING:
    import xarray as xr


def of(experiment: str, ds: xr.Dataset) -> list[str]:
    """Say what was found in an experiment."""
    known = studies.experiments().get(experiment)
    return known.found(ds) if known else []


def caption(figure: str) -> str:
    """Say what is seen in a figure."""
    from actbench.pages import saving  # noqa: F401 - before anything loads matplotlib

    for experiment in studies.experiments().values():
        if (text := experiment.drawn("CAPTIONS").get(figure)) is not None:
            return str(text)
    return f"{figure.replace('_', ' ').replace('-', ' ').capitalize()}."
