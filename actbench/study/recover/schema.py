"""A search file: published numbers, and the settings among which to look for their protocol.

Every setting is an axis, a tuple of choices; docs/recover.md says what each of them is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
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
from actbench.study.catalog import activations, initializers
from actbench.study.recover.numbers import Printed

_PLACES = "output|last_hidden|first|second"
_TWO_LAYERS = rf"^({_PLACES})/({_PLACES})$"

_Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
_Depth: TypeAlias = Annotated[int, Field(ge=2, le=200)]
_Rule: TypeAlias = str | dict[str, str]
"""An initializer for all networks, or one per activation with an ``else``."""


def _axis(*choices: Any) -> Any:
    return Field(default=choices, min_length=1)


class _Frozen(BaseModel):
    """Reads TOML's arrays into tuples, so that a file's content can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, data: Any) -> Any:
        return _tuples(data)


def _tuples(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return tuple(_tuples(value) for value in data)
    return data


class _Space(_Frozen):
    """What decides how the random stream is spent; every field is an axis, a tuple of choices."""

    seed: tuple[_Seed, ...] = _axis(42)  # to which torch's stream is set
    # `once` before all networks, or before each (`per_model`).
    reset: tuple[Literal["once", "per_model"], ...] = _axis("once")
    # Activations in the order in which their networks are drawn.
    order: tuple[tuple[str, ...], ...] = _axis(tuple(activations.ACTIVATIONS))
    # All layers before the first is initialized (`all_first`), or each layer constructed and
    # initialized before the next (`layer_by_layer`).
    construction: tuple[Literal["all_first", "layer_by_layer"], ...] = _axis("all_first")
    # Key of an initializer, or a table of activation to key with an `else`.
    initializer: tuple[_Rule, ...] = _axis("torch_default")
    # Zero, or as torch's constructor drew it.
    bias: tuple[Literal["zero", "constructed"], ...] = _axis("constructed")
    # Whether a depth of n is n `hidden` layers, n `linear` layers, which is one hidden layer less,
    # or n `square` ones of weights from hidden to hidden layer, which is one more.
    depth_counts: tuple[Literal["hidden", "linear", "square"], ...] = _axis("hidden")

    @model_validator(mode="after")
    def _check_names(self) -> _Space:
        for order in self.order:
            for key in order:
                activations.get(key)
            if len(set(order)) < len(order):
                raise ActbenchError(f"order {list(order)} names an activation twice; name it once")
        for rule in self.initializer:
            _check_rule(rule)
        for axis in type(self).model_fields:
            choices = getattr(self, axis)
            if any(choice in choices[:place] for place, choice in enumerate(choices)):
                raise ActbenchError(f"{axis} lists a choice twice; list each once")
        return self


def _check_rule(rule: _Rule) -> None:
    for name in (rule,) if isinstance(rule, str) else rule.values():
        initializers.get(name)
        if name.startswith("mean_field("):
            raise ActbenchError(
                f"initializer {name!r} draws biases of its own, which a search can't vary; choose "
                f"among {', '.join(k for k in initializers.KEYS if not k.startswith('mean_field'))}"
            )
    if isinstance(rule, str):
        return
    if "else" not in rule:
        raise ActbenchError(
            f"initializer {rule} has no 'else', which says how the networks of the other "
            "activations are drawn; add one, such as else = 'torch_default'"
        )
    for key in rule.keys() - {"else"}:
        activations.get(key)


class _GradientSpace(_Space):
    """Settings of one forward and one backward pass through networks that are not trained."""

    # Depths of the networks that are drawn, in their order; the others are drawn too.
    depths: tuple[tuple[_Depth, ...], ...] = _axis((10,))
    # Whether all activations are drawn before the next `depth`, or all depths before the next
    # `activation`.
    outer_loop: tuple[Literal["depth", "activation"], ...] = _axis("depth")
    # `normal` or `uniform` (on 0 to 1) from torch's stream, or `evenly_spaced` on [-pi, pi].
    input: tuple[Literal["normal", "uniform", "evenly_spaced"], ...] = _axis("normal")
    points: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = _axis(32)
    # When random inputs are drawn: `before_model`, `after_model`, or `once` at the start for all
    # networks.
    drawn: tuple[Literal["before_model", "after_model", "once"], ...] = _axis("after_model")
    # `mean` or `sum` of the outputs, or mean squared error against 0 (`mse_zeros`), against sin x
    # (`mse_sine`) or against that with the study's noise (`mse_noisy_sine`).
    loss: tuple[Literal["mean", "sum", "mse_zeros", "mse_sine", "mse_noisy_sine"], ...] = _axis(
        "mean"
    )
    # Of a layer's weight gradient.
    measure: tuple[Literal["mean_abs", "l2", "rms", "max_abs"], ...] = _axis("mean_abs")
    # Which layer's measure is divided by which, such as `output/first`.
    layers: tuple[Annotated[str, Field(pattern=_TWO_LAYERS)], ...] = _axis("output/first")

    @model_validator(mode="after")
    def _check_layers(self) -> _GradientSpace:
        for pair in self.layers:
            over, under = pair.split("/")
            if over == under:
                raise ActbenchError(f"layers name {pair!r}, which is always 1; name two layers")
        return self


class _TrainingSpace(_Space):
    """Settings of training on the study's 200 points."""

    # Adam's step size
    learning_rate: tuple[Annotated[float, Field(gt=0, le=10)], ...] = _axis(1e-3)
    weight_decay: tuple[Annotated[float, Field(ge=0, le=10)], ...] = _axis(0.0)  # Adam's L2 penalty
    epochs: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = _axis(500)  # full-batch updates
    # Seed of NumPy's legacy generator, which draws the noise of the targets.
    noise_seed: tuple[_Seed, ...] = _axis(42)
    dtype: tuple[Literal["float32", "float64"], ...] = _axis("float32")
    # The loss `before_last_update`, `after_last_update`, or the `lowest` before any.
    read: tuple[Literal["before_last_update", "after_last_update", "lowest"], ...] = _axis(
        "after_last_update"
    )


_MOST_PROTOCOLS = 10**8
_TABLES = "tables [[number]], with two brackets and at least one"
_CHOICES = "a list of choices, with at least one"
_IN_SPACE = {
    "tuple_type": _CHOICES,
    "too_short": _CHOICES,
    "string_pattern_mismatch": "two of output, last_hidden, first and second, such as "
    "'output/first'",
}


class Number(_Frozen):
    """One published number."""

    activation: str
    published: str  # as printed, in quotes: its digits count
    depth: _Depth = 10  # of the network, as the publication counts it
    # How many digits must be given; all that are printed unless fewer can be expected. 0 asks for
    # none, so that the number is shown only.
    digits: int | None = None
    # In a search for final losses, the layer of whose weight gradient this is the mean magnitude,
    # counted from the input; None for a loss.
    layer: int | None = Field(default=None, ge=1)
    # After how many updates that gradient is taken.
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


class _Search(_Frozen):
    schema_version: Literal[1]
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    width: int = Field(default=64, ge=1, le=4096)
    misses: int = Field(default=0, ge=0)
    sample: int = Field(default=24, ge=4, le=10_000)
    number: tuple[Number, ...] = Field(min_length=1, max_length=50)
    space: _Space

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every axis with its choices."""
        return {name: getattr(self.space, name) for name in type(self.space).model_fields}

    @property
    def printed(self) -> list[Printed]:
        """The numbers with their digits, in the file's order."""
        return [number.printed for number in self.number]

    @property
    def size(self) -> int:
        """How many protocols the space has: the product of its axes."""
        return math.prod(map(len, self.axes.values()))

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

    quantity: Literal["gradient_ratio"]
    space: _GradientSpace

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

    quantity: Literal["final_loss"]
    space: _TrainingSpace

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
        spaces = _GradientSpace if kind is GradientSearch else _TrainingSpace
        place, loc, model, wanted = "space, ", loc[1:], spaces, _IN_SPACE
    # What an axis may hold is said of its first type; the others' complaints would be noise.
    return stored.in_words(first, place, loc[:1], model.model_fields, wanted)
