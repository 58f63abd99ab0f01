"""Figures of an experiment, drawn from its labelled dataset alone.

No figure touches pyplot, so that all of them work without a display and from several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actbench.figures import gradient_flow, sine_regression
from actbench.figures.saving import SUFFIXES, save

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "SUFFIXES", "save"]

FIGURES: Final[dict[str, dict[str, Callable[[xr.Dataset], Figure]]]] = {
    "sine-regression": sine_regression.FIGURES,
    "gradient-flow": gradient_flow.FIGURES,
}
"""Experiment key to figure name to the function that draws it."""
