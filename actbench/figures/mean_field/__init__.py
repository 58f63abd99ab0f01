"""Mean-field theory over measurements of `gradient-flow`: error signals, and spread over width."""

from actbench.figures.mean_field.error_signals import pooled, theory_error_signals
from actbench.figures.mean_field.predictions import draw_theory, predicted, theory_handles
from actbench.figures.mean_field.spread import theory_width

__all__ = [
    "draw_theory",
    "pooled",
    "predicted",
    "theory_error_signals",
    "theory_handles",
    "theory_width",
]
