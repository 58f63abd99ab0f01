"""What the members of a grid may differ in, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name
from actbench.store.studies import FIRST_SEED, LARGEST_SEED
from actbench.study.catalog import initializers
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER, OWN
from actbench.study.catalog.targets import TARGETS
from actbench.study.experiments import settings

Value: TypeAlias = str | int | float | bool

_LARGEST_SHAPE = 10_000
_FEWEST_POINTS = 2
_DTYPES = ("float32", "float64")
_RECORDED_EPOCHS = (0, 1, 10, 100, 499)  # the study's


@dataclass(frozen=True)
class Axis:
    """Something in which members may differ.

    Args:
        default: Its value where a grid does not mention it: that of the study's main run.
        check: Returns a value as it is stored, or raises ``ActbenchError``.
        definition: What it is.
        unit: Its unit.
    """

    default: Value
    check: Callable[[Any], Value]
    definition: str
    unit: str = "1"


def _activation(given: Any) -> Value:
    if str(given) in OWN:
        return str(given)
    if ":" in str(given):
        raise ActbenchError(
            f"activation {given!r} is code. If you trust it, give 'actbench sweep' --allow-code"
        )
    return _registered("activation", {**ACTIVATIONS, **FURTHER})(given)


def _registered(kind: str, known: Mapping[str, object]) -> Callable[[Any], Value]:
    # The registry and nothing else: a name in a grid never leads to code being imported.
    def check(given: Any) -> Value:
        if str(given) not in known:
            if ":" in str(given):
                raise ActbenchError(
                    f"{kind} {given!r} is code of one's own, which a sweep does not take, as its "
                    f"workers would have to have it; name one of {', '.join(known)}"
                )
            raise unknown_name(kind, given, known)
        return str(given)

    return check


def _initializer(given: Any) -> Value:
    if str(given) in initializers.OWN:  # which a worker does not have
        raise unknown_name("initializer", given, initializers.KEYS)
    return initializers.get(str(given)).key


def _number(setting: str, check: Callable[[str, float], float]) -> Callable[[Any], Value]:
    def checked(given: Any) -> Value:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise ActbenchError(f"{setting} is {given!r}, but must be a number")
        return check(setting, float(given))

    return checked


def _whole(setting: str) -> Callable[[Any], Value]:
    def check(given: Any) -> Value:
        if require_positive_int(setting, given) > _LARGEST_SHAPE:
            raise ActbenchError(f"{setting} is {given}, but at most {_LARGEST_SHAPE} is sensible")
        return int(given)

    return check


def _seed(setting: str) -> Callable[[Any], Value]:
    def check(given: Any) -> Value:
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST_SEED:
            raise ActbenchError(
                f"{setting} is {given!r}, but must be a whole number from 0 to {LARGEST_SEED}"
            )
        return given

    return check


def _flag(given: Any) -> Value:
    if not isinstance(given, bool):
        raise ActbenchError(f"skip is {given!r}, but must be true or false")
    return given


AXES: Mapping[str, Axis] = {
    "activation": Axis("relu", _activation, "key of the activation"),
    "target": Axis("sine", _registered("target", TARGETS), "key of the function to be learned"),
    "noise_std": Axis(
        0.1,
        _number("noise_std", settings.at_least_zero),
        "standard deviation of the noise on the targets",
    ),
    "noise_seed": Axis(42, _seed("noise_seed"), "seed of the noise on the targets"),
    "skip": Axis(False, _flag, "whether hidden layers but the first add their input"),
    "depth": Axis(10, _whole("depth"), "hidden layers"),
    "width": Axis(64, _whole("width"), "units per hidden layer"),
    "learning_rate": Axis(
        1e-3, _number("learning_rate", settings.positive), "step size of the optimizer"
    ),
    "weight_decay": Axis(
        0.0, _number("weight_decay", settings.at_least_zero), "L2 penalty of the optimizer"
    ),
    "initializer": Axis("torch_default", _initializer, "key of the initializer"),
    "seed": Axis(FIRST_SEED, _seed("seed"), "seed of the initial weights"),
}
"""By name, in the order in which points are counted: the last varies fastest, so that members
which can share a stack lie side by side."""

INSIDE_A_STACK = ("initializer", "seed")
"""The axes in which members of one stack may differ."""


def axis(name: str) -> Axis:
    """Look up an axis by its name."""
    if name not in AXES:
        raise unknown_name("axis", name, AXES)
    return AXES[name]


@dataclass(frozen=True)
class Common:
    """What all members of a grid have in common beside the axes that it leaves alone.

    Args:
        epochs: Full-batch updates, at least 1.
        points: Inputs, evenly spaced on [-pi, pi], at least 2.
        dtype: ``"float32"`` or ``"float64"``.
        recorded_epochs: Epochs whose loss is kept, increasing, below ``epochs``; ``None`` takes
            those of 0, 1, 10, 100 and 499 that there are.

    Raises:
        ActbenchError: A setting is out of range.
    """

    epochs: int = 500
    points: int = 200
    dtype: str = "float32"
    recorded_epochs: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        require_positive_int("epochs", self.epochs)
        if require_positive_int("points", self.points) < _FEWEST_POINTS:
            raise ActbenchError(f"points is {self.points}, but must be at least {_FEWEST_POINTS}")
        if self.dtype not in _DTYPES:
            raise unknown_name("dtype", self.dtype, _DTYPES)
        if self.recorded_epochs is None:
            kept = tuple(epoch for epoch in _RECORDED_EPOCHS if epoch < self.epochs)
            object.__setattr__(self, "recorded_epochs", kept)
        recorded = self.recorded_epochs or ()
        in_range = all(_is_epoch(epoch, self.epochs) for epoch in recorded)
        if not in_range or sorted(set(recorded)) != list(recorded):
            raise ActbenchError(
                f"recorded_epochs are {list(recorded)!r}, but must be increasing whole numbers "
                f"from 0 to {self.epochs - 1}, the last epoch"
            )


def _is_epoch(given: Any, epochs: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given < epochs
