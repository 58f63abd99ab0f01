"""Numeric fingerprints, step by step: of all that a training rests on, and of any module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actbench.store.parallel import side_by_side
from actbench.store.studies import FIRST_SEED
from actbench.study.catalog import activations, initializers, targets
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.networks import Architecture, linear_layers, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import DTYPES, Member, Schedule, train_stack
from actbench.tracking.fingerprinting import Numbers, step
from actbench.tracking.records import Chain, Dtype, Step

_POINTS = 200
_WIDTH = 64
_LEARNING_RATE = 1e-3

_INITIALIZERS = ("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal")


def streams() -> Chain:
    """Draw from every random stream that a protocol uses, each from seed 42."""
    draws: Mapping[str, Callable[[], Tensor | Numbers]] = {
        "rand": lambda: torch.rand(1000),
        # Up to 15 numbers and from 16 on are drawn by different algorithms.
        "randn 8": lambda: torch.randn(8),
        "randn 64": lambda: torch.randn(64),
        "randperm": lambda: torch.randperm(1000),
        "NumPy legacy normal": lambda: np.random.RandomState(FIRST_SEED).normal(0, 0.1, 200),
        "NumPy default_rng": lambda: np.random.default_rng(FIRST_SEED).standard_normal(200),
        "noisy sine": lambda: targets.noisy_sine(_POINTS).noisy,
    }
    steps = []
    with torch.random.fork_rng(devices=[]):
        for name, draw in draws.items():
            torch.manual_seed(FIRST_SEED)
            steps.append(step(name, draw()))
    return Chain(engine="streams", activation=None, dtype="float32", steps=steps)


def initial_weights() -> Chain:
    """Draw the study's network by each initializer from seed 42."""
    architecture = Architecture(activations.get("relu"))
    steps = []
    for key in _INITIALIZERS:
        network = seeded_network(architecture, initializers.get(key), FIRST_SEED)
        steps.append(step(key, nn.utils.parameters_to_vector(network.parameters())))
    return Chain(engine="initial weights", activation=None, dtype="float32", steps=steps)


# Of one operation, enough to show how far apart two releases are.
_KEPT_OF_OPERATION = 32


def fixed(dtype: torch.dtype, *shape: int) -> Tensor:
    """Numbers that no release changes: square roots are rounded correctly everywhere."""
    count = int(np.prod(shape))
    return torch.from_numpy(np.sqrt(np.arange(2.0, count + 2)) % 1 - 0.5).to(dtype).view(shape)


def activation_operations(key: str, dtype: Dtype) -> Chain:
    """Apply an activation and its derivative to fixed inputs from -8 to 8."""
    z = (16 * fixed(DTYPES[dtype], 4096)).requires_grad_()
    a = activations.get(key).module()(z)
    (derivative,) = torch.autograd.grad(a.sum(), z)
    return Chain(
        engine="operations",
        activation=key,
        dtype=dtype,
        steps=[
            step("forward", a, keep=_KEPT_OF_OPERATION),
            step("derivative", derivative, keep=_KEPT_OF_OPERATION),
        ],
    )


def linear_operations(dtype: Dtype) -> Chain:
    """Do everything else that a training consists of, each on fixed inputs."""
    a, weight = fixed(DTYPES[dtype], 3, _POINTS, _WIDTH), fixed(DTYPES[dtype], 3, _WIDTH, _WIDTH)
    bias, column = fixed(DTYPES[dtype], 3, 1, _WIDTH), fixed(DTYPES[dtype], _POINTS, 1)
    output = (2 * column).requires_grad_()
    loss = nn.functional.mse_loss(output, column)
    (derivative,) = torch.autograd.grad(loss, output)
    results = {
        "linear": nn.functional.linear(a[0], weight[0], bias[0, 0]),
        "bmm": torch.bmm(a, weight.mT),
        "baddbmm": torch.baddbmm(bias, a, weight.mT),
        "weight gradient": torch.bmm(a.mT, a),
        "sum": a.sum(1),
        "mse_loss": loss,
        "mse_loss derivative": derivative,
        "Adam": _after_adam(weight, fused=False),
        "fused Adam": _after_adam(weight, fused=True),
    }
    steps = [step(n, result, keep=_KEPT_OF_OPERATION) for n, result in results.items()]
    return Chain(engine="operations", activation=None, dtype=dtype, steps=steps)


def _after_adam(start: Tensor, fused: bool) -> Tensor:
    parameter = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([parameter], lr=_LEARNING_RATE, fused=fused)
    for sign in (1, -1, 1):
        parameter.grad = sign * start.flip(0)
        optimizer.step()
    return parameter


_REFERENCE_EPOCHS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 70, 99)
"""Epochs of the reference training whose losses are kept; the last is its end."""

_STACK_EPOCHS = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 300, 400, 499)
"""As ``_REFERENCE_EPOCHS``, of the stack's training: the study's 500 updates."""


def reference_training(
    key: str, dtype: Dtype, recorded: Sequence[int] = _REFERENCE_EPOCHS
) -> Chain:
    """Train the study's network of seed 42 as anyone would write it, and look at every step."""
    network = seeded_network(
        Architecture(activations.get(key)), initializers.get("torch_default"), FIRST_SEED
    ).to(DTYPES[dtype])
    target = targets.noisy_sine(_POINTS)
    x, y = (torch.tensor(v, dtype=DTYPES[dtype])[:, None] for v in (target.x, target.noisy))
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    steps = list(_forward_steps(network, x))
    for epoch in range(recorded[-1] + 1):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        if epoch in recorded:
            steps.append(step("loss", loss, epoch))
        if epoch == 0:
            steps += _gradient_steps(network)
        optimizer.step()
        if epoch == 0:
            updated = nn.utils.parameters_to_vector(network.parameters())
            steps.append(step("parameters after Adam", updated, 0))
    return Chain(engine="reference", activation=key, dtype=dtype, steps=steps)


@torch.no_grad()
def _forward_steps(network: nn.Sequential, x: Tensor) -> Iterator[Step]:
    layer, a = 0, x
    for module in network:
        a = module(a)
        linear = isinstance(module, nn.Linear)
        layer += linear
        yield step(f"layer {layer} {'linear' if linear else 'activation'}", a, 0)


def _gradient_steps(network: nn.Sequential) -> list[Step]:
    layers = linear_layers(network)
    return [
        step(f"layer {number} gradient", torch.cat([_grad(p).ravel() for p in pair]), 0)
        for number, pair in reversed(
            [(n, (layer.weight, layer.bias)) for n, layer in enumerate(layers, start=1)]
        )
    ]


def _grad(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def stack_training(key: str, dtype: Dtype, recorded: Sequence[int] = _STACK_EPOCHS) -> Chain:
    """Train one member of seed 42 by the engine that measures the claims."""
    target = targets.noisy_sine(_POINTS)
    training = train_stack(
        Architecture(activations.get(key)),
        [Member(FIRST_SEED, initializers.get("torch_default"))],
        Schedule(epochs=recorded[-1] + 1, recorded_epochs=(0,), dtype=dtype),
        target.x,
        target.noisy,
        recorder=_all_gradients,
    )
    gradients = [step(n, values, 0) for n, values in training.recorded.items()]
    losses = [step("loss", training.loss[:, epoch], epoch) for epoch in recorded]
    return Chain(
        engine="stack",
        activation=key,
        dtype=dtype,
        steps=[losses[0], *gradients, *losses[1:]],
    )


def _all_gradients(
    stack: Stack,
    x: Tensor,  # noqa: ARG001 - the signature of every recorder
    output_gradient: Tensor,  # noqa: ARG001 - the signature of every recorder
) -> dict[str, Tensor]:
    pairs = zip(stack.weight_gradients, stack.bias_gradients, strict=True)
    by_layer = {
        f"layer {number} gradient": torch.cat([w.flatten(1), b.flatten(1)], 1)
        for number, (w, b) in enumerate(pairs, start=1)
    }
    return dict(reversed(by_layer.items()))


def jobs(keys: Sequence[str] = tuple(ACTIVATIONS)) -> list[Callable[[], Chain]]:
    """List what makes each chain but the streams, those that others rest on first."""
    dtypes: tuple[Dtype, ...] = ("float32", "float64")
    cases = [(key, dtype) for dtype in dtypes for key in keys]
    return [
        initial_weights,
        *(partial(linear_operations, dtype) for dtype in dtypes),
        *(partial(activation_operations, *case) for case in cases),
        *(partial(reference_training, *case) for case in cases),
        *(partial(stack_training, *case) for case in cases),
    ]


@pinned_state()
def take(
    keys: Sequence[str] = tuple(ACTIVATIONS),
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Chain]:
    """Take every fingerprint, each on one thread."""

    def job(make: Callable[[], Chain], report: Callable[[int], None]) -> Chain:
        chain = make()
        report(1)
        return chain

    # Whoever sets torch's one stream must be alone.
    first = streams()
    return [first, *side_by_side([partial(job, make) for make in jobs(keys)], progress, threads)]


# A module of torch, looked at layer by layer on its way forward and back.

_Note = Callable[[str, Any], None]
"""Called with what something is and what it gave."""


def look(
    module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], note: _Note
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


def _telling(name: str, calls: Counter[str], note: _Note) -> Callable[..., None]:
    def told(module: nn.Module, arguments: object, output: object) -> None:  # noqa: ARG001 - torch's
        calls[name] += 1
        note(name if calls[name] == 1 else f"{name} (call {calls[name]})", output)

    return told


def _tell_gradients(
    outputs: list[Tensor], parameters: list[tuple[str, nn.Parameter]], note: _Note
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
