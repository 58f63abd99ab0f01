"""Figures of the experiment ``training-dynamics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actbench.figures.training_dynamics._epochs import protocol_note
from actbench.figures.training_dynamics.evolution import activation_evolution, gradient_evolution
from actbench.figures.training_dynamics.functions import training_dynamics_functions
from actbench.figures.training_dynamics.summary import training_dynamics_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = [
    "FIGURES",
    "activation_evolution",
    "gradient_evolution",
    "protocol_note",
    "training_dynamics_functions",
    "training_dynamics_summary",
]

FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "activation_evolution": activation_evolution,
    "gradient_evolution": gradient_evolution,
    "training_dynamics_functions": training_dynamics_functions,
    "training_dynamics_summary": training_dynamics_summary,
}
"""The study's figure names, each with the function that draws it."""
