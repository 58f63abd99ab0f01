"""The one judge: a claim and a measurement in, a verdict with its evidence out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.claims import metrics
from actbench.claims.claim import Claim, Relation, Verdict
from actbench.claims.published_value import MeanComparison, mean_beside, run_beside
from actbench.claims.statistics import (
    FEWEST_FOR_MEAN,
    mean_interval,
    median_interval,
    proportion_interval,
    seeds_against_proportion,
    seeds_for_median,
    seeds_for_proportion,
)
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.looks import Look

_Ends: TypeAlias = tuple[float, float]
_ROUNDING = 1e-9
_CENTERS: Mapping[str, Callable[[NDArray[np.float64]], np.floating[Any]]] = {
    "median": np.median,
    "mean": np.mean,
}
"""Quantifiers that judge one typical value by its interval."""


@dataclass(frozen=True)
class Judgment:
    """A verdict with everything it rests on.

    Args:
        claim: What was judged.
        verdict: What came out.
        measured: The value: of the one run, the median over seeds, or the share of seeds that
            agree; ``None`` where nothing was measured.
        interval: Its interval at the file's error level; ``None`` where there is none.
        margin: How far the verdict is from flipping: a factor for ``above`` and ``below``, in
            tolerances for ``equals``; ``None`` where that has no meaning.
        seeds: How many seeds were measured.
        seeds_needed: How many the expected verdict needs at least, by the claim's wording.
        sentence: What was found, in words.
        to_flip: What would change the verdict, in words.
        runs_given: Whether the runs are those of a table, so that no more can be asked for.
        values: What was judged, one number per run; ``None`` where nothing was measured.
        flip_probability: Of another verdict if all runs were made again; ``None`` where it is not
            known.
        looks: What decided at each look that was made, where runs were made until it was decided.
    """

    claim: Claim
    verdict: Verdict
    measured: float | None = None
    interval: tuple[float, float] | None = None
    margin: float | None = None
    seeds: int = 0
    seeds_needed: int = 0
    sentence: str = ""
    to_flip: str = ""
    runs_given: bool = False
    values: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    flip_probability: float | None = field(default=None, compare=False)
    looks: tuple[Look, ...] = field(default=(), compare=False)

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the claim pins, if it pins one."""
        return self.claim.expected in (None, self.verdict)

    @property
    def lacks_runs(self) -> bool:
        """Whether it is undecided because fewer runs were asked for than its wording needs."""
        few = self.verdict is Verdict.INCONCLUSIVE and self.seeds < self.seeds_needed
        return few and not self.runs_given

    @property
    def published_run(self) -> str:
        """Whether the published run could be one of these, or how its mean compares; may be empty.

        Beside the verdict, which is about the typical run, and which it never decides.
        """
        if self.values is None:
            return ""
        if self.published_mean is not None:
            return str(self.published_mean)
        found = run_beside(self.claim, self.values)
        if found is None:
            return ""
        if self.verdict is Verdict.REPRODUCED and found.could_be_one is False:
            return (
                f"{found}; though the typical run agrees within the tolerance, the stated protocol "
                "is probably not the one that was run"
            )
        return str(found)

    @property
    def published_mean(self) -> MeanComparison | None:
        """A published mean beside these runs, parametric; ``None`` where none is published."""
        return None if self.values is None else mean_beside(self.claim, self.values)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.sentence}"

    def _repr_html_(self) -> str:
        from actbench.claims.picture import cell

        return cell([self])

    def row(self) -> dict[str, Any]:
        """Return the judgment as JSON-ready names and values."""
        return {
            "id": self.claim.id,
            "verdict": str(self.verdict),
            "expected": self.claim.expected and str(self.claim.expected),
            "published": self.claim.published_value,
            "measured": self.measured,
            "interval": None if self.interval is None else list(self.interval),
            "margin": self.margin,
            "kind": None if self.claim.relation is None else self.claim.relation.kind,
            "seeds": self.seeds,
            "seeds_needed": self.seeds_needed,
            "statement": self.claim.statement,
            "source": self.claim.source,
            "finding": self.sentence,
            "published_run": self.published_run or None,
            "published_mean": self.published_mean and self.published_mean.row(),
            "to_flip": self.to_flip,
            "flip_probability": self.flip_probability,
            "looks": [asdict(look) for look in self.looks] or None,
            "because": self.claim.because,
        }


def judge(claim: Claim, dataset: xr.Dataset | None, alpha: float) -> Judgment:
    """Judge one claim by the dataset of its protocol; too few seeds are never a pass."""
    if claim.relation is None or dataset is None:
        return Judgment(claim, Verdict.NOT_TESTABLE, sentence=claim.because)
    return judge_values(claim, metrics.measure(claim.metric, dataset), alpha)


def judge_values(claim: Claim, values: NDArray[np.float64], alpha: float) -> Judgment:
    """Judge one testable claim from its metric's values, fresh or stored: one per seed.

    What is not a number satisfies no relation; what is infinite compares as a number.
    """
    relation = claim.relation
    if relation is None:
        raise ValueError(f"claim {claim.id!r} is not testable: there is nothing to judge")
    if claim.quantifier == "exact":
        _require_one_value(values)
    holds = _satisfied(claim, relation, values, alpha)
    if holds is None:
        verdict = Verdict.INCONCLUSIVE
    elif holds:
        verdict = Verdict.REPRODUCED
    else:
        verdict = _by_direction(claim, values, alpha)
    measured = _measured(claim, relation, values)
    interval = _interval(claim, relation, values, alpha)
    return judgment_of(
        claim,
        verdict,
        measured,
        interval,
        _extent(claim, relation, values, interval),
        seeds=len(values),
        seeds_needed=seeds_needed(claim, alpha),
        sentence=_sentence(claim, values, measured, interval),
        values=values,
    )


def judgment_of(
    claim: Claim,
    verdict: Verdict,
    measured: float,
    interval: _Ends | None,
    extent: _Ends | None,
    **found: Any,
) -> Judgment:
    """Complete a verdict by its margin, from the ends of an extent, and by what would flip it."""
    decisive = claim.decisive(verdict)
    if decisive is None:
        raise ValueError(f"claim {claim.id!r} is not testable: there is nothing to judge")
    return Judgment(
        claim=claim,
        verdict=verdict,
        measured=measured,
        interval=interval,
        margin=_margin(decisive, extent),
        to_flip=_to_flip(verdict, found["seeds"], found["seeds_needed"], decisive),
        **found,
    )


def _require_one_value(values: NDArray[np.float64]) -> None:
    if not np.allclose(values, values[0], rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True):
        raise ActbenchError(
            f"quantifier 'exact' is for a value that no seed changes, but {len(values)} seeds give "
            f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}; use 'median' or 'every'"
        )


def _satisfied(
    claim: Claim, relation: Relation, values: NDArray[np.float64], alpha: float
) -> bool | None:
    """Whether the relation holds; ``None`` where the evidence does not tell."""
    interval = _interval(claim, relation, values, alpha)
    if interval is None:
        return None
    at_least, at_most = interval
    if math.isnan(at_least):
        return False
    low, high = (claim.share, math.inf) if claim.quantifier == "every" else relation.bounds
    if at_least >= low and at_most <= high:
        return True
    return False if at_most < low or at_least > high else None


def _by_direction(claim: Claim, values: NDArray[np.float64], alpha: float) -> Verdict:
    if claim.direction is None:
        return Verdict.NOT_REPRODUCED
    holds = _satisfied(claim, claim.direction, values, alpha)
    if holds is None:
        return Verdict.INCONCLUSIVE
    return Verdict.DIRECTION_ONLY if holds else Verdict.NOT_REPRODUCED


def _interval(
    claim: Claim, relation: Relation, values: NDArray[np.float64], alpha: float
) -> _Ends | None:
    """Where the share that agrees, the median, the mean or the one value lies.

    ``None`` of too few values for any interval; a mean is nowhere where a value is not finite.
    """
    if claim.quantifier == "every":
        return proportion_interval(int(_inside(relation, values).sum()), len(values), alpha)
    if claim.quantifier == "exact":
        return float(values[0]), float(values[0])
    ordered = _against(claim.quantifier, relation, values)
    if claim.quantifier == "median":
        return median_interval(ordered, alpha)
    if not np.isfinite(ordered).all():
        return float(ordered[0]), float(ordered[0])
    return mean_interval(values, alpha)


def _inside(relation: Relation, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = relation.bounds
    return (values >= low) & (values <= high)


def _against(
    quantifier: str, relation: Relation, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What is not a number counts as far outside the relation, whatever its side.

    A mean is none where one value is not finite.
    """
    worst = -math.inf if relation.kind == "above" else math.inf
    undefined = np.isnan(values)
    if quantifier == "mean" and not np.isfinite(values).all():
        undefined = np.full(len(values), True)
    return np.where(undefined, worst, values)


def center(quantifier: str, relation: Relation, values: NDArray[np.float64]) -> float:
    """The median or the mean, where what is not a number counts as far outside the relation."""
    # Between -inf and inf there is nothing, and a sum of large values may be infinite.
    with np.errstate(invalid="ignore", over="ignore"):
        return float(_CENTERS[quantifier](_against(quantifier, relation, values)))


def _measured(claim: Claim, relation: Relation, values: NDArray[np.float64]) -> float:
    """The share of seeds that agree, the median or mean, or the one value."""
    if claim.quantifier == "every":
        return float(_inside(relation, values).mean())
    if claim.quantifier == "exact":
        return float(values[0])
    return center(claim.quantifier, relation, values)


def _extent(
    claim: Claim, relation: Relation, values: NDArray[np.float64], interval: _Ends | None
) -> _Ends | None:
    """The values whose distance to the bound is the margin."""
    if claim.quantifier in _CENTERS:
        return interval
    ordered = _against(claim.quantifier, relation, values)
    return float(ordered.min()), float(ordered.max())


def seeds_needed(claim: Claim, alpha: float) -> int:
    """Return how many seeds the expected verdict of a claim needs at least; 1 where none counts."""
    if claim.quantifier == "exact":
        return 1
    if claim.quantifier == "median":
        return seeds_for_median(alpha)
    if claim.quantifier == "mean":
        return FEWEST_FOR_MEAN
    if claim.expected is Verdict.NOT_REPRODUCED:
        return seeds_against_proportion(claim.share, alpha)
    return seeds_for_proportion(claim.share, alpha)


def _margin(relation: Relation, extent: _Ends | None) -> float | None:
    """How far the near end, the one that would cross first, is from a bound of the relation."""
    if extent is None or not all(math.isfinite(end) for end in extent):
        return None
    low, high = relation.bounds
    least, most = extent
    if relation.kind == "equals":
        low, high, least, most = map(relation.scale, (low, high, least, most))
        distance = min(abs(least - low), abs(high - most), abs(least - high), abs(low - most))
        return distance / relation.half_width
    bound = low if relation.kind == "above" else high
    near = min(extent, key=lambda end: abs(end - bound))
    if near * bound <= 0:
        return None
    factor = near / bound
    return max(factor, 1 / factor)


def _sentence(
    claim: Claim, values: NDArray[np.float64], measured: float, interval: _Ends | None
) -> str:
    count = len(values)
    published = "" if claim.published is None else f"; published {claim.published:.6g}"
    undefined = int(np.isnan(values).sum())
    if undefined:
        published = f"; {undefined} of {count} are not a number{published}"
    if claim.quantifier == "exact":
        return f"measured {measured:.6g}{published}"
    if claim.quantifier == "mean" and not math.isfinite(measured):
        return f"no mean over {count} seeds, as not every value is finite{published}"
    over = "networks" if claim.of_networks else "seeds"
    where = f"{claim.quantifier} {measured:.4g} over {count} {over}"
    if interval is None:
        return f"{where}, too few seeds for an interval{published}"
    low, high = interval
    if claim.quantifier == "every":
        return (
            f"{round(measured * count)} of {count} seeds agree: {_shown(claim.share, low, high)}, "
            f"values from {np.fmin.reduce(values):.4g} to {np.fmax.reduce(values):.4g}{published}"
        )
    return f"{where}, between {low:.4g} and {high:.4g}{published}"


def _shown(share: float, low: float, high: float) -> str:
    """What an interval of a share shows; its end is rounded away from what it excludes."""
    if high < share:
        return f"shows that at most {math.ceil(high * 1000) / 10:g} % do"
    return f"shows that at least {math.floor(low * 1000) / 10:g} % do"


def _to_flip(verdict: Verdict, seeds: int, needed: int, relation: Relation) -> str:
    low, high = relation.bounds
    if verdict is Verdict.INCONCLUSIVE and seeds < needed:
        return f"{needed} seeds instead of {seeds}"
    if verdict is Verdict.INCONCLUSIVE:
        return "more seeds, so that the interval no longer straddles the bound"
    verb = "entered" if verdict is Verdict.NOT_REPRODUCED else "left"
    if math.isinf(high):
        where = f"[{low:.6g}, infinity)"
    elif math.isinf(low):
        where = f"(-infinity, {high:.6g}]"
    else:
        where = f"[{low:.6g}, {high:.6g}]"
    return f"a measurement that {verb} {where}"
