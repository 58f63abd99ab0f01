"""Figures of an experiment, drawn from its labelled dataset alone.

No figure touches pyplot, so that all of them work without a display and from several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actbench.figures import (
    _backend,  # noqa: F401 - before all that imports matplotlib
    activation_statistics,
    animation,
    capacity,
    gradient_flow,
    plateau_escape,
    sine_regression,
    stability,
    training_dynamics,
)
from actbench.figures.saving import SUFFIXES, save

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["ANIMATIONS", "FIGURES", "SUFFIXES", "save"]

FIGURES: Final[dict[str, dict[str, Callable[[xr.Dataset], Figure]]]] = {
    "sine-regression": sine_regression.FIGURES,
    "gradient-flow": gradient_flow.FIGURES,
    "activation-statistics": activation_statistics.FIGURES,
    "stability": stability.FIGURES,
    "capacity": capacity.FIGURES,
    "training-dynamics": training_dynamics.FIGURES,
    "plateau-escape": plateau_escape.FIGURES,
}
"""Experiment key to figure name to the function that draws it."""

ANIMATIONS: Final[dict[str, dict[str, Callable[[xr.Dataset], bytes]]]] = {
    "training-dynamics": animation.ANIMATIONS,
}
"""Experiment key to an animation's name to the function that returns it as a GIF."""
