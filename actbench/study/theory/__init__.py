"""What theory says without torch: activations in NumPy, floors of a target, mean-field predictions.

Mean-field theory follows one number per layer, q, the mean square of the pre-activations of a
wide random network (Poole et al. 2016), and from it the size of the error signal that comes back
(Schoenholz et al. 2017). It knows nothing of torch, so it can contradict a measurement.
"""

from __future__ import annotations

from actbench.study.theory.closed_forms import (
    best_constant_mse,
    best_line_mse,
    best_unit_interval_mse,
    born_dead_bounds,
    dead_at_one_input,
    noise_floor,
    selu_moments,
)
from actbench.study.theory.formulas import (
    FORMULAS,
    Formula,
    derivative_bounds,
    extremes,
    formula_of,
)
from actbench.study.theory.mean_field import (
    Critical,
    FixedPoint,
    Prediction,
    chi,
    critical,
    critical_at,
    decades_per_layer,
    fixed_point,
    next_c,
    next_q,
    predict,
    q_slope,
    slope_spread,
)
from actbench.study.theory.quadrature import gaussian_mean, pair_mean, shifted_gaussian_mean

__all__ = [
    "FORMULAS",
    "Critical",
    "FixedPoint",
    "Formula",
    "Prediction",
    "best_constant_mse",
    "best_line_mse",
    "best_unit_interval_mse",
    "born_dead_bounds",
    "chi",
    "critical",
    "critical_at",
    "dead_at_one_input",
    "decades_per_layer",
    "derivative_bounds",
    "extremes",
    "fixed_point",
    "formula_of",
    "gaussian_mean",
    "next_c",
    "next_q",
    "noise_floor",
    "pair_mean",
    "predict",
    "q_slope",
    "selu_moments",
    "shifted_gaussian_mean",
    "slope_spread",
]
