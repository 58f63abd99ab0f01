"""The reference network and the stack: construction, and gradients against two oracles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import oracle
import plain_networks
import pytest
import torch
from plain_networks import arrays
from torch import Tensor, nn

from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.catalog.initializers import Initializer
from actbench.study.catalog.initializers import get as initializer
from actbench.study.nets.networks import (
    Architecture,
    linear_layers,
    reference_network,
    seeded_network,
)
from actbench.study.nets.stacks import Stack, bytes_per_member

CPU = torch.device("cpu")
SMALL = {"depth": 3, "width": 6}


def architecture(key: str, depth: int = 10, width: int = 64) -> Architecture:
    """Build an architecture from an activation's key."""
    return Architecture(ACTIVATIONS[key], depth, width)


def biased() -> Initializer:
    """Return an initializer whose biases differ from zero and whose units differ in sign."""

    def draw(layer: nn.Linear) -> None:
        with torch.no_grad():
            layer.weight.mul_(2)
            layer.bias.mul_(2)

    default = initializer("torch_default")
    return Initializer("doubled", default.weight_variance, default.bias_variance, draw)


def data(points: int) -> tuple[oracle.Array, oracle.Array]:
    """Make inputs and targets that no network fits."""
    x = np.linspace(-2.0, 3.0, points)
    return x, np.sin(x) + 0.3 * np.cos(5 * x)


def column(values: oracle.Array) -> Tensor:
    """Turn numbers into a column tensor."""
    return torch.from_numpy(values)[:, None]


def gradients_of_stack(stack: Stack, x: oracle.Array, y: oracle.Array) -> Tensor:
    """Run a stack forward and backward."""
    residual = stack.forward(column(x)) - column(y)
    loss = residual.square().mean((1, 2))
    stack.backward(column(x), residual * (2 / len(x)))
    return loss


def stack_of(shape: Architecture, seeds: list[int], points: int) -> Stack:
    """Build a float64 stack of seeded networks."""
    networks = (seeded_network(shape, biased(), seed) for seed in seeds)
    return Stack(shape, networks, len(seeds), points, CPU, torch.float64)


@pytest.mark.parametrize(
    ("depth", "width", "expected"), [(10, 64, 37_633), (1, 1, 4), (1, 5, 16), (3, 6, 103)]
)
def test_networks_have_as_many_parameters_as_stated(depth: int, width: int, expected: int) -> None:
    """The study's ten hidden layers of 64 units too, on one input; every unit has a bias."""
    shape = architecture("relu", depth, width)
    network = reference_network(shape, initializer("torch_default"))
    assert shape.parameter_count == sum(p.numel() for p in network.parameters()) == expected
    assert shape.layer_shapes == ((width, 1), *((width, width),) * (depth - 1), (1, width))
    found = [tuple(layer.weight.shape) for layer in linear_layers(network)]
    assert found == list(shape.layer_shapes)


def test_modules_alternate_and_the_output_is_linear() -> None:
    """Each hidden layer is followed by its activation, the output layer by nothing."""
    network = reference_network(architecture("swish", 2, 4), initializer("torch_default"))
    kinds = [type(module) for module in network]
    assert kinds == [nn.Linear, nn.SiLU, nn.Linear, nn.SiLU, nn.Linear]


@pytest.mark.parametrize(("key", "seed"), [("torch_default", 42), ("xavier_uniform", 7)])
def test_all_layers_are_constructed_before_any_is_drawn(key: str, seed: int) -> None:
    """From the input to the output, and then drawn in that order, as in a plain construction."""
    ours = seeded_network(architecture("gelu", 3, 5), initializer(key), seed)
    plain = plain_networks.linear_layers(3, 5, seed, key, torch.float32)
    for one, other in zip(linear_layers(ours), plain, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)


def test_the_study_s_gradient_ratios_return() -> None:
    """The published ratios of output layer to layer 1 come from this very construction.

    One stream from seed 42: for depth 5 then 10, eight activations each, Xavier-uniform, 32
    normal inputs, the mean of the output as loss. Measured on three torch releases alike.
    """
    measured = {
        "linear": 0.84419,
        "sigmoid": 2.6024e7,
        "tanh": 1.18930,
        "relu": 1.92834,
        "leaky_relu": 0.72418,
        "elu": 1.28616,
        "gelu": 0.82784,
        "swish": 1.28655,
    }
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        for depth in (5, 10):
            for key in measured:
                network = reference_network(architecture(key, depth), initializer("xavier_uniform"))
                network(torch.randn(32, 1)).mean().backward()
                sizes = [layer.weight.grad for layer in linear_layers(network)]
                first, *_, last = [float(g.abs().mean()) for g in sizes if g is not None]
                found[key] = last / first
    assert found == pytest.approx(measured, rel=2e-5)


def test_a_seeded_network_leaves_the_stream_alone() -> None:
    """Building one neither moves torch's global stream nor depends on where that stands."""
    shape = architecture("tanh", 2, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        one = seeded_network(shape, initializer("he_normal"), 5)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        two = seeded_network(shape, initializer("he_normal"), 5)
        other = seeded_network(shape, initializer("he_normal"), 6)
        torch.manual_seed(5)
        three = reference_network(shape, initializer("he_normal"))
    same, again, from_stream, different = (
        torch.cat([p.flatten() for p in network.parameters()])
        for network in (one, two, three, other)
    )
    assert torch.equal(same, again)
    assert torch.equal(same, from_stream)
    assert not torch.equal(same, different)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_reference_gradients_match_the_oracle(key: str) -> None:
    """Autograd's loss and gradients are those of back-propagation by hand, in float64."""
    network = seeded_network(architecture(key, **SMALL), biased(), 1).double()
    x, y = data(9)
    loss = nn.functional.mse_loss(network(column(x)), column(y))
    loss.backward()  # type: ignore[no-untyped-call]
    truth = oracle.back_propagate(key, *arrays(linear_layers(network)), x, y)
    assert loss.item() == pytest.approx(truth.loss, rel=1e-13)
    for layer, weight, bias in zip(
        linear_layers(network), truth.weight_gradients, truth.bias_gradients, strict=True
    ):
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        np.testing.assert_allclose(layer.weight.grad, weight, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(layer.bias.grad, bias, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(
    ("depth", "width", "points"), [(3, 6, 9), (1, 5, 7), (1, 1, 2), (4, 33, 50)]
)
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_stack_gradients_match_the_oracle(key: str, depth: int, width: int, points: int) -> None:
    """Every member's loss and gradients are those of back-propagation by hand, twice over."""
    shape, seeds = architecture(key, depth, width), [1, 8, 3]
    stack = stack_of(shape, seeds, points)
    x, y = data(points)
    for _ in range(2):  # buffers are used again: nothing of the first pass may remain
        losses = gradients_of_stack(stack, x, y)
    for member, seed in enumerate(seeds):
        layers = linear_layers(seeded_network(shape, biased(), seed))
        truth = oracle.back_propagate(key, *arrays(layers), x, y)
        assert losses[member].item() == pytest.approx(truth.loss, rel=1e-12)
        np.testing.assert_allclose(
            stack.forward(column(x))[member, :, 0], truth.output, rtol=1e-11, atol=1e-15
        )
        for number in range(depth + 1):
            np.testing.assert_allclose(
                stack.weight_gradients[number][member],
                truth.weight_gradients[number],
                rtol=1e-10,
                atol=1e-14,
            )
            np.testing.assert_allclose(
                stack.bias_gradients[number][member, 0],
                truth.bias_gradients[number],
                rtol=1e-10,
                atol=1e-14,
            )
        for number in range(depth):
            np.testing.assert_allclose(
                stack.activations[number][member], truth.hidden[number], rtol=1e-11, atol=1e-15
            )


def _directions(parameters: Sequence[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_reference_gradients_match_finite_differences(key: str) -> None:
    """Along a random direction in each weight and bias, the loss changes as autograd says."""
    network = seeded_network(architecture(key, **SMALL), biased(), 1).double()
    x, y = data(9)

    def loss() -> Tensor:
        return nn.functional.mse_loss(network(column(x)), column(y))

    loss().backward()  # type: ignore[no-untyped-call]
    parameters = list(network.parameters())
    step = 1e-6
    with torch.no_grad():
        for parameter, direction in zip(parameters, _directions(parameters), strict=True):
            kept = parameter.clone()
            losses = []
            for signed in (step, -step):
                parameter.copy_(kept + signed * direction)
                losses.append(loss().item())
            parameter.copy_(kept)
            assert parameter.grad is not None
            expected = float((parameter.grad * direction).sum())
            assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(
                expected, rel=1e-6, abs=1e-9
            )


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_stack_gradients_match_finite_differences(key: str) -> None:
    """Changing one member's layer changes its own loss as its gradient says, and no other's."""
    stack = stack_of(architecture(key, **SMALL), [1, 8, 3], 9)
    x, y = data(9)
    at_rest = gradients_of_stack(stack, x, y)
    values = [view[1] for view in (*stack.weights, *stack.biases)]
    slopes = [view[1].clone() for view in (*stack.weight_gradients, *stack.bias_gradients)]
    step = 1e-6
    for value, slope, direction in zip(values, slopes, _directions(values), strict=True):
        losses = []
        for signed in (step, -step):
            with torch.no_grad():
                kept = value.clone()
                value.copy_(kept + signed * direction)
                losses.append(gradients_of_stack(stack, x, y))
                value.copy_(kept)
        change = (losses[0] - losses[1]) / (2 * step)
        expected = float((slope * direction).sum())
        assert change[1].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert torch.equal(losses[0][[0, 2]], at_rest[[0, 2]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_members_start_as_their_references(dtype: torch.dtype) -> None:
    """Every weight and bias of a stack is that of the network it was given, bit for bit."""
    shape = architecture("elu", 2, 5)
    networks = [seeded_network(shape, initializer("torch_default"), seed) for seed in (4, 9)]
    stack = Stack(shape, networks, 2, 7, CPU, dtype)
    for member, network in enumerate(networks):
        for number, layer in enumerate(linear_layers(network)):
            assert torch.equal(stack.weights[number][member], layer.weight.to(dtype))
            assert torch.equal(stack.biases[number][member, 0], layer.bias.to(dtype))


def test_parameters_and_gradients_are_views_of_one_buffer() -> None:
    """What the optimizer changes is what the layers use, and each number has its own place."""
    stack = stack_of(architecture("relu", 2, 5), [1, 2], 7)
    assert stack.parameters.grad is not None
    for flat, views in (
        (stack.parameters, (*stack.weights, *stack.biases)),
        (stack.parameters.grad, (*stack.weight_gradients, *stack.bias_gradients)),
    ):
        with torch.no_grad():
            flat.zero_()
            for view in views:
                view.add_(1)
        assert int(flat.sum()) == 2 * stack.architecture.parameter_count
        assert flat.max() == 1  # no two views share a place


def test_a_stack_leaves_the_networks_alone() -> None:
    """Training a stack never reaches back into the networks that it was copied from."""
    shape = architecture("relu", 2, 5)
    network = seeded_network(shape, initializer("torch_default"), 4)
    stack = Stack(shape, [network], 1, 7, CPU, torch.float32)
    layer = linear_layers(network)[0]
    kept = layer.weight.clone()
    with torch.no_grad():
        stack.parameters.zero_()
    assert torch.equal(layer.weight, kept)


def _tensor_bytes(stack: Stack) -> int:
    storages = {}

    def visit(value: object) -> None:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)

    for value in [*vars(stack).values(), stack.parameters.grad]:
        visit(value)
    return sum(storages.values())


@pytest.mark.parametrize(("key", "slack"), [("gelu", 1.03), ("relu", 2.0)])
@pytest.mark.parametrize(("depth", "width", "points"), [(10, 64, 200), (1, 64, 500), (6, 96, 50)])
def test_the_memory_estimate_is_what_a_stack_takes(
    key: str, slack: float, depth: int, width: int, points: int
) -> None:
    """The estimate covers all tensors of a stack and of Adam, and is not far above them."""
    shape, count = architecture(key, depth, width), 4
    networks = (seeded_network(shape, biased(), seed) for seed in range(count))
    stack = Stack(shape, networks, count, points, CPU, torch.float64)
    moments = 2 * count * shape.parameter_count * 8
    taken = _tensor_bytes(stack) + moments
    estimate = count * bytes_per_member(shape, points, 8)
    assert taken / 1.03 < estimate < slack * taken
    assert bytes_per_member(shape, points, 4) * 2 == bytes_per_member(shape, points, 8)
