"""What is found out about one activation alone, and what mean-field theory says of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actbench.pages.wording import listed, number
from actbench.store.errors import ActbenchError
from actbench.store.terminal import plural
from actbench.study import theory
from actbench.study.catalog import initializers
from actbench.study.catalog.initializers import Initializer
from actbench.study.theory.formulas import Function, normal_density

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
    """One thing that was found out."""

    label: str
    text: str
    evidence: str  # how it was found out
    good: bool = True  # whether nothing about it needs attention


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
            _extremes("range", formula.value, 3),
            _extremes("derivative", formula.derivative, 4),
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


def _extremes(label: str, function: Function, digits: int) -> Fact:
    (low, at_low), (high, at_high) = theory.extremes(function, _REACH)
    far = function(np.array([-_FAR, _FAR]))
    text = f"from {_about(low, digits)} ({_at(at_low)}) to {_about(high, digits)} ({_at(at_high)})"
    how = (
        f"8,001 points of [-{_REACH:g}, {_REACH:g}], refined between them; beyond, "
        f"{_about(far[0])} at -{_FAR:g} and {_about(far[1])} at {_FAR:g}"
    )
    return Fact(label, text, how, good=bool(np.isfinite(far).all()))


def _at(z: float) -> str:
    return f"at {number(z)}" if abs(z) < _REACH else f"at {number(z)}, where the search ends"


def _about(value: float, digits: int = 3) -> str:
    return "about 0" if 0 < abs(value) < _TINY else number(value, digits)


_T = TypeVar("_T")
_WIDTH = 64  # of the networks that are measured
_POINTS = 10  # and their inputs
_SETTLED = 1e-3
_FIRST, _LAST, _DEPTH = 10, 40, 50
NEAR = 0.001  # decades per layer between predictions that agree; 7 % over 30 layers
SEARCHED_Q = (1e-3, 1e3)  # for fixed points with chi = 1 where there are biases
_FAILURES = (ActbenchError, ArithmeticError, ValueError)  # of root finding where there is no root


@dataclass(frozen=True)
class Field:
    """Mean-field theory of one initialization, and what networks of depth 50 do.

    Predicted and measured are decades per layer by which the error signal shrinks toward the
    input, layers 10 to 40 of 50: by following q from the inputs, and pooled over networks.
    """

    initializer: str
    sigma_w2: float  # of hidden layers
    sigma_b2: float
    q: float | None  # fixed point of the mean square of the pre-activations
    c: float | None  # fixed point of the correlation of two inputs
    chi: float | None  # multiplies the squared error signal per layer on its way back
    predicted: float | None
    measured: float | None
    q_of_layers: tuple[float, float] | None = None  # in layers 10 and 50, in the prediction

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
