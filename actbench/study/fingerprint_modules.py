"""A module of torch, looked at layer by layer on its way forward and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actbench.store.studies import FIRST_SEED
from actbench.study.fingerprints import fixed
from actbench.study.nets import devices

Note = Callable[[str, Any], None]
"""Called with what something is and what it gave."""


def look(
    module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], note: Note
) -> None:
    """Run a module forward and back, and tell what every part of it gives.

    Each submodule's output, in the order in which they end, but for plain ``nn.Sequential``, which
    hands on its last part's; then the output; then for each parameter, the last first, the gradient
    of the sum of all outputs, each times a fixed number.
    """
    like = next(module.parameters(), None)
    with _as_it_was(module, like), ExitStack() as hooks:
        calls: Counter[str] = Counter()
        for name, part in module.named_modules():
            if part is not module and type(part).forward is not nn.Sequential.forward:
                handle = part.register_forward_hook(_telling(name, calls, note))
                hooks.callback(handle.remove)
        given = [_prepared(value, like) for value in arguments]
        output = module(*given, **{key: _prepared(value, like) for key, value in named.items()})
        note("output", output)
        parameters = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        _tell_gradients(list(_differentiable(output)), list(reversed(parameters)), note)


def _telling(name: str, calls: Counter[str], note: Note) -> Callable[..., None]:
    def told(module: nn.Module, arguments: object, output: object) -> None:  # noqa: ARG001 - torch's
        calls[name] += 1
        note(name if calls[name] == 1 else f"{name} (call {calls[name]})", output)

    return told


def _tell_gradients(
    outputs: list[Tensor], parameters: list[tuple[str, nn.Parameter]], note: Note
) -> None:
    if not outputs or not parameters:
        return
    weights = [fixed(o.dtype, *o.shape).to(o.device) for o in outputs]
    gradients = torch.autograd.grad(outputs, [p for _, p in parameters], weights, allow_unused=True)
    for (name, _), gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            note(f"{name} gradient", gradient)


def _differentiable(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.requires_grad and output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _differentiable(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _differentiable(value)


def _prepared(value: Any, like: Tensor | None) -> Any:
    """Hand over a copy, which the module may overwrite."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, np.ndarray):
        tensor = torch.tensor(value, device=None if like is None else like.device)
        floating = like is not None and tensor.is_floating_point() and like.is_floating_point()
        return tensor.to(like.dtype) if floating and like is not None else tensor
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_prepared(item, like) for item in value)
    if isinstance(value, dict):
        return {key: _prepared(item, like) for key, item in value.items()}
    return value


@contextmanager
def _as_it_was(module: nn.Module, like: Tensor | None) -> Iterator[None]:
    """Compute gradients whatever the caller has set, and put buffers back."""
    kept = [
        (part, name, buffer, buffer.detach().clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    with ExitStack() as stack:
        stack.enter_context(seeded(like))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        try:
            yield
        finally:
            with torch.no_grad():
                for part, name, buffer, content in kept:
                    part._buffers[name] = buffer
                    buffer.copy_(content)


@contextmanager
def seeded(like: Tensor | None = None) -> Iterator[None]:
    """Draw from the first seed, on one thread; the caller's streams go on where they were."""
    with devices.using_threads(1), ExitStack() as stack:
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        torch.default_generator.manual_seed(FIRST_SEED)  # torch.manual_seed seeds every device
        if like is not None and like.device.type != "cpu":
            streams = torch.get_device_module(like.device)
            every = "_all" if hasattr(streams, "get_rng_state_all") else ""
            state = getattr(streams, f"get_rng_state{every}")()
            stack.callback(getattr(streams, f"set_rng_state{every}"), state)
            getattr(streams, f"manual_seed{every}")(FIRST_SEED)
        yield
