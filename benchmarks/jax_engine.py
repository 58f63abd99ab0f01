"""JAX: value_and_grad, vmap over the members, scan over the epochs, jit around all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from actbench.store.studies import FIRST_SEED
from actbench.study.catalog import targets
from benchmarks.work import Run, Work, in_processes

_LEARNING_RATE, _BETA_1, _BETA_2, _EPSILON = 1e-3, 0.9, 0.999, 1e-8
_BATCHES = (1, 5, 20, 100)

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "gelu": partial(jax.nn.gelu, approximate=False),
}


def _adam(parameters: Any, first: Any, second: Any, gradient: Any, step: Any) -> Any:
    """Kingma and Ba 2015, algorithm 1; returns parameters and both moments."""
    tree = jax.tree_util.tree_map
    first = tree(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
    second = tree(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g * g, second, gradient)
    rate = _LEARNING_RATE / (1 - _BETA_1**step)
    root = jnp.sqrt(1 - _BETA_2**step)

    def move(p: Any, m: Any, v: Any) -> Any:
        return p - rate * m / (jnp.sqrt(v) / root + _EPSILON)

    return tree(move, parameters, first, second), first, second


@cache
def _compiled(activation: str, epochs: int) -> Callable[..., Any]:
    function, target = _ACTIVATIONS[activation], targets.noisy_sine()
    inputs, goals = (jnp.asarray(t, jnp.float32)[:, None] for t in (target.x, target.noisy))

    def loss(parameters: Any) -> Any:
        a = inputs
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            a = function(a @ weight.T + bias)
        return jnp.mean((a @ parameters[-2].T + parameters[-1] - goals) ** 2)

    def update(state: Any, step: Any) -> Any:
        parameters, first, second = state
        value, gradient = jax.value_and_grad(loss)(parameters)
        return _adam(parameters, first, second, gradient, step), value

    def whole(parameters: Any) -> Any:
        zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)
        steps = jnp.arange(1, epochs + 1, dtype=jnp.float32)
        return jax.lax.scan(update, (parameters, zeros, zeros), steps)[1][-1]

    return jax.jit(jax.vmap(whole))  # type: ignore[no-any-return,unused-ignore]


def _initial_weights(work: Work) -> list[Any]:
    if work.weights is not None:
        with np.load(work.weights, allow_pickle=False) as file:
            start = work.first_seed - FIRST_SEED
            return [file[name][start : start + work.members] for name in file.files]
    from benchmarks.torch_engines import initial_weights

    return [tensor.numpy() for tensor in initial_weights(work)]


def _run(batch: int, work: Work) -> list[float]:
    weights, train = _initial_weights(work), _compiled(work.activation, work.epochs)
    losses: list[float] = []
    for start in range(0, work.members, batch):
        losses += train([jnp.asarray(w[start : start + batch]) for w in weights]).tolist()
    return losses


def scan(work: Work, threads: int) -> Mapping[str, Run]:
    """Offer JAX with all members at once, and in batches that may fit a cache better."""
    sizes = [size for size in _BATCHES if size < work.members]
    found: dict[str, Run] = {f"batches of {size}": partial(_run, size) for size in sizes}
    found["all at once"] = partial(_run, work.members)
    if threads > 1:
        several = {
            f"{name}, {threads} processes": partial(in_processes, "jax", name, threads)
            for name in ("batches of 1", "batches of 5", "all at once")
            if name in found
        }
        found |= several
    return found


def product(size: int) -> Callable[[], object]:
    """Return XLA's own product of two square float32 matrices."""
    a = jnp.linspace(-1, 1, size**2, dtype=jnp.float32).reshape(size, size)
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(a, a).block_until_ready()
