"""A search file: published numbers, and the settings among which to look for their protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from actbench.store import stored
from actbench.store.errors import ActbenchError, unknown_name
from actbench.store.files import baselines_folder, read_toml
from actbench.study.catalog import activations
from actbench.study.recover.numbers import Printed
from actbench.study.recover.settings import Depth, Frozen, GradientSpace, Space, TrainingSpace

SCHEMA_VERSION = 1
_MOST_PROTOCOLS = 10**8
_TABLES = "tables [[number]], with two brackets and at least one"
_CHOICES = "a list of choices, with at least one"
_IN_SPACE = {
    "tuple_type": _CHOICES,
    "too_short": _CHOICES,
    "string_pattern_mismatch": "two of output, last_hidden, first and second, such as "
    "'output/first'",
}


class Number(Frozen):
    """One published number."""

    activation: str  # whose number it is
    published: str  # as printed, in quotes: its digits count
    depth: Depth = 10  # of the network, as the publication counts it
    # how many digits must be given; all that are printed unless fewer can be expected. 0 asks for
    # none, so that the number is shown only
    digits: int | None = None
    # in a search for final losses, the layer of whose weight gradient this is the mean magnitude,
    # counted from the input; `None` for a loss
    layer: int | None = Field(default=None, ge=1)
    # after how many updates that gradient is taken
    updates: int | None = Field(default=None, ge=0, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _digits_are_text(cls, data: Any) -> Any:
        published = data.get("published") if isinstance(data, dict) else None
        if isinstance(published, int | float):
            raise ActbenchError(
                f"published is {published!r}, but must be in quotes, as printed: its digits count"
            )
        return data

    @model_validator(mode="after")
    def _check_number(self) -> Number:
        activations.get(self.activation)
        _ = self.printed
        if (self.layer is None) != (self.updates is None):
            raise ActbenchError(
                "layer and updates say together which gradient a number is; give both, or neither "
                "for a loss"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if self.layer is None:  # as it was stored before a number could be a gradient
            del content["layer"], content["updates"]
        return content

    @property
    def printed(self) -> Printed:
        """Its digits."""
        return Printed(self.published, self.digits)


class _Search(Frozen):
    schema_version: Literal[1]
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    width: int = Field(default=64, ge=1, le=4096)
    misses: int = Field(default=0, ge=0)
    sample: int = Field(default=24, ge=4, le=10_000)
    number: tuple[Number, ...] = Field(min_length=1, max_length=50)
    space: Space

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every axis with its choices."""
        return {name: getattr(self.space, name) for name in type(self.space).model_fields}

    @property
    def size(self) -> int:
        """How many protocols the space has: the product of its axes."""
        size = 1
        for choices in self.axes.values():
            size *= len(choices)
        return size

    @model_validator(mode="after")
    def _check_whole(self) -> _Search:
        wanted = [(number.activation, number.depth) for number in self.number]
        read = [(n.activation, n.depth, n.layer, n.updates) for n in self.number]
        if len(set(read)) < len(read):
            raise ActbenchError("two numbers have the same activation and depth; keep one")
        asked = sum(number.digits != 0 for number in self.number)
        if self.misses >= asked:
            raise ActbenchError(
                f"misses is {self.misses}, but there are {asked} numbers; fewer may "
                "be missed than there are"
            )
        for order in self.space.order:
            lacking = [key for key, _ in wanted if key not in order]
            if lacking:
                raise ActbenchError(f"order {list(order)} lacks {lacking[0]!r}; add it")
        for depths in getattr(self.space, "depths", ()):
            missing = [depth for _, depth in wanted if depth not in depths]
            if missing:
                raise ActbenchError(f"depths {list(depths)} lack the number's {missing[0]}; add it")
        if self.size > _MOST_PROTOCOLS:
            raise ActbenchError(
                f"the space has {self.size:.1e} protocols, but at most {_MOST_PROTOCOLS:.0e} can "
                "be searched; give some axes fewer choices"
            )
        return self


class GradientSearch(_Search):
    """A search for the protocol of gradient ratios."""

    quantity: Literal["gradient_ratio"]  # what the numbers are
    space: GradientSpace  # the settings

    @model_validator(mode="after")
    def _check_numbers(self) -> GradientSearch:
        if any(number.layer is not None for number in self.number):
            raise ActbenchError(
                "layer is of numbers of a training; in a search for gradient_ratio the axis layers "
                "says what is divided by what"
            )
        return self


class TrainingSearch(_Search):
    """A search for the protocol of a training: final losses, and gradients on the way."""

    quantity: Literal["final_loss"]  # what the numbers are
    space: TrainingSpace  # the settings

    @model_validator(mode="after")
    def _check_depths(self) -> TrainingSearch:
        if len({number.depth for number in self.number}) > 1:
            raise ActbenchError("final losses of several depths; search each depth by itself")
        for number in self.number:
            if (number.layer or 0) > number.depth:
                raise ActbenchError(
                    f"layer is {number.layer}, but a network of depth {number.depth} may have "
                    f"{number.depth} layers; choose 1 to {number.depth}"
                )
        return self


Search: TypeAlias = GradientSearch | TrainingSearch
_KINDS: dict[str, type[GradientSearch | TrainingSearch]] = {
    "gradient_ratio": GradientSearch,
    "final_loss": TrainingSearch,
}


def find(name: str) -> Path:
    """Return the path of a search file, which may be the name of a shipped one."""
    shipped = baselines_folder() / "recover" / f"{name}.toml"
    return shipped if not Path(name).is_file() and shipped.is_file() else Path(name)


def load(path: Path) -> Search:
    """Read and validate a search file; nothing in it is executed."""
    content = read_toml(path, "the search", f"Shipped searches are named {', '.join(shipped())}")
    quantity = content.get("quantity")
    if not isinstance(quantity, str) or quantity not in _KINDS:
        raise ActbenchError(f"{path}: {unknown_name('quantity', quantity, _KINDS)}")
    try:
        return TypeAdapter(_KINDS[quantity]).validate_python(content)
    except ValidationError as error:
        raise ActbenchError(f"{path}: {_first_problem(error, _KINDS[quantity])}") from error


def shipped() -> list[str]:
    """List the searches that come with the package."""
    return sorted(path.stem for path in (baselines_folder() / "recover").glob("*.toml"))


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    first = stored.first(error)
    loc = list(first["loc"])
    place, model, wanted = "", kind, {"tuple_type": _TABLES, "too_short": _TABLES}
    if loc[:1] == ["number"] and len(loc) > 1 and isinstance(loc[1], int):
        place, loc, model = f"number {loc[1] + 1}, ", loc[2:], Number
    elif loc[:1] == ["space"] and len(loc) > 1:
        spaces = GradientSpace if kind is GradientSearch else TrainingSpace
        place, loc, model, wanted = "space, ", loc[1:], spaces, _IN_SPACE
    # What an axis may hold is said of its first type; the others' complaints would be noise.
    return stored.in_words(first, place, loc[:1], model.model_fields, wanted)
