"""A claim as data: what the study says, how it is decided, which verdict is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from numbers import Real
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic.functional_validators import WrapValidator
from pydantic_core import PydanticKnownError

from actbench.store import stored
from actbench.store.errors import ActbenchError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TEXT = re.compile(
    rf"\s*(?P<mean>{_NUMBER})\s*(?:(?:±|\+-|\+/-)\s*(?P<std>{_NUMBER}))?"
    r"\s*(?:\(\s*(?:n\s*=\s*)?(?P<n>\d+)\s*\))?\s*"
)


class PublishedMean(BaseModel):
    """The mean of several published runs.

    Args:
        mean: Their mean.
        std: Their standard deviation, at least 0, where it is published. A standard error times the
            square root of n is one.
        n: How many runs it is the mean of, at least 2.
        ddof: Whether the standard deviation divides by n - 1, as pandas does (1), or by n, as NumPy
            does (0); where nobody says, what holds either way is told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Annotated[float, Strict()] = Field(allow_inf_nan=False)
    std: Annotated[float, Strict()] | None = Field(default=None, ge=0, allow_inf_nan=False)
    n: Annotated[int, Strict()] = Field(json_schema_extra={"minimum": 2})
    ddof: Literal[0, 1] | None = None

    @model_validator(mode="after")
    def _check(self) -> PublishedMean:
        if self.n < 2:
            raise ValueError(
                f"n is {self.n}, but a mean is of at least 2 runs; give the value of a single run "
                f"as a number, {self.mean:g}"
            )
        if self.ddof is not None and self.std is None:
            raise ValueError("'ddof' says how 'std' was computed, but there is no 'std'")
        return self

    def __format__(self, form: str) -> str:
        """As a table prints it, such as ``"0.91 ± 0.02 (5)"``, each number in a float's format."""
        std = "" if self.std is None else f" ± {self.std:{form}}"
        return f"{self.mean:{form}}{std} ({self.n})"


def _read(given: Any, _: object) -> float | PublishedMean:
    """A table is a mean, anything else is to be a number; pydantic would name both."""
    if isinstance(given, PublishedMean):
        return given
    if isinstance(given, Mapping):
        try:
            return PublishedMean.model_validate(dict(given))
        except ValidationError as error:
            found = stored.first(error)
            fields = PublishedMean.model_fields
            problem = stored.in_words(found, "", list(found["loc"]), fields, {})
            raise ValueError(problem) from error
    if isinstance(given, bool) or not isinstance(given, Real):
        raise PydanticKnownError("float_type")
    if not math.isfinite(given):
        raise PydanticKnownError("finite_number")
    return float(given)


_Published: TypeAlias = Annotated[float | PublishedMean, WrapValidator(_read)]
"""What a publication states: the number of one run, or the mean of several."""


def from_text(text: str) -> float | dict[str, float | int]:
    """Read what a publication prints, as a claim takes it."""
    found = _TEXT.fullmatch(text)
    if found is None or (found["std"] and not found["n"]):
        raise ActbenchError(
            f"published is {text!r}, but must be a number, such as 0.91, or a mean with its "
            'standard deviation and number of runs, such as "0.91 ± 0.02 (5)"'
        )
    if not found["n"]:
        return float(found["mean"])
    std = {"std": float(found["std"])} if found["std"] else {}
    return {"mean": float(found["mean"]), **std, "n": int(found["n"])}


FROZEN = ConfigDict(extra="forbid", frozen=True)

# Of their TOML type: a text is no number, though it may look like one. A whole number is a number.
Number: TypeAlias = Annotated[float, Strict()]
Whole: TypeAlias = Annotated[int, Strict()]
Flag: TypeAlias = Annotated[bool, Strict()]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Verdict(StrEnum):
    """What judging a claim can end in."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction_only"
    NOT_REPRODUCED = "not_reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not_testable"


class Relation(BaseModel):
    """Where a measured value must lie for the claim to hold.

    Args:
        kind: ``equals`` a value within a tolerance, or lies ``above`` or ``below`` one.
        value: The value; for ``equals`` the published one where none is given.
        tolerance: For ``equals``: largest distance that still counts as the same, above 0.
        relative: Whether the tolerance is a share of the value.
        decades: Whether the tolerance is in decades, for a value above 0 that is known to an order
            of magnitude: 1 allows from a tenth to ten times of it.
        reason: Why this bound or tolerance and no other; empty where nobody says.
    """

    model_config = FROZEN

    kind: Literal["equals", "above", "below"]
    value: Number | None = Field(default=None, allow_inf_nan=False)
    tolerance: Number | None = Field(default=None, gt=0, allow_inf_nan=False)
    relative: Flag = False
    decades: Flag = False
    reason: str = Field(default="", min_length=1)

    @model_validator(mode="after")
    def _check_tolerance(self) -> Relation:
        if (self.kind == "equals") != (self.tolerance is not None):
            raise ValueError("'equals' needs a tolerance, 'above' and 'below' take none")
        if self.relative and self.decades:
            raise ValueError("a tolerance is 'relative' or in 'decades', not both")
        return self

    @property
    def half_width(self) -> float:
        """Half of what ``bounds`` span, on ``scale``; infinite for ``above`` and ``below``."""
        if self.tolerance is None:
            return math.inf
        return self.tolerance * (abs(self._center) if self.relative else 1.0)

    def scale(self, value: float) -> float:
        """Put a value where the tolerance is the same to both sides: on its own or a log axis."""
        if not self.decades:
            return value
        return math.log10(value) if value > 0 else -math.inf

    def contains(self, value: float) -> bool:
        """Tell whether a value satisfies the relation; one that is NaN never does.

        Args:
            value: The value.

        Returns:
            Whether it lies within ``bounds``.
        """
        low, high = self.bounds
        return low <= value <= high

    def includes(self, other: Relation) -> bool:
        """Tell whether every value that satisfies another relation satisfies this one.

        Args:
            other: The stricter relation.

        Returns:
            Whether its ``bounds`` lie within these.
        """
        (low, high), (least, most) = self.bounds, other.bounds
        return low <= least and most <= high

    @property
    def _center(self) -> float:
        if self.value is None:
            raise ValueError("a relation without a value has no bounds")
        return self.value

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that satisfies the relation."""
        if self.kind == "above":
            return self._center, math.inf
        if self.kind == "below":
            return -math.inf, self._center
        if self.decades:
            factor = 10**self.half_width
            return self._center / factor, self._center * factor
        return self._center - self.half_width, self._center + self.half_width


class Claim(BaseModel):
    """One documented claim.

    Args:
        id: Stable name, a short sentence in kebab case.
        source: Where it is stated.
        statement: What it says, in our words.
        ours: Whether it is not a statement of the study but this suite's: an explanation of the
            study's numbers, a theory's prediction, or a question that its experiments raise.
        variant_of: Id of the claim whose statement this one judges once more under another
            protocol, such as the settings that were run where others were documented.
        protocol: Name of the protocol that decides it; none for a claim that nothing here can.
        metric: Of an experiment, name and arguments, such as ``{name = "final_mse", activation =
            "relu"}``; of any other source a column, such as ``{column = "test_acc", where =
            {method = "ours"}}``, as ``actbench.runs.columns`` reads it.
        published: The study's value, where it gives one: of one run a number, of several
            ``{mean = 0.91, std = 0.02, n = 5}``.
        relation: What must hold for the claim as stated.
        direction: The weaker statement of ordering or sign, where the claim has one.
        quantifier: ``exact`` for a value that no seed changes, ``median`` for the typical seed,
            ``every`` for at least ``share`` of all seeds, ``mean`` for what is pooled over
            networks, of which the metric gives one pseudo-value per network.
        share: Of all seeds, for ``every``.
        weight: How large a part of the file's ``alpha`` it has, beside other pinned claims.
        expected: The verdict that is pinned; without one the claim is exploratory: its verdict is
            told, and none is wrong.
        because: Why that verdict is expected; for ``not_testable``, why nothing here can decide.
    """

    model_config = FROZEN

    id: Name
    source: str = Field(default="", min_length=1)
    statement: str = Field(min_length=1)
    ours: Flag = False
    variant_of: str | None = None
    protocol: str | None = None
    metric: dict[str, Any] = Field(default_factory=dict)
    published: _Published | None = None
    relation: Relation | None = None
    direction: Relation | None = None
    quantifier: Literal["exact", "median", "every", "mean"] = "median"
    share: Number = Field(default=0.95, gt=0, lt=1)
    weight: Number = Field(default=1.0, gt=0, allow_inf_nan=False)
    expected: Verdict | None = None
    because: str = Field(default="", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _published_is_the_value(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("relation"), dict):
            published = data.get("published")
            if isinstance(published, dict):
                published = published.get("mean")
            relation = {"value": published, **data["relation"]}
            return {**data, "relation": relation}
        return data

    @model_validator(mode="after")
    def _check_parts(self) -> Claim:
        if self.expected is Verdict.NOT_TESTABLE:
            if self.protocol or self.relation or self.metric:
                raise ValueError("a claim that is not_testable has no protocol, metric or relation")
            if not self.because:
                raise ValueError("a claim that is not_testable says why, in 'because'")
        elif not (self.protocol and self.relation):
            raise ValueError("a testable claim needs a protocol, a metric and a relation")
        if "weight" in self.model_fields_set and not self.takes_level:
            raise ValueError(
                "'weight' shares out alpha over claims that are pinned and have a sampling error; "
                "this one takes no part of it, so leave it out"
            )
        for relation in (self.relation, self.direction):
            if relation is not None and relation.value is None:
                raise ValueError("a relation needs a value, its own or the published one")
            if relation is not None and relation.decades and (relation.value or 0) <= 0:
                raise ValueError("a tolerance in decades needs a value above 0")
            if relation is not None and relation.relative and relation.value == 0:
                raise ValueError("a tolerance can't be relative to a value of 0")
        if self.pooled and self.quantifier != "mean":
            raise ValueError(
                "'exceeds' and 'aggregate' give one number of all runs, a mean; say quantifier = "
                "'mean'"
            )
        if self.relation and self.direction and self.relation.includes(self.direction):
            raise ValueError(
                "'direction' is no weaker than 'relation': what satisfies it satisfies the "
                "relation too, so it would never decide; widen it, or leave it out"
            )
        return self

    @property
    def published_value(self) -> float | None:
        """The published number: of one run, or the mean of several."""
        value = self.published
        return value.mean if isinstance(value, PublishedMean) else value

    @property
    def of_networks(self) -> bool:
        """Whether its values are pseudo-values of what is pooled over networks, and no runs."""
        return self.quantifier == "mean" and "name" in self.metric

    @property
    def takes_level(self) -> bool:
        """Whether it takes a part of its file's alpha: pinned, and with a sampling error."""
        testable = self.relation is not None and self.quantifier != "exact"
        return testable and self.expected is not None

    @property
    def activation(self) -> str | None:
        """Key of the activation that the metric is about, where it is about one."""
        value = self.metric.get("activation")
        return None if value is None else str(value)

    @property
    def pooled(self) -> bool:
        """Whether a table's metric gives one number of all runs, with an interval of its own."""
        return self.metric.get("exceeds") is not None or self.metric.get("aggregate") is not None

    def decisive(self, verdict: str) -> Relation | None:
        """Pick the relation that a verdict's margin is measured to.

        Args:
            verdict: What came out.

        Returns:
            The weaker one for ``direction_only``, else the claim's own; ``None`` where it has none.
        """
        weaker = self.direction if verdict == Verdict.DIRECTION_ONLY else None
        return weaker or self.relation
