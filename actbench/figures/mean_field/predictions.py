"""What mean-field theory predicts for a dataset of `gradient-flow`, and how it is drawn."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D

from actbench import initializers, theory
from actbench.colors import style_of
from actbench.datasets import protocol_of
from actbench.figures._marks import PALE, Array, log_safe

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_THEORY: Final = "mean-field theory, nothing fitted"
INK: Final = "#111111"


def predicted(ds: xr.Dataset, activation: str, initializer: str, depth: int, points: int) -> Array:
    """Give the error signal that theory expects of the networks in a dataset.

    Args:
        ds: Dataset of `gradient-flow`.
        activation: Key.
        initializer: Key.
        depth: Hidden layers.
        points: Inputs, evenly spaced on [-pi, pi].

    Returns:
        RMS of d loss / d z per layer, shape ``(depth + 1,)``; NaN for an activation that theory
        has no formula of.
    """
    if activation not in theory.FORMULAS:
        return np.full(depth + 1, np.nan)
    width = protocol_of(ds)["width"]
    return _prediction(activation, initializer, depth, points, width).error_signal_rms


@functools.cache  # several panels and figures ask for the same
def _prediction(
    activation: str, initializer: str, depth: int, points: int, width: int
) -> theory.Prediction:
    x = np.linspace(-np.pi, np.pi, points)
    return theory.predict(activation, initializers.get(initializer), x, depth=depth, width=width)


def draw_theory(axes: Axes, at: Array, values: Array, activation: str, gid: str) -> None:
    """Draw a prediction thin, in its activation's look, over what was measured and is pale.

    Args:
        axes: Where.
        at: Positions, shape ``(n,)``.
        values: What theory expects there; not drawn where none is finite.
        activation: Whose look it has.
        gid: Name of the line.
    """
    if np.isfinite(values).any():
        style = style_of(activation)
        axes.plot(at, log_safe(values), style.linestyle, color=style.color, linewidth=1.2, gid=gid)


def theory_handles() -> list[Line2D]:
    """Give the entries of a legend for what was measured and for what ``draw_theory`` draws."""
    measured = Line2D([], [], color=INK, label="pale: measured", **PALE)
    return [measured, Line2D([], [], color=INK, linewidth=1.2, label=f"thin: {_THEORY}")]
