"""Activations of one's own: functions, modules, or what makes modules."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from actbench import activations
from actbench.activations import Activation
from actbench.errors import ActbenchError
from actbench.own.calling import called
from actbench.own.checks import CHECKS, Candidate
from actbench.own.formulas import formula
from actbench.own.loading import Loaded, blaming_own_code, load
from actbench.theory import derivative_bounds
from actbench.torch_state import pinned_state

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
    if required == 0 and _made(loaded) is not None:
        return Candidate(loaded.key, partial(_built, loaded))
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


def _made(loaded: Loaded) -> nn.Module | None:
    module = called(loaded, when=" when its module is made")
    return module if isinstance(module, nn.Module) else None


def _built(loaded: Loaded) -> nn.Module:
    module: nn.Module = loaded.thing()
    return module
