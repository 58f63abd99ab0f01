"""Parameters of an activation's own: one set per member and layer, as in a plain loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actbench.study.catalog.activations import Activation
from actbench.study.catalog.initializers import get as initializer
from actbench.study.catalog.targets import noisy_sine
from actbench.study.experiments.gradient_flow import _passes
from actbench.study.nets.devices import using_threads
from actbench.study.nets.networks import Architecture, activation_modules, seeded_network
from actbench.study.nets.stacks import Stack
from actbench.study.nets.training import Member, Schedule, train_reference, train_stack

CREW = [Member(42 + n, initializer(key)) for n, key in enumerate(("torch_default", "he_normal"))]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run each test on one thread."""
    with using_threads(1):
        yield


class Slope(nn.Module):
    """max(0, x) + a min(0, x) with a learned."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Shape as ``x``."""
        return torch.where(x > 0, x, self.a * x)


class Spare(Slope):
    """The same with a parameter that nothing depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.tensor(1.0))


class _Half(torch.autograd.Function):
    """Half of a product, in a form that torch can't batch over members by itself."""

    @staticmethod
    def forward(context: Any, x: Tensor, a: Tensor) -> Tensor:
        context.save_for_backward(x, a)
        return 0.5 * a * x

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, a = context.saved_tensors
        return 0.5 * a * gradients[0], (0.5 * x * gradients[0]).sum()


class Unbatched(nn.Module):
    """sin(x) + a x / 2 with a and a shift learned, not made for ``torch.vmap``."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Shape as ``x``."""
        product: Tensor = _Half.apply(x, self.a)  # type: ignore[no-untyped-call]
        return torch.sin(x + self.shift) + product


def learnable(made: type[nn.Module], *, skip: bool = False) -> Architecture:
    """A small network with such an activation."""
    return Architecture(Activation("own", "Own", "", (0, 1), "", "", factory=made), 3, 12, skip)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("made", [Slope, Unbatched, nn.PReLU])
def test_members_follow_the_plain_loop(
    made: type[nn.Module], weight_decay: float, skip: bool
) -> None:
    """Loss for loss and member for member, in float64, through 15 updates of nn.Sequential."""
    target, architecture = noisy_sine(30), learnable(made, skip=skip)
    schedule = Schedule(15, 3e-3, weight_decay, recorded_epochs=(0, 14), dtype="float64")
    stacked = train_stack(architecture, CREW, schedule, target.x, target.noisy)
    for place, member in enumerate(CREW):
        alone = train_reference(architecture, member, schedule, target.x, target.noisy)
        np.testing.assert_allclose(stacked.loss[place], alone.loss[0], rtol=1e-11)
        np.testing.assert_allclose(
            stacked.recorded["gradient_magnitude"][place],
            alone.recorded["gradient_magnitude"][0],
            rtol=1e-9,
        )


@pytest.mark.parametrize("made", [Slope, Spare, Unbatched])
def test_every_parameter_gets_its_own_gradient(made: type[nn.Module]) -> None:
    """By layer and member, the gradients are those of autograd through the plain networks."""
    architecture, x = learnable(made), torch.linspace(-2, 3, 9, dtype=torch.float64)[:, None]
    networks = [seeded_network(architecture, m.initializer, m.seed).double() for m in CREW]
    # Members differ in their parameters too, or one set for all would do.
    for shift, network in enumerate(networks):
        for layer, module in enumerate(activation_modules(network)):
            for parameter in module.parameters():
                parameter.data += 0.1 * shift + 0.01 * layer
    stack = Stack(architecture, networks, 2, 9, x.device, x.dtype)
    output = stack.forward(x).clone()
    assert not any(kernel.in_place for kernel in stack._kernels)  # autograd asks for the input
    for _ in range(2):  # as a recorder may ask again
        stack.backward(x, torch.ones_like(output))
    assert stack.parameters.grad is not None
    found = stack.parameters.grad[len(stack.linear_parameters) :]
    expected = []
    for network, mine in zip(networks, output, strict=True):
        theirs = network(x)
        np.testing.assert_allclose(mine, theirs.detach(), rtol=1e-12)
        theirs.sum().backward()
        theirs_own = [p for m in activation_modules(network) for p in m.parameters()]
        expected += [p.grad.item() for p in theirs_own if p.grad is not None]
    nonzero = found[found != 0].tolist()
    np.testing.assert_allclose(sorted(nonzero), sorted(expected), rtol=1e-10)
    names = [name for name, _ in made().named_parameters()]
    for layer, own in enumerate(stack.learnable):
        assert list(own) == names
        for name in names:
            values = [activation_modules(n)[layer].get_parameter(name) for n in networks]
            np.testing.assert_allclose(own[name], [v.item() for v in values])


def test_passes_start_every_activation_from_the_same_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside one without parameters, in either order, weights are shared and slopes its own."""
    from actbench.study.catalog import activations

    monkeypatch.setattr(activations, "OWN", {"own": learnable(Slope).activation})
    x = _passes.inputs(4)
    for keys in (("own", "relu"), ("relu", "own")):
        seen: list[Stack] = []

        def keep(stack: Stack, x: Tensor, seen: list[Stack] = seen) -> _passes.Array:
            seen.append(stack)
            return _passes.flow(stack, x)

        networks = [(3, 8, (42, 43))]
        (job,), _ = _passes.looked_at(keys, ("he_normal",), networks, x, keep, layers=4)
        job(lambda done: None)
        stacks = dict(zip(keys, seen, strict=True))
        own, relu = stacks["own"], stacks["relu"]
        assert torch.equal(own.linear_parameters, relu.linear_parameters)
        assert own.linear_parameters.any()
        assert all((layer["a"] == 0.25).all() for layer in own.learnable)
        assert relu.learnable == [{}, {}, {}]
