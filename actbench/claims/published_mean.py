"""A published mean with its standard deviation and number of runs, as a table prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic.functional_validators import WrapValidator
from pydantic_core import PydanticKnownError

from actbench import slips
from actbench.errors import ActbenchError

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
            found = slips.first(error)
            fields = PublishedMean.model_fields
            problem = slips.in_words(found, "", list(found["loc"]), fields, {})
            raise ValueError(problem) from error
    if isinstance(given, bool) or not isinstance(given, Real):
        raise PydanticKnownError("float_type")
    if not math.isfinite(given):
        raise PydanticKnownError("finite_number")
    return float(given)


Published: TypeAlias = Annotated[float | PublishedMean, WrapValidator(_read)]
"""What a publication states: the number of one run, or the mean of several."""


def from_text(text: str) -> float | dict[str, float | int]:
    """Read what a publication prints, as ``Published`` takes it."""
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
