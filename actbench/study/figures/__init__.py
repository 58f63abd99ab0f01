"""Imports matplotlib, which refuses to be imported where MPLBACKEND names a notebook's backend.

A notebook hands its own to each command that is started in it; figures need none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actbench.pages.saving import SUFFIXES, save
from actbench.study.experiments.activation_statistics import figures
from actbench.study.experiments.capacity import figures as capacity
from actbench.study.experiments.gradient_flow import figures as gradient_flow
from actbench.study.experiments.plateau_escape import figures as plateau_escape
from actbench.study.experiments.sine_regression import figures as sine_regression
from actbench.study.experiments.stability import figures as stability
from actbench.study.experiments.training_dynamics import figures as training_dynamics
from actbench.study.figures import animation

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.figure import Figure


_given = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as mpl
finally:
    if _given is not None:
        os.environ["MPLBACKEND"] = _given
if _given:
    with suppress(ValueError):
        mpl.rcParams["backend"] = _given  # for figures of the user's in this process

__all__ = ["ANIMATIONS", "FIGURES", "SUFFIXES", "save"]

FIGURES: Final[dict[str, dict[str, Callable[[xr.Dataset], Figure]]]] = {
    "sine-regression": sine_regression.FIGURES,
    "gradient-flow": gradient_flow.FIGURES,
    "activation-statistics": figures.FIGURES,
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
