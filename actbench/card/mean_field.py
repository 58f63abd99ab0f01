"""What mean-field theory says of one activation, and where it is critical."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from actbench import initializers, theory
from actbench.errors import ActbenchError
from actbench.initializers import Initializer

_T = TypeVar("_T")
_WIDTH = 64  # of the networks that are measured
_POINTS = 10  # and their inputs
_SETTLED = 1e-3
_FIRST, _LAST, _DEPTH = 10, 40, 50
NEAR = 0.001
"""Decades per layer by which a prediction may differ from that of chi; 7 % over 30 layers."""
SEARCHED_Q = (1e-3, 1e3)
"""Between which fixed points of q with chi = 1 are looked for where there are biases."""
_FAILURES = (ActbenchError, ArithmeticError, ValueError)
"""What root finding says of a function that has no root; a user's function may have none."""


@dataclass(frozen=True)
class Field:
    """Mean-field theory of one initialization.

    Args:
        initializer: Its key.
        sigma_w2: sigma_w^2 of hidden layers.
        sigma_b2: sigma_b^2 of hidden layers.
        q: Fixed point of the mean square of the pre-activations; ``None`` where none was found.
        c: Fixed point of the correlation of two inputs.
        chi: By which the squared error signal is multiplied per layer on its way back.
        predicted: Decades per layer by which the error signal shrinks toward the input, layers 10
            to 40 of 50, by following q from the inputs; ``None`` where it is not finite.
        measured: The same in networks of depth 50, pooled; ``None`` where not measured.
        q_of_layers: q in layers 10 and 50, which the prediction follows.
    """

    initializer: str
    sigma_w2: float
    sigma_b2: float
    q: float | None
    c: float | None
    chi: float | None
    predicted: float | None
    measured: float | None
    q_of_layers: tuple[float, float] | None = None

    @property
    def limit(self) -> float | None:
        """What the prediction would be if q were q* in every layer, in decades per layer.

        The squared error signal is multiplied by chi (Schoenholz et al. 2017, section 4).
        """
        return -math.log10(self.chi) / 2 if self.chi else None

    @property
    def away(self) -> bool:
        """Whether chi does not describe networks of this depth, as q is not at q* in them."""
        if self.limit is None or self.predicted is None:
            return False
        return abs(self.predicted - self.limit) > NEAR


def fields(
    formula: theory.Formula, keys: Sequence[str], measured: Callable[[str], float | None]
) -> list[Field]:
    """Find where mean-field theory settles under each initialization."""
    found = []
    for key in keys:
        initializer = initializers.get(key)
        w2, b2 = initializer.sigma_w2(_WIDTH, _WIDTH), initializer.sigma_b2(_WIDTH)
        point = _fixed_point(formula, w2, b2)
        predicted, q_of_layers = _predicted(formula, initializer)
        found.append(
            Field(
                initializer=key,
                sigma_w2=w2,
                sigma_b2=b2,
                q=None if point is None else point.q,
                c=None if point is None else point.c,
                chi=None if point is None else point.chi,
                predicted=predicted,
                measured=measured(key),
                q_of_layers=q_of_layers,
            )
        )
    return found


def _predicted(
    formula: theory.Formula, initializer: Initializer
) -> tuple[float | None, tuple[float, float] | None]:
    """Decades per layer, and q in layer 10 and in the last."""
    x = np.linspace(-np.pi, np.pi, _POINTS)
    with np.errstate(all="ignore"):
        found = theory.predict(formula, initializer, x, depth=_DEPTH, width=_WIDTH)
        slope = theory.decades_per_layer(found.error_signal_rms, _FIRST, _LAST)
    if not math.isfinite(slope):
        return None, None
    return slope, (float(found.q[_FIRST - 1]), float(found.q[_DEPTH - 1]))


def _fixed_point(formula: theory.Formula, w2: float, b2: float) -> theory.FixedPoint | None:
    with np.errstate(all="ignore"):
        point = _found(lambda: theory.fixed_point(formula, w2, b2))
    return point if point and math.isfinite(point.chi) else None


def critical(formula: theory.Formula) -> theory.Critical | None:
    """Find a critical initialization: chi = 1 at the fixed point of q."""
    with np.errstate(all="ignore"):
        without = _found(lambda: theory.critical(formula)) or ()
        nearest_1 = sorted(np.geomspace(*SEARCHED_Q, 121).tolist(), key=lambda q: abs(math.log(q)))
        along = (_found(functools.partial(theory.critical_at, formula, q)) for q in nearest_1)
        points = [point for point in (*without, *along) if point and _usable(point)]
        settled = (point for point in points if settles(formula, point))
        return next(settled, points[0] if points else None)


def _found(find: Callable[[], _T]) -> _T | None:
    try:
        return find()
    except _FAILURES:
        return None


def settles(formula: theory.Formula, point: theory.Critical) -> bool:
    """Say whether a deep network comes to a critical point, and not away from it."""
    if point.q is None:
        return True
    if point.q_slope > 1 + _SETTLED:
        return False
    reached = _fixed_point(formula, point.sigma_w2, point.sigma_b2)
    return reached is not None and abs(reached.chi - 1) < _SETTLED


def _usable(point: theory.Critical) -> bool:
    finite = math.isfinite(point.sigma_w2) and math.isfinite(point.sigma_b2)
    return finite and 0 < point.sigma_w2 < 1e6 and point.sigma_b2 >= 0


def initializer_of(point: theory.Critical) -> str:
    """Return the key of the initializer that starts at a critical point."""
    return f"mean_field({point.sigma_w2:.6g},{point.sigma_b2:.6g})"
