"""What is found out about one activation alone: function and derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench import theory
from actbench.findings.wording import listed, number, plural

_REACH = 40.0
_FAR = 400.0
_TOLERANCE = 1e-6
_STEP = 1e-5  # of the differences
_JUMP = 0.01  # of the derivative between points 0.001 apart
_MOST_KINKS = 4
_TINY = 1e-9  # below it a number of the range is the rounding of a limit


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
    allowed = _TOLERANCE * (1 + np.abs(slope) + np.abs(one["value"])) + _beside_kinks(slope, z)
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


def _beside_kinks(slope: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """What one-sided differences are off at kinks, where autograd's derivative is that of one side.

    Elsewhere it lies between the differences. The error is the step times half of the curvature,
    which is here the change to the neighbor on that side; twice that covers how it changes.
    """
    change = np.abs(np.diff(slope))
    at_kink = np.zeros(len(slope), dtype=bool)
    jumps = _jumps(slope)
    at_kink[jumps] = at_kink[jumps + 1] = True
    curvature = np.minimum(np.append(change, 0), np.insert(change, 0, 0)) / (z[1] - z[0])
    return np.where(at_kink, _STEP * curvature, 0)


def _jumps(slope: NDArray[np.float64]) -> NDArray[np.intp]:
    """Points after which the derivative jumps."""
    return np.flatnonzero(np.abs(np.diff(slope)) > _JUMP * max(1.0, float(np.ptp(slope))))


def _kinks(slope: NDArray[np.float64], z: NDArray[np.float64]) -> Fact:
    jumps = _jumps(slope)
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
    text = f"from {_about(low)} (at {number(at_low)}) to {_about(high)} (at {number(at_high)})"
    return Fact("range", text, _searched(far), good=bool(np.isfinite(far).all()))


def _bounds(derivative: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(derivative, _REACH)
    far = derivative(np.array([-_FAR, _FAR]))
    text = (
        f"from {_about(low, 4)} (at {number(at_low)}) to {_about(high, 4)} (at {number(at_high)})"
    )
    return Fact("derivative", text, _searched(far), good=bool(np.isfinite(far).all()))


def _searched(far: NDArray[np.float64]) -> str:
    return (
        f"8,001 points of [-{_REACH:g}, {_REACH:g}], refined between them; beyond, "
        f"{_about(far[0])} at -{_FAR:g} and {_about(far[1])} at {_FAR:g}"
    )


def _about(value: float, digits: int = 3) -> str:
    return "about 0" if 0 < abs(value) < _TINY else number(value, digits)
