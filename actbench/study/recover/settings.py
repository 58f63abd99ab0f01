"""The settings among which a search looks: axes, each a tuple of choices."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers

_PLACES = "output|last_hidden|first|second"
_TWO_LAYERS = rf"^({_PLACES})/({_PLACES})$"

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
Depth: TypeAlias = Annotated[int, Field(ge=2, le=200)]
Rule: TypeAlias = str | dict[str, str]
"""An initializer for all networks, or one per activation with an ``else``."""


def _axis(*choices: Any) -> Any:
    return Field(default=choices, min_length=1)


class Frozen(BaseModel):
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


class Space(Frozen):
    """What decides how the random stream is spent; every field is an axis, a tuple of choices."""

    seed: tuple[Seed, ...] = _axis(42)  # to which torch's stream is set
    # `once` before all networks, or before each (`per_model`)
    reset: tuple[Literal["once", "per_model"], ...] = _axis("once")
    # activations in the order in which their networks are drawn
    order: tuple[tuple[str, ...], ...] = _axis(tuple(activations.ACTIVATIONS))
    # all layers before the first is initialized (`all_first`), or each layer constructed and
    # initialized before the next (`layer_by_layer`)
    construction: tuple[Literal["all_first", "layer_by_layer"], ...] = _axis("all_first")
    # key of an initializer, or a table of activation to key with an `else`
    initializer: tuple[Rule, ...] = _axis("torch_default")
    # `zero`, or as torch's constructor drew it (`constructed`)
    bias: tuple[Literal["zero", "constructed"], ...] = _axis("constructed")
    # whether a depth of n is n `hidden` layers, n `linear` layers, which is one hidden layer less,
    # or n `square` ones of weights from hidden to hidden layer, which is one more
    depth_counts: tuple[Literal["hidden", "linear", "square"], ...] = _axis("hidden")

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
    """Settings of one forward and one backward pass through networks that are not trained."""

    # depths of the networks that are drawn, in their order; the others are drawn too
    depths: tuple[tuple[Depth, ...], ...] = _axis((10,))
    # whether all activations are drawn before the next `depth`, or all depths before the next
    # `activation`
    outer_loop: tuple[Literal["depth", "activation"], ...] = _axis("depth")
    # `normal` or `uniform` (on 0 to 1) from torch's stream, or `evenly_spaced` on [-pi, pi]
    input: tuple[Literal["normal", "uniform", "evenly_spaced"], ...] = _axis("normal")
    points: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = _axis(32)  # how many inputs
    # when random inputs are drawn: `before_model`, `after_model`, or `once` at the start for all
    # networks
    drawn: tuple[Literal["before_model", "after_model", "once"], ...] = _axis("after_model")
    # `mean` or `sum` of the outputs, or mean squared error against 0 (`mse_zeros`), against sin x
    # (`mse_sine`) or against that with the study's noise (`mse_noisy_sine`)
    loss: tuple[Literal["mean", "sum", "mse_zeros", "mse_sine", "mse_noisy_sine"], ...] = _axis(
        "mean"
    )
    # of a layer's weight gradient: `mean_abs`, `l2`, `rms` or `max_abs`
    measure: tuple[Literal["mean_abs", "l2", "rms", "max_abs"], ...] = _axis("mean_abs")
    # which layer's measure is divided by which, such as `output/first`
    layers: tuple[Annotated[str, Field(pattern=_TWO_LAYERS)], ...] = _axis("output/first")

    @model_validator(mode="after")
    def _check_layers(self) -> GradientSpace:
        for pair in self.layers:
            over, under = pair.split("/")
            if over == under:
                raise ActbenchError(f"layers name {pair!r}, which is always 1; name two layers")
        return self


class TrainingSpace(Space):
    """Settings of training on the study's 200 points."""

    # Adam's step size
    learning_rate: tuple[Annotated[float, Field(gt=0, le=10)], ...] = _axis(1e-3)
    weight_decay: tuple[Annotated[float, Field(ge=0, le=10)], ...] = _axis(0.0)  # Adam's L2 penalty
    epochs: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = _axis(500)  # full-batch updates
    # seed of NumPy's legacy generator, which draws the noise of the targets
    noise_seed: tuple[Seed, ...] = _axis(42)
    dtype: tuple[Literal["float32", "float64"], ...] = _axis("float32")  # `float32` or `float64`
    # the loss `before_last_update`, `after_last_update`, or the `lowest` before any
    read: tuple[Literal["before_last_update", "after_last_update", "lowest"], ...] = _axis(
        "after_last_update"
    )
