"""What is found out about one activation alone: function, derivative, mean-field theory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench import initializers, theory
from actbench.errors import ActbenchError
from actbench.findings.wording import listed, number, plural
from actbench.initializers import Initializer

_REACH = 40.0
_FAR = 400.0
_TOLERANCE = 1e-6
_JUMP = 0.01  # of the derivative between points 0.001 apart
_MOST_KINKS = 4
_WIDTH = 64  # of the networks that are measured
_POINTS = 10  # and their inputs
_SETTLED = 1e-3
_FAILURES = (ActbenchError, ArithmeticError, ValueError)
"""What root finding says of a function that has no root; a user's function may have none."""


@dataclass(frozen=True)
class Fact:
    """One thing that was found out.

    Args:
        label: What about.
        text: What was found.
        evidence: How.
        good: Whether nothing about it needs attention.
    """

    label: str
    text: str
    evidence: str
    good: bool = True


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
    """

    initializer: str
    sigma_w2: float
    sigma_b2: float
    q: float | None
    c: float | None
    chi: float | None
    predicted: float | None
    measured: float | None


def of_function(formula: theory.Formula, derivatives: xr.Dataset) -> list[Fact]:
    """Find out what the function and its derivative do.

    Args:
        formula: The activation.
        derivatives: Of ``activation-derivatives``, with this activation alone.

    Returns:
        Derivative against finite differences, kinks, range, bounds of the derivative.
    """
    one = {str(name): row.isel(activation=0).to_numpy() for name, row in derivatives.items()}
    z = derivatives["z"].to_numpy()
    with np.errstate(all="ignore"):
        return [
            _against_differences(one, z),
            _kinks(one["derivative"], z),
            _range(formula.value),
            _bounds(formula.derivative),
        ]


def _against_differences(one: dict[str, NDArray[np.float64]], z: NDArray[np.float64]) -> Fact:
    slope, sides = one["derivative"], (one["backward_difference"], one["forward_difference"])
    low, high = np.minimum(*sides), np.maximum(*sides)
    allowed = _TOLERANCE * (1 + np.abs(slope) + np.abs(one["value"]))
    off = np.maximum(low - slope, slope - high) - allowed
    how = (
        f"{len(z):,} points of [{z[0]:g}, {z[-1]:g}], one-sided differences with step 1e-5, "
        f"tolerance {_TOLERANCE:g}; a kink's derivative may be any between its two sides"
    )
    label = "finite differences"
    if (off <= 0).all():
        return Fact(label, "agrees at every point", how)
    worst = int(np.nanargmax(off))
    text = (
        f"differs at {plural(int((off > 0).sum()), 'point')}, most at {z[worst]:.4g}: autograd "
        f"says {number(slope[worst])}, the differences {number(low[worst])} to "
        f"{number(high[worst])}; all that follows uses autograd's"
    )
    return Fact(label, text, how, good=False)


def _kinks(slope: NDArray[np.float64], z: NDArray[np.float64]) -> Fact:
    jumps = np.flatnonzero(np.abs(np.diff(slope)) > _JUMP * max(1.0, float(np.ptp(slope))))
    # Neighbors are one kink, whose derivative at the point itself lies between.
    starts = [int(j) for n, j in enumerate(jumps) if n == 0 or j > jumps[n - 1] + 1]
    how = f"jumps of the derivative between points {z[1] - z[0]:.3g} apart"
    if not starts:
        return Fact("kinks", "none", how)
    places = [f"{z[s] if abs(z[s]) < abs(z[s + 1]) else z[s + 1]:.3g}" for s in starts]
    shown = listed(places[:_MOST_KINKS]) + (" and more" if len(places) > _MOST_KINKS else "")
    elsewhere = [place for place in places if float(place) != 0]
    note = "; theory below is then good to about three digits" if elsewhere else ""
    return Fact("kinks", f"at {shown}{note}", how)


def _range(value: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(value, _REACH)
    far = value(np.array([-_FAR, _FAR]))
    text = f"from {number(low)} (at {number(at_low)}) to {number(high)} (at {number(at_high)})"
    how = (
        f"8,001 points of [-{_REACH:g}, {_REACH:g}], refined between them; beyond, "
        f"{number(far[0])} at -{_FAR:g} and {number(far[1])} at {_FAR:g}"
    )
    return Fact("range", text, how, good=bool(np.isfinite(far).all()))


def _bounds(derivative: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(derivative, _REACH)
    far = derivative(np.array([-_FAR, _FAR]))
    text = (
        f"from {number(low, 4)} (at {number(at_low)}) to {number(high, 4)} (at {number(at_high)})"
    )
    how = (
        f"8,001 points of [-{_REACH:g}, {_REACH:g}], refined between them; beyond, "
        f"{number(far[0])} at -{_FAR:g} and {number(far[1])} at {_FAR:g}"
    )
    return Fact("derivative", text, how, good=bool(np.isfinite(far).all()))


def fields(
    formula: theory.Formula, keys: Sequence[str], measured: Callable[[str], float | None]
) -> list[Field]:
    """Find where mean-field theory settles under each initialization.

    Args:
        formula: The activation.
        keys: Initializers.
        measured: Returns the pooled decades per layer of networks from an initializer.

    Returns:
        One field per initializer, for hidden layers of 64 units.
    """
    found = []
    for key in keys:
        initializer = initializers.get(key)
        w2, b2 = initializer.sigma_w2(_WIDTH, _WIDTH), initializer.sigma_b2(_WIDTH)
        point = _fixed_point(formula, w2, b2)
        found.append(
            Field(
                initializer=key,
                sigma_w2=w2,
                sigma_b2=b2,
                q=None if point is None else point.q,
                c=None if point is None else point.c,
                chi=None if point is None else point.chi,
                predicted=_predicted(formula, initializer),
                measured=measured(key),
            )
        )
    return found


def _predicted(formula: theory.Formula, initializer: Initializer) -> float | None:
    x = np.linspace(-np.pi, np.pi, _POINTS)
    with np.errstate(all="ignore"):
        signal = theory.predict(formula, initializer, x, depth=50, width=_WIDTH).error_signal_rms
        slope = theory.decades_per_layer(signal, 10, 40)
    return slope if math.isfinite(slope) else None


def _fixed_point(formula: theory.Formula, w2: float, b2: float) -> theory.FixedPoint | None:
    try:
        with np.errstate(all="ignore"):
            point = theory.fixed_point(formula, w2, b2)
    except _FAILURES:
        return None
    return point if math.isfinite(point.chi) else None


def critical(formula: theory.Formula) -> theory.Critical | None:
    """Find a critical initialization: chi = 1 at the fixed point of q.

    Args:
        formula: The activation.

    Returns:
        One to which q settles from 1: without biases where there is one, else with q nearest to 1.
        Where q leaves every critical point, one without biases, or with q nearest to 1; ``None``
        where no network has one.
    """
    try:
        with np.errstate(all="ignore"):
            without = [point for point in theory.critical(formula) if _usable(point)]
            grid = sorted(np.geomspace(1e-3, 1e3, 121), key=lambda q: abs(math.log(q)))
            along = [p for q in grid if _usable(p := theory.critical_at(formula, q))]
            points = [*without, *along]
            settled = (point for point in points if settles(formula, point))
            return next(settled, points[0] if points else None)
    except _FAILURES:
        return None


def settles(formula: theory.Formula, point: theory.Critical) -> bool:
    """Say whether a deep network comes to a critical point, and not away from it.

    Args:
        formula: The activation.
        point: Of this activation.

    Returns:
        Whether chi is 1 at the fixed point that q reaches from 1.
    """
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
    """Return the key of the initializer that starts at a critical point.

    Args:
        point: The point.

    Returns:
        Such as ``"mean_field(2,0)"``.
    """
    return f"mean_field({point.sigma_w2:.6g},{point.sigma_b2:.6g})"
