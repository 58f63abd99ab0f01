"""Judging numbers from Python: values in, a verdict out; and values of a function over seeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from operator import index
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim, Verdict
from actbench.claims.published_value import COVERAGE
from actbench.claims.statistics import prediction_interval, values_for_prediction
from actbench.claims.verdicts import Judgment, judge_values
from actbench.runs.comparing import with_effect
from actbench.runs.worker import NoNumberError, numbers_in
from actbench.store.errors import ActbenchError, unknown_name
from actbench.store.studies import FIRST_SEED

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__tracebackhide__ = True  # pytest shows the line of the test and those of the user's function
VALUE = "value"
PLAUSIBLE = "plausible"
"""Id of a claim that a published run could be one of these."""


def judge(
    values: ArrayLike | Mapping[Any, float] | Runs,
    *,
    above: float | None = None,
    below: float | None = None,
    equals: float | None = None,
    tolerance: float | None = None,
    relative: bool = False,
    plausible: float | None = None,
    published: float | Mapping[str, float] | None = None,
    quantifier: Literal["median", "every", "mean", "exact"] = "median",
    share: float = 0.95,
    alpha: float = 0.01,
    expected: str = "reproduced",
    statement: str = "",
    reason: str = "",
) -> Judgment:
    """Judge a claim about numbers that are there, one per run.

    Args:
        values: One number per run, shape ``(run,)``, or by run; NaN for a run that gave none.
        above: They lie at or above this.
        below: They lie at or below this.
        equals: They are this, within the tolerance.
        tolerance: How far off still counts as equal, above 0.
        relative: Whether the tolerance is a share of the value.
        plausible: Of one published run: whether it could be one of these, by the distribution-free
            95 % interval of a further run, which takes 39 (David and Nagaraja 2003, section 7.3).
        published: What is published, to be compared beside the verdict: of one run its value, of
            several ``{"mean": 0.91, "std": 0.02, "n": 5}``, by Welch's test of equal means, two
            one-sided tests of equivalence and the F test of equal spreads.
        quantifier: ``median`` for the typical run, ``every`` for at least ``share`` of all runs,
            ``mean``, or ``exact`` for a value that no seed changes.
        share: Of all runs, for ``every``; between 0 and 1.
        alpha: Largest probability of a wrong verdict, between 0 and 1.
        expected: The verdict that is pinned.
        statement: What the claim says, in words.
        reason: Why this bound and no other.

    Returns:
        The verdict with its evidence; a notebook shows it with a picture.

    Raises:
        ActbenchError: The values are no numbers, or not exactly one of ``above``, ``below``,
            ``equals`` and ``plausible`` was given.

    Example:
        >>> actbench.judge([0.93, 0.94, 0.95, 0.94, 0.93, 0.94, 0.96, 0.94], above=0.92).verdict
        <Verdict.REPRODUCED: 'reproduced'>
    """
    given = {"above": above, "below": below, "equals": equals, "plausible": plausible}
    kind, value = bound_of(given, alpha)
    numbers = numbers_of(values)
    if kind == PLAUSIBLE:
        return _judge_plausible(numbers, value, statement, expected, reason)
    relation = {"kind": kind, "value": value, "tolerance": tolerance, "relative": relative}
    claim = claim_of(relation, reason, statement, expected, published, quantifier, share)
    judgment = judge_values(claim, numbers, alpha)
    if isinstance(values, Runs) and values.pair is not None:
        return with_effect(judgment, *values.pair, alpha)
    return judgment


def bound_of(given: Mapping[str, float | None], alpha: float) -> tuple[str, float]:
    """The one bound that was given, and what it bounds."""
    named = {kind: _real(kind, value) for kind, value in given.items() if value is not None}
    if len(named) != 1:
        raise ActbenchError(
            "judge takes one of above, below, equals and plausible, not "
            f"{' and '.join(named) or 'none'}"
        )
    if not 0 < _real("alpha", alpha) < 1:
        raise ActbenchError(f"alpha is {alpha!r}, but must lie between 0 and 1")
    return next(iter(named.items()))


def _real(name: str, value: object) -> float:
    """A number of any type, but no text that looks like one."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    raise ActbenchError(f"{name} is {value!r}, but must be a number")


def numbers_of(values: ArrayLike | Mapping[Any, float] | Runs) -> NDArray[np.float64]:
    """Return what was given as numbers, one per run; several of a run would pass for more runs."""
    if isinstance(values, Runs):
        return values.values
    given: Any = list(values.values()) if isinstance(values, Mapping) else values
    try:
        kind = np.asarray([] if given is None else given).dtype.kind
        numbers = np.atleast_1d(np.asarray([] if given is None else given, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError) as error:  # the last by tensors with a gradient
        raise ActbenchError(f"the values are no numbers, one per run: {error}") from None
    if kind in "SUMm":
        raise ActbenchError(f"the values are no numbers, one per run, but {given!r:.60}")
    if not numbers.size:
        raise ActbenchError("there are no values; give one number per run")
    if numbers.ndim > 1:
        raise ActbenchError(
            f"the values have shape {numbers.shape}, but must be one number per run; choose one "
            "of each run's, such as the last"
        )
    return numbers


def claim_of(
    relation: Mapping[str, Any],
    reason: str = "",
    statement: str = "",
    expected: str = "reproduced",
    published: float | Mapping[str, float] | None = None,
    quantifier: str = "median",
    share: float = 0.95,
    name: str = "values",
) -> Claim:
    """Make a claim about values of what was asked; arguments as of ``judge``."""
    from pydantic import ValidationError

    from actbench.store import stored

    said = {"reason": reason} if reason else {}
    try:
        return Claim.model_validate(
            {
                "id": name,
                "statement": statement or reason or "these values",
                "protocol": "values",
                "relation": {k: v for k, v in {**relation, **said}.items() if v is not None},
                "published": published,
                "quantifier": quantifier,
                "share": share,
                "expected": expected,
            }
        )
    except ValidationError as error:
        found = stored.first(error)
        loc = [part for part in found["loc"] if part != "relation"]
        raise ActbenchError(stored.in_words(found, "", loc, Claim.model_fields, {})) from None


def _judge_plausible(
    values: NDArray[np.float64], published: float, statement: str, expected: str, reason: str
) -> Judgment:
    relation = {"kind": "equals", "value": published, "tolerance": abs(published) * 1e-9 or 1e-9}
    claim = claim_of(relation, reason, statement, expected, published, name=PLAUSIBLE)
    needed = values_for_prediction(COVERAGE)
    interval = prediction_interval(values, COVERAGE)
    below = int((values < published).sum())
    where = f"{below} of {len(values)} runs lie below {published:.6g}"
    if interval is None:
        sentence = f"{where}; {needed} runs are needed to say where 95 % of further ones lie"
        verdict = Verdict.INCONCLUSIVE
    else:
        inside = interval[0] <= published <= interval[1]
        verdict = Verdict.REPRODUCED if inside else Verdict.NOT_REPRODUCED
        sentence = f"{where}; 95 % of further ones lie between " + " and ".join(
            f"{end:.4g}" for end in interval
        )
    short = f"{needed} runs instead of {len(values)}"
    return Judgment(
        claim=claim,
        verdict=verdict,
        measured=published,
        interval=interval,
        seeds=len(values),
        seeds_needed=needed,
        sentence=sentence,
        to_flip=short if interval is None else "another published value",
        values=values,
    )


class Askable(ABC):
    """What can be asked of runs, whether they are there or are made when they are asked for."""

    @abstractmethod
    def _judge(self, **asked: Any) -> Judgment:
        """Judge what was asked, as ``actbench.judge`` names it."""

    def above(self, bound: float, **options: Any) -> Judgment:
        """Judge that the runs lie at or above a bound; options as of ``actbench.judge``."""
        return self._judge(above=bound, **options)

    def below(self, bound: float, **options: Any) -> Judgment:
        """Judge that the runs lie at or below a bound; options as of ``actbench.judge``."""
        return self._judge(below=bound, **options)

    def equals(self, value: float, *, tolerance: float, **options: Any) -> Judgment:
        """Judge that the runs are a value, within a tolerance; options as of ``actbench.judge``."""
        return self._judge(equals=value, tolerance=tolerance, **options)


@dataclass(frozen=True, eq=False)
class Runs(Askable):
    """Numbers of runs, one or several for each seed.

    ``first - second`` and ``first / second`` pair runs of the same seed; ``runs["accuracy"]``
    chooses one of several numbers.

    Args:
        seeds: What names the runs.
        numbers: By name, one per run; ``"value"`` where a run gives a single one.
        name: What ran, for messages.
        settings: What it was given besides the seed.
        judged: Is told of each judgment; nobody needs to listen.
        pair: What was subtracted or divided, run by run; ``None`` where nothing was.
    """

    seeds: tuple[Any, ...]
    numbers: Mapping[str, NDArray[np.float64]]
    name: str = "values"
    settings: Mapping[str, Any] = field(default_factory=dict)
    judged: Callable[[Runs, Judgment], None] = lambda runs, judgment: None
    pair: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers, shape ``(run,)``; an error where each run has several."""
        if len(self.numbers) != 1:
            raise ActbenchError(
                f"{self.name} gives {', '.join(self.numbers)}; choose one, as in "
                f"judge(...)[{next(iter(self.numbers))!r}]"
            )
        return next(iter(self.numbers.values()))

    def __getitem__(self, number: str) -> Runs:
        if number not in self.numbers:
            raise unknown_name(f"number of {self.name}", number, self.numbers)
        return replace(self, numbers={number: self.numbers[number]}, pair=None)

    def __len__(self) -> int:
        return len(self.seeds)

    def __sub__(self, other: Runs) -> Runs:
        return self._compared(other, "-", np.subtract)

    def __truediv__(self, other: Runs) -> Runs:
        return self._compared(other, "/", np.divide)

    def _compared(self, other: Runs, sign: str, operation: np.ufunc) -> Runs:
        if not isinstance(other, Runs):
            return NotImplemented
        pair = self.values, self._paired(other)
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers = {VALUE: operation(*pair)}
        return replace(self, numbers=numbers, name=f"{self.name} {sign} {other.name}", pair=pair)

    def _paired(self, other: Runs) -> NDArray[np.float64]:
        places = {seed: place for place, seed in enumerate(other.seeds)}
        alone = [seed for seed in (*self.seeds, *other.seeds) if seed not in places]
        alone += [seed for seed in other.seeds if seed not in self.seeds]
        if alone:
            raise ActbenchError(
                f"{self.name} and {other.name} do not pair: only one of them ran seed {alone[0]}. "
                "Run both with the same seeds"
            )
        return other.values[[places[seed] for seed in self.seeds]]

    def plausible(self, published: float, **options: Any) -> Judgment:
        """Judge that one published run could be one of these, as ``actbench.judge`` does."""
        return self._judge(plausible=published, **options)

    def _judge(self, **asked: Any) -> Judgment:
        judgment = judge(self, **{"statement": self.name, **asked})
        self.judged(self, judgment)
        return judgment


def run(function: Callable[..., Any], /, seeds: int | Iterable[int] = 10, **settings: Any) -> Runs:
    """Call a function once per seed.

    Args:
        function: Called with ``seed`` and the settings; returns a number, or numbers by name.
        seeds: Those, each once, or how many, from 42 on; at least 1.
        settings: What else to give it.

    Returns:
        What it returned, by seed.

    Raises:
        ActbenchError: It returned no number, or not the same numbers each time.
    """
    given = _each_once(seeds)
    name = name_of(function)
    rows = []
    for seed in given:
        try:
            rows.append(numbers_in(function(seed=seed, **settings)))
        except NoNumberError as error:
            raise ActbenchError(f"for seed {seed} {name} returned {error}") from None
        if rows[-1].keys() != rows[0].keys():
            raise ActbenchError(
                f"{name} gave {', '.join(rows[-1])} for seed {seed}, but {', '.join(rows[0])} for "
                "the first; return the same numbers each time"
            )
    numbers = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return Runs(given, numbers, name, settings)


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called, for messages."""
    return str(getattr(function, "__name__", type(function).__name__))


def _each_once(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Seeds as Python's whole numbers; one that is run twice would count as two runs."""
    try:
        named = seeds if isinstance(seeds, Iterable) else range(FIRST_SEED, FIRST_SEED + seeds)
        given = tuple(index(seed) for seed in named)
    except TypeError:
        given = ()
    if not given:
        raise ActbenchError(f"seeds is {seeds!r}, but must be at least 1, or whole numbers")
    twice = [seed for seed, times in Counter(given).items() if times > 1]
    if twice:
        raise ActbenchError(f"seed {twice[0]} is named twice; the same run is no further evidence")
    return given
