"""Activations, targets and initializers of one's own: loaded, checked, and registered.

Each is named as ``path/to/file.py:name``, ``module:name``, or as a package offers it; all of these
run the code that they name. Afterwards it is found by that name like a built-in one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.activations import Activation
from actbench.study.catalog.initializers import Initializer
from actbench.study.catalog.targets import TargetFunction
from actbench.study.nets.devices import pinned_state
from actbench.study.own.checks import CHECKS, Candidate
from actbench.study.own.loading import (
    RAISED,
    Loaded,
    blaming_own_code,
    in_one_line,
    listening,
    load,
    offered,
)
from actbench.study.theory import Formula, derivative_bounds


def formula(build: Callable[[], nn.Module]) -> Formula:
    """Return an activation as theory takes it, computed by torch in float64."""
    module = build().double()

    def value(z: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            found: NDArray[np.float64] = module(torch.tensor(z)).numpy()
        return np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    def derivative(z: NDArray[np.float64]) -> NDArray[np.float64]:
        leaf = torch.tensor(z, requires_grad=True)
        (slope,) = torch.autograd.grad(module(leaf.clone()).sum(), leaf)
        found: NDArray[np.float64] = slope.numpy()
        return np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    return Formula(value, derivative)


def _called(loaded: Loaded, *given: object, when: str = "") -> Any:
    """Call a function of the user's."""
    try:
        with listening() as printed:
            result = loaded.thing(*given)
    except RAISED as error:
        raise ActbenchError(f"{loaded.key} raises {in_one_line(error)}{when}; mend it") from error
    if printed.getvalue():
        raise ActbenchError(f"{loaded.key} prints{when or ' when it is called'}; remove the print")
    return result


__all__ = [
    "CHECKS",
    "Candidate",
    "activation",
    "candidate",
    "formula",
    "initializer",
    "offered",
    "target",
]

_BUILT_IN: Mapping[str, Activation] = {**activations.ACTIVATIONS, **activations.FURTHER}


class _Function(nn.Module):
    """A function of a tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


@pinned_state()
def activation(given: str, base: Path = Path()) -> Activation:
    """Return a built-in activation, or load, check and register one of the user's."""
    if given in _BUILT_IN:
        return activations.get(given)
    loaded = load("activation", given, _BUILT_IN, base)
    unchecked = _candidate(loaded)
    with blaming_own_code("when it is checked"):
        for check in CHECKS.values():
            check(unchecked)
        bounds = derivative_bounds(formula(unchecked.build))
    found = Activation(
        key=loaded.key,
        name=loaded.name,
        formula=loaded.summary or "(no docstring)",
        derivative_bounds=bounds,
        paper="none",
        module_name="",
        factory=unchecked.build,
        source=loaded.source,
    )
    activations.register(found)
    return found


def candidate(given: str) -> Candidate:
    """Load an activation of the user's without any of the checks."""
    if given in _BUILT_IN:
        return Candidate(given, activations.get(given).module)
    return _candidate(load("activation", given, _BUILT_IN))


def _candidate(loaded: Loaded) -> Candidate:
    thing = loaded.thing
    if isinstance(thing, nn.Module):
        return Candidate(loaded.key, partial(copy.deepcopy, thing))
    if not callable(thing):
        raise ActbenchError(
            f"{loaded.key} is {type(thing).__name__}, but must be a function of a tensor, or a "
            "class or function that makes an nn.Module"
        )
    required = _required(thing)
    makes_modules = isinstance(thing, type) and issubclass(thing, nn.Module)
    if required == 0:
        made = _called(loaded, when=" when its module is made")
        if isinstance(made, nn.Module):
            return Candidate(loaded.key, thing)
    if makes_modules or required > 1:
        raise ActbenchError(
            f"{loaded.key} needs {required} arguments; name a function of one tensor, or one "
            "without arguments that returns the finished nn.Module"
        )
    return Candidate(loaded.key, partial(_Function, thing))


def _required(thing: Callable[..., Any]) -> int:
    """Arguments without a default; 1 where Python can't tell, as of torch's own functions."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return 1
    places = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(p.default is p.empty and p.kind not in places for p in parameters)


def target(given: str) -> TargetFunction:
    """Return a built-in target, or load, check and register one of the user's."""
    if given in targets.TARGETS:
        return targets.get(given)
    loaded = load("target", given, targets.TARGETS)
    x = np.linspace(-np.pi, np.pi, 200)
    values = [_called(loaded, x.copy()) for _ in range(2)]
    if not all(isinstance(v, np.ndarray) and v.shape == x.shape for v in values):
        shown = getattr(values[0], "shape", type(values[0]).__name__)
        raise ActbenchError(
            f"{given} returns {shown} for an array of shape (200,); return a NumPy array with one "
            "number per input"
        )
    if not np.isfinite(values[0]).all():
        raise ActbenchError(f"{given} returns numbers that are not finite on [-pi, pi]; mend it")
    if not np.array_equal(*values):
        raise ActbenchError(f"{given} is not deterministic; leave the noise to actbench")
    if np.ptp(values[0]) == 0:
        raise ActbenchError(f"{given} is constant on [-pi, pi]; there is nothing to learn")

    def function(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(loaded.thing(at), dtype=np.float64)

    found = TargetFunction(
        given, loaded.name, loaded.summary or "(no docstring)", function, source=loaded.source
    )
    targets.register(found)
    return found


_LAYERS_DRAWN = 64


def initializer(given: str) -> Initializer:
    """Return a built-in initializer, or load, check and register one of the user's.

    Args:
        given: As of ``activation``, in the group ``actbench.initializers``. What is named is a
            function that draws the weights and biases of one ``nn.Linear`` in place, with torch's
            random numbers.

    Returns:
        The initializer, which ``initializers.get`` finds from now on; its variances are measured
        on 64 layers per shape.

    Raises:
        ActbenchError: It can't be loaded, or fails a check.
    """
    if ":" not in given and given not in offered("initializer"):
        return initializers.get(given)
    loaded = load("initializer", given, initializers.KEYS)
    _require_fit(loaded)

    @lru_cache
    def weight_variance(fan_in: int, fan_out: int) -> float:
        layers = _drawn(loaded, fan_in, fan_out, _LAYERS_DRAWN)
        return float(torch.cat([layer.weight.flatten() for layer in layers]).square().mean())

    @lru_cache
    def bias_variance(fan_in: int) -> float:
        layers = _drawn(loaded, fan_in, fan_in, _LAYERS_DRAWN)
        return float(torch.cat([layer.bias for layer in layers]).square().mean())

    def draw(layer: nn.Linear) -> None:
        with torch.no_grad():
            loaded.thing(layer)

    found = Initializer(given, weight_variance, bias_variance, draw, source=loaded.source)
    initializers.register(found)
    return found


def _require_fit(loaded: Loaded) -> None:
    first, again = (_drawn(loaded, 64, 64, 1)[0] for _ in range(2))
    if [tuple(p.shape) for p in first.parameters()] != [(64, 64), (64,)]:
        raise ActbenchError(
            f"{loaded.key} changes the shape of the layer; fill its weight and bias"
        )
    if not all(torch.isfinite(p).all() for p in first.parameters()):
        raise ActbenchError(f"{loaded.key} draws numbers that are not finite; mend it")
    if not all(map(torch.equal, first.parameters(), again.parameters())):
        raise ActbenchError(
            f"{loaded.key} draws other numbers from the same seed; use torch's random numbers only"
        )


def _drawn(loaded: Loaded, fan_in: int, fan_out: int, count: int) -> list[nn.Linear]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(fan_in, fan_out) for _ in range(count)]
        with torch.no_grad():
            for layer in layers:
                _called(loaded, layer)
    for layer in layers:
        layer.requires_grad_(False)
    return layers
