"""Figures of an experiment, drawn from its labelled dataset alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actbench.pages.saving import SUFFIXES, save
from actbench.store import studies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["ANIMATIONS", "FIGURES", "SUFFIXES", "save"]


def _drawn(kind: str) -> dict[str, Mapping[str, Any]]:
    found = {key: e.drawn(kind) for key, e in studies.experiments().items()}
    return {key: of for key, of in found.items() if of}


FIGURES: Mapping[str, Mapping[str, Callable[[xr.Dataset], Figure]]] = studies.Lookup(
    lambda: _drawn("FIGURES")
)
"""Experiment key to figure name to the function that draws it."""

ANIMATIONS: Mapping[str, Mapping[str, Callable[[xr.Dataset], bytes]]] = studies.Lookup(
    lambda: _drawn("ANIMATIONS")
)
"""Experiment key to an animation's name to the function that returns it as a GIF."""
