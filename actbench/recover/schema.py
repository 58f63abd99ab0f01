"""A search file: published numbers, and the settings among which to look for their protocol."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from actbench import activations, initializers
from actbench.errors import ActbenchError, unknown_name
from actbench.files import baselines_folder
from actbench.recover.numbers import Printed

SCHEMA_VERSION = 1
_FROZEN = ConfigDict(extra="forbid", frozen=True, strict=True)
_PLACES = "output|last_hidden|first|second"
_MOST_PROTOCOLS = 10**8

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
Depth: TypeAlias = Annotated[int, Field(ge=2, le=200)]
Rule: TypeAlias = str | dict[str, str]
"""An initializer for all networks, or one per activation with an ``else``."""


def _axis(*choices: Any) -> Any:
    return Field(default=choices, min_length=1)


class _Listed(BaseModel):
    """Reads TOML's arrays into tuples, so that a file's content can't change."""

    model_config = _FROZEN

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


class Space(_Listed):
    """What decides how the random stream is spent; every field is an axis, a tuple of choices.

    Args:
        seed: To which torch's stream is set.
        reset: ``once`` before all networks, or before each (``per_model``).
        order: Activations in the order in which their networks are drawn.
        construction: All layers before the first is initialized (``all_first``), or each layer
            constructed and initialized before the next (``layer_by_layer``).
        initializer: Key of an initializer, or a table of activation to key with an ``else``.
        bias: ``zero``, or as torch's constructor drew it (``constructed``).
        depth_counts: Whether a depth of n is n ``hidden`` layers or n ``linear`` layers, which is
            one hidden layer less.
    """

    seed: tuple[Seed, ...] = _axis(42)
    reset: tuple[Literal["once", "per_model"], ...] = _axis("once")
    order: tuple[tuple[str, ...], ...] = _axis(tuple(activations.ACTIVATIONS))
    construction: tuple[Literal["all_first", "layer_by_layer"], ...] = _axis("all_first")
    initializer: tuple[Rule, ...] = _axis("torch_default")
    bias: tuple[Literal["zero", "constructed"], ...] = _axis("constructed")
    depth_counts: tuple[Literal["hidden", "linear"], ...] = _axis("hidden")

    @model_validator(mode="after")
    def _check_names(self) -> Space:
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


def _check_rule(rule: Rule) -> None:
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


class GradientSpace(Space):
    """Settings of one forward and one backward pass through networks that are not trained.

    Args:
        depths: Depths of the networks that are drawn, in their order; the others are drawn too.
        outer_loop: Whether all activations are drawn before the next ``depth``, or all depths
            before the next ``activation``.
        input: ``normal`` or ``uniform`` (on 0 to 1) from torch's stream, or ``evenly_spaced`` on
            [-pi, pi].
        points: How many inputs.
        drawn: When random inputs are drawn: ``before_model``, ``after_model``, or ``once`` at the
            start for all networks.
        loss: ``mean`` or ``sum`` of the outputs, or mean squared error against 0 (``mse_zeros``),
            against sin x (``mse_sine``) or against that with the study's noise
            (``mse_noisy_sine``).
        measure: Of a layer's weight gradient: ``mean_abs``, ``l2``, ``rms`` or ``max_abs``.
        layers: Which layer's measure is divided by which, such as ``output/first``.
    """

    depths: tuple[tuple[Depth, ...], ...] = _axis((10,))
    outer_loop: tuple[Literal["depth", "activation"], ...] = _axis("depth")
    input: tuple[Literal["normal", "uniform", "evenly_spaced"], ...] = _axis("normal")
    points: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = _axis(32)
    drawn: tuple[Literal["before_model", "after_model", "once"], ...] = _axis("after_model")
    loss: tuple[Literal["mean", "sum", "mse_zeros", "mse_sine", "mse_noisy_sine"], ...] = _axis(
        "mean"
    )
    measure: tuple[Literal["mean_abs", "l2", "rms", "max_abs"], ...] = _axis("mean_abs")
    layers: tuple[Annotated[str, Field(pattern=rf"^({_PLACES})/({_PLACES})$")], ...] = _axis(
        "output/first"
    )


class TrainingSpace(Space):
    """Settings of training on the study's 200 points.

    Args:
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        epochs: Full-batch updates.
        noise_seed: Seed of NumPy's legacy generator, which draws the noise of the targets.
        dtype: ``float32`` or ``float64``.
        read: The loss ``before_last_update``, ``after_last_update``, or the ``lowest`` before any.
    """

    learning_rate: tuple[Annotated[float, Field(gt=0, le=10)], ...] = _axis(1e-3)
    weight_decay: tuple[Annotated[float, Field(ge=0, le=10)], ...] = _axis(0.0)
    epochs: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = _axis(500)
    noise_seed: tuple[Seed, ...] = _axis(42)
    dtype: tuple[Literal["float32", "float64"], ...] = _axis("float32")
    read: tuple[Literal["before_last_update", "after_last_update", "lowest"], ...] = _axis(
        "after_last_update"
    )


class Number(_Listed):
    """One published number.

    Args:
        activation: Whose number it is.
        published: As printed, in quotes: its digits count.
        depth: Of the network, as the publication counts it.
        digits: How many digits must be given; all that are printed unless fewer can be expected.
    """

    activation: str
    published: str
    depth: Depth = 10
    digits: int | None = None

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
        return self

    @property
    def printed(self) -> Printed:
        """Its digits."""
        return Printed(self.published, self.digits)


class _Search(_Listed):
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
        if len(set(wanted)) < len(wanted):
            raise ActbenchError("two numbers have the same activation and depth; keep one")
        if self.misses >= len(self.number):
            raise ActbenchError(
                f"misses is {self.misses}, but there are {len(self.number)} numbers; fewer may "
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
    """A search for the protocol of gradient ratios.

    Args:
        schema_version: Of the file's shape.
        quantity: What the numbers are.
        title: What is searched, in a few words.
        source: Where the numbers are published.
        width: Units per hidden layer.
        misses: How many numbers a protocol may fail to give and still be reported.
        sample: Networks per setting that are evaluated for every number, to estimate chance.
        number: The numbers.
        space: The settings.
    """

    quantity: Literal["gradient_ratio"]
    space: GradientSpace


class TrainingSearch(_Search):
    """A search for the protocol of final losses.

    Args:
        schema_version: Of the file's shape.
        quantity: What the numbers are.
        title: What is searched, in a few words.
        source: Where the numbers are published.
        width: Units per hidden layer.
        misses: How many numbers a protocol may fail to give and still be reported.
        sample: Protocols that are evaluated for every number, to estimate chance.
        number: The numbers; all of one depth.
        space: The settings.
    """

    quantity: Literal["final_loss"]
    space: TrainingSpace

    @model_validator(mode="after")
    def _check_depths(self) -> TrainingSearch:
        if len({number.depth for number in self.number}) > 1:
            raise ActbenchError("final losses of several depths; search each depth by itself")
        return self


Search: TypeAlias = GradientSearch | TrainingSearch
_KINDS: dict[str, type[GradientSearch | TrainingSearch]] = {
    "gradient_ratio": GradientSearch,
    "final_loss": TrainingSearch,
}


def find(name: str) -> Path:
    """Return the path of a search file, which may be the name of a shipped one.

    Args:
        name: A path, or a name such as ``gradient_ratios``.

    Returns:
        The path as given where there is such a file, else that of the shipped file.
    """
    shipped = baselines_folder() / "recover" / f"{name}.toml"
    return shipped if not Path(name).exists() and shipped.is_file() else Path(name)


def load(path: Path) -> Search:
    """Read and validate a search file; nothing in it is executed.

    Args:
        path: A TOML file with ``quantity``, ``[space]`` and tables ``[[number]]``.

    Returns:
        Its content.

    Raises:
        ActbenchError: The file can't be read, or something in it is wrong; names file and field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ActbenchError(
            f"can't read the search in {path}: {error}. Shipped ones are named "
            f"{', '.join(shipped())}"
        ) from error
    quantity = content.get("quantity")
    if not isinstance(quantity, str) or quantity not in _KINDS:
        raise ActbenchError(f"{path}: {unknown_name('quantity', quantity, _KINDS)}")
    try:
        return TypeAdapter(_KINDS[quantity]).validate_python(content)
    except ValidationError as error:
        raise ActbenchError(f"{path}: {_first_problem(error, _KINDS[quantity])}") from error


def shipped() -> list[str]:
    """List the searches that come with the package.

    Returns:
        Names that ``find`` knows.
    """
    return sorted(path.stem for path in (baselines_folder() / "recover").glob("*.toml"))


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    first = error.errors()[0]
    loc = list(first["loc"])
    where = ""
    known: Iterable[str] = kind.model_fields
    if loc[:1] == ["number"] and len(loc) > 1 and isinstance(loc[1], int):
        where, loc, known = f"number {loc[1] + 1}, ", loc[2:], Number.model_fields
    elif loc[:1] == ["space"] and len(loc) > 1:
        spaces = GradientSpace if kind is GradientSearch else TrainingSpace
        where, loc, known = "space, ", loc[1:], spaces.model_fields
    # What an axis may hold is said of its first type; the others' complaints would be noise.
    field = str(loc[0]) if loc else ""
    if first["type"] == "extra_forbidden":
        return f"{where}{unknown_name('field', field, known)}"
    if first["type"] == "missing":
        return f"{where}field {field!r} is missing; add it"
    text = re.sub(r"^Value error, ", "", first["msg"])
    if first["type"] == "value_error":
        return f"{where}{text}"
    given = repr(first["input"])
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    listed = " (an axis is a list of choices)" if first["type"] == "tuple_type" else ""
    return f"{where}field {field!r} is {shown}: {text[:1].lower()}{text[1:]}{listed}"
