"""What was found in each experiment, in sentences computed from its labelled dataset alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from actbench.findings import (
    activation_derivatives,
    activation_statistics,
    capacity,
    closed_forms,
    gradient_flow,
    plateau_escape,
    sine_regression,
    stability,
    training_dynamics,
)

if TYPE_CHECKING:
    import xarray as xr

FINDINGS: Mapping[str, Callable[[xr.Dataset], list[str]]] = MappingProxyType(
    {
        "sine-regression": sine_regression.findings,
        "gradient-flow": gradient_flow.findings,
        "activation-statistics": activation_statistics.findings,
        "stability": stability.findings,
        "capacity": capacity.findings,
        "training-dynamics": training_dynamics.findings,
        "plateau-escape": plateau_escape.findings,
        "activation-derivatives": activation_derivatives.findings,
        "closed-forms": closed_forms.findings,
    }
)
"""Experiment key to the function that says what was found."""


def of(experiment: str, ds: xr.Dataset) -> list[str]:
    """Say what was found in an experiment."""
    found = FINDINGS.get(experiment)
    return [] if found is None else found(ds)
