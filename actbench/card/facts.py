"""What is found out about one activation alone: function and derivative."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench import theory
from actbench.findings.wording import listed, number, plural
from actbench.theory.formulas import Function, normal_density

_REACH = 40.0
_FAR = 400.0
_TOLERANCE = 1e-6
_STEP = 1e-5  # of the differences
_JUMP = 0.01  # of the derivative between points 0.001 apart
_MOST_KINKS = 4
_NORMAL_REACH, _SUMMED = 12.0, 200_001  # standard deviations; points between
_CHECKED_Q = (0.1, 1.0, 10.0)
_QUADRATURE = 0.001  # errors of integrals from which they are told
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
    """Find out what the function and its derivative do."""
    one = {str(name): row.isel(activation=0).to_numpy() for name, row in derivatives.items()}
    z = derivatives["z"].to_numpy()
    with np.errstate(all="ignore"):
        differences = _against_differences(one, z)
        return [
            differences,
            # Where the derivative is another function's, the rise that it predicts is too.
            *(_jumps(one, z) if differences.good else []),
            _kinks(one["derivative"], z, quadrature_error(formula)),
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
    bends = _bends(slope)
    at_kink[bends] = at_kink[bends + 1] = True
    curvature = np.minimum(np.append(change, 0), np.insert(change, 0, 0)) / (z[1] - z[0])
    return np.where(at_kink, _STEP * curvature, 0)


def _bends(slope: NDArray[np.float64]) -> NDArray[np.intp]:
    """Points after which the derivative jumps."""
    return np.flatnonzero(np.abs(np.diff(slope)) > _JUMP * max(1.0, float(np.ptp(slope))))


def _jumps(one: dict[str, NDArray[np.float64]], z: NDArray[np.float64]) -> list[Fact]:
    """Say where the function itself jumps, which no derivative at a point can show."""
    value, slope, step = one["value"], one["derivative"], z[1] - z[0]
    risen = step * (slope[:-1] + slope[1:]) / 2
    # Half of the derivative's change is what a kink between the points may hide from the mean.
    allowed = step * np.abs(np.diff(slope)) + _TOLERANCE * (1 + np.abs(value[1:]))
    missing = np.diff(value) - risen
    starts = _first_of_neighbors(np.flatnonzero(np.abs(missing) > allowed))
    if not starts:
        return []
    first = " at the first" if len(starts) > 1 else ""
    text = (
        f"at {_places(starts, z)}, by {number(missing[starts[0]])}{first}: autograd's derivative, "
        "and all that follows from it (finite differences, chi, c*), sees no jumps"
    )
    how = f"rise of the function between points {step:.3g} apart, against its derivative there"
    return [Fact("jumps", text, how, good=False)]


def _first_of_neighbors(places: NDArray[np.intp]) -> list[int]:
    return [int(p) for n, p in enumerate(places) if n == 0 or p > places[n - 1] + 1]


def _places(starts: list[int], z: NDArray[np.float64]) -> str:
    shown = [f"{z[s] if abs(z[s]) < abs(z[s + 1]) else z[s + 1]:.3g}" for s in starts]
    return listed(shown[:_MOST_KINKS]) + (" and more" if len(shown) > _MOST_KINKS else "")


def _kinks(slope: NDArray[np.float64], z: NDArray[np.float64], error: float) -> Fact:
    # Neighbors are one kink, whose derivative at the point itself lies between.
    starts = _first_of_neighbors(_bends(slope))
    how = (
        f"jumps of the derivative between points {z[1] - z[0]:.3g} apart, as steep places have too"
    )
    text = f"at {_places(starts, z)}" if starts else "none"
    if error > _QUADRATURE:
        text += (
            f"; the integrals of mean-field theory below are off by up to {_percent(error)} "
            f"for q from {_CHECKED_Q[0]:g} to {_CHECKED_Q[-1]:g}"
        )
        how += f"; integrals against a sum over {_SUMMED:,} points"
    return Fact("kinks", text, how)


def quadrature_error(formula: theory.Formula) -> float:
    """Return how far the integrals of mean-field theory are off, which kinks away from 0 cause."""
    z, step = np.linspace(-_NORMAL_REACH, _NORMAL_REACH, _SUMMED, retstep=True)
    weight = step * normal_density(z)
    errors = [0.0]
    for function in (formula.value, formula.derivative):
        found_by_q = theory.gaussian_mean(_squared(function), _CHECKED_Q)
        for q, found in zip(_CHECKED_Q, found_by_q.tolist(), strict=True):
            exact = float(_squared(function)(math.sqrt(q) * z) @ weight)
            errors.append(abs(found / exact - 1) if exact > 0 and math.isfinite(exact) else 0.0)
    return max(errors)


def _squared(function: Function) -> Function:
    return lambda z: np.square(function(z))


def _percent(share: float) -> str:
    return f"{100 * share:.1g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _range(value: Function) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(value, _REACH)
    far = value(np.array([-_FAR, _FAR]))
    text = f"from {_about(low)} ({_at(at_low)}) to {_about(high)} ({_at(at_high)})"
    return Fact("range", text, _searched(far), good=bool(np.isfinite(far).all()))


def _bounds(derivative: Function) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(derivative, _REACH)
    far = derivative(np.array([-_FAR, _FAR]))
    text = f"from {_about(low, 4)} ({_at(at_low)}) to {_about(high, 4)} ({_at(at_high)})"
    return Fact("derivative", text, _searched(far), good=bool(np.isfinite(far).all()))


def _at(z: float) -> str:
    return f"at {number(z)}" if abs(z) < _REACH else f"at {number(z)}, where the search ends"


def _searched(far: NDArray[np.float64]) -> str:
    return (
        f"8,001 points of [-{_REACH:g}, {_REACH:g}], refined between them; beyond, "
        f"{_about(far[0])} at -{_FAR:g} and {_about(far[1])} at {_FAR:g}"
    )


def _about(value: float, digits: int = 3) -> str:
    return "about 0" if 0 < abs(value) < _TINY else number(value, digits)
