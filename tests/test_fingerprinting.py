"""Fingerprints of own models: they name the first layer that parts, and leave all as it was."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import actbench
from actbench.store.errors import ActbenchError
from actbench.study import fingerprints
from actbench.tracking.fingerprinting import Fingerprint, fingerprint


class Block(nn.Module):
    """Adds to its input, which is no submodule's output, and calls one submodule twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(6, 6), nn.GELU()

    def forward(self, x: Tensor) -> Any:
        """Return a tensor of the shape of the input."""
        return x + self.act(self.linear(self.act(x)))


@pytest.fixture
def model() -> nn.Sequential:
    """A network with a block, a buffer that training moves, and a random part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(3, 6), Block(), nn.BatchNorm1d(6))
        return nn.Sequential(body, nn.Dropout(0.2), nn.Linear(6, 2))


X = torch.linspace(-1, 1, 15).view(5, 3)


def legacy_state() -> str:
    """Return all of the state of NumPy's one stream."""
    kind = np.random.get_state(legacy=False)  # noqa: NPY002
    return f"{kind['state']['key'].tolist()} {kind['state']['pos']}"


def difference(one: Fingerprint, other: Fingerprint) -> str:
    """Return the first difference in words."""
    return str(one.first_difference(other))


def test_every_part_has_a_step_in_the_order_of_the_pass(model: nn.Sequential) -> None:
    """Each submodule but plain containers, then the output, then gradients from the end."""
    names = [step.name for step in actbench.fingerprint(model, X).steps]
    assert names[:9] == [
        *("0.0", "0.1.act", "0.1.linear", "0.1.act (call 2)", "0.1", "0.2", "1", "2", "output"),
    ]
    assert names[9:] == [f"{name} gradient" for name, _ in reversed([*model.named_parameters()])]


@pytest.mark.parametrize(
    ("parameter", "first"),
    [("0.0.bias", "0.0"), ("0.1.linear.weight", "0.1.linear"), ("2.weight", "2")],
)
def test_the_first_layer_that_parts_is_named(
    model: nn.Sequential, parameter: str, first: str
) -> None:
    """One number in one layer: that layer, and how far."""
    before = fingerprint(model, X)
    weights = model.get_parameter(parameter)
    with torch.no_grad():
        weights.view(-1)[0] *= 1 + 2**-10
    found = before.first_difference(fingerprint(model, X))
    assert found is not None
    assert found.name == first
    assert found.units > 0
    assert str(found).startswith(f"{first}, up to {found.units:.3g} unit")


def test_a_wrong_derivative_is_seen_where_the_outputs_agree() -> None:
    """A part whose values are right and whose gradient is not parts at the gradient before it."""

    def part(factor: float) -> nn.Module:
        class Faulty(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.detach() + factor * (x - x.detach())

        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 2), Faulty(), nn.Linear(2, 1))

    with torch.random.fork_rng(devices=[]):
        one, other = (fingerprint(part(factor), X) for factor in (1.0, 1.001))
    assert difference(one, other).startswith("0.bias gradient, up to ")


def test_gradients_are_of_the_documented_sum(model: nn.Sequential) -> None:
    """By central differences in float64 of the sum of output i times sqrt(i + 2) % 1 - 0.5."""
    model.double().eval()
    steps = {s.name: s for s in fingerprint(model, X.double()).steps}
    weights = [math.sqrt(i + 2) % 1 - 0.5 for i in range(10)]

    def total() -> float:
        with torch.no_grad():
            return float(np.dot(weights, model(X.double()).ravel().numpy()))

    for name, parameter in model.named_parameters():
        first, values = parameter.detach().view(-1), steps[f"{name} gradient"].values
        ends = []
        for sign in (1, -1):
            first[0] += sign * 1e-6
            ends.append(total())
            first[0] -= sign * 1e-6
        assert values[0] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8), name


@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_caller_s_changes(model: nn.Sequential, training: bool) -> None:
    """Mode, weights, buffers, gradients, hooks, inputs, streams, threads and grad mode."""
    model.train(training)
    model(X).sum().backward()
    x, threads = X.clone(), torch.get_num_threads()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [(p.grad, p.grad.clone()) for p in model.parameters() if p.grad is not None]
    drawn = [torch.rand(1).item(), np.random.rand(), random.random()]  # noqa: NPY002, S311
    streams = [torch.get_rng_state().tolist(), str(random.getstate()), legacy_state()]
    with torch.no_grad():
        one = fingerprint(model, x)
        assert not torch.is_grad_enabled()
    assert difference(one, fingerprint(model, x)) == "None"
    assert model.training is training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(now, before) for now, before in gradients)
    assert [p.grad for p in model.parameters()] == [g for g, _ in gradients]
    assert not any(part._forward_hooks for part in model.modules())
    assert torch.equal(x, X)
    assert [torch.get_rng_state().tolist(), str(random.getstate()), legacy_state()] == streams
    assert [torch.rand(1).item(), np.random.rand(), random.random()] != drawn  # noqa: NPY002, S311
    assert torch.get_num_threads() == threads


def test_a_model_that_fails_is_left_as_it_was(model: nn.Sequential) -> None:
    """Its own exception comes out, and no hook stays behind."""
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fingerprint(model, X[:, :2])
    assert not any(part._forward_hooks for part in model.modules())


def test_arrays_are_handed_to_a_module_in_its_dtype(model: nn.Sequential) -> None:
    """As anyone has them: float64 for a float32 model, which may overwrite them."""
    array = X.numpy().astype(np.float64)
    one = fingerprint(model, array)
    assert difference(one, fingerprint(model, (X,))) == "None"
    assert one.chain.name == "own/model/float32"
    overwriting = nn.Sequential(nn.ReLU(inplace=True))
    assert fingerprint(overwriting, array, "mine").chain.name == "own/mine/float64"
    assert array.min() == -1


def test_streams_are_drawn_from_one_seed() -> None:
    """Whatever was drawn before, of torch, NumPy and Python."""

    def drawn() -> list[float]:
        return [torch.rand(1).item(), np.random.rand(), random.random()]  # noqa: NPY002, S311

    first = fingerprint(drawn, ())
    drawn()
    assert difference(first, fingerprint(drawn, ())) == "None"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (1.5, ["output"]),
        (np.float32(1), ["output"]),
        ([1, 2.5], ["output"]),
        ((np.ones(2), torch.ones(2)), ["output[0]", "output[1]"]),
        ({"a": {"b": 1}, "c": (None, np.ones(2))}, ["output.a.b", "output.c[1]"]),
        (torch.ones(2, dtype=torch.bfloat16), ["output"]),
        (torch.ones(2).to_sparse(), ["output"]),
        (np.array([1 + 2j]), ["output"]),
        (np.ones(3, dtype=np.longdouble), ["output"]),
        ({"name": "ours", "empty": np.ones(0), "n": 3}, ["output.n"]),
    ],
)
def test_a_function_may_return_what_holds_numbers(value: Any, names: list[str]) -> None:
    """Arrays, tensors, numbers, and any nest of them; texts and what is empty are left out."""
    assert [step.name for step in fingerprint(lambda: value, ()).steps] == names


def test_inputs_by_place_and_by_name() -> None:
    """A tuple is several, a mapping has names, anything else is one; none is overwritten."""
    given = np.zeros(2)

    def function(a: Any, b: Any = 1) -> Any:
        a += 1
        return a + b

    for inputs in (given, (given, 1), {"a": given, "b": 1}):
        assert fingerprint(function, inputs).steps[0].values == [2, 2]
    assert given.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: fingerprint("train.py", X),
            "a torch.nn.Module or a function, but something of ty",
        ),
        (lambda: fingerprint(lambda x: "done", X), "model gave something of type str, which holds"),
        (lambda: fingerprint(lambda x: None, X, "ours"), "ours gave None, which holds no numbers"),
    ],
)
def test_what_has_no_fingerprint_is_told(make: Callable[[], Fingerprint], text: str) -> None:
    """In one line."""
    with pytest.raises(ActbenchError, match=text):
        make()


def test_two_models_are_not_compared() -> None:
    """A step of another name is no difference in bits, and told as what it is."""
    one = fingerprint(nn.Sequential(nn.Identity(), nn.Identity()), X)
    other = fingerprint(nn.Sequential(nn.Identity()), X)
    with pytest.raises(ActbenchError, match=r"step 2 is '1' in one and 'output' in the other"):
        one.first_difference(other)
    changed = fingerprint(nn.Sequential(nn.Identity()), X + 1)
    assert difference(one, changed).startswith("0, up to ")


def test_it_is_read_as_it_was_written(tmp_path: Path, model: nn.Sequential) -> None:
    """All of it, and nothing but it."""
    path = tmp_path / "ours.json"
    one = fingerprint(model, X, "ours")
    one.save(path)
    assert Fingerprint.load(path) == one
    assert one.environment["torch"]
    assert str(one) == "own/ours/float32: 17 steps, 0.0 to 0.0.weight gradient"
    path.write_text(path.read_text().replace("actbench fingerprint", "else"))
    with pytest.raises(ActbenchError, match="is no fingerprint of actbench"):
        Fingerprint.load(path)
    path.write_text('{"kind": "actbench fingerprint", "schema_version": 1}')
    with pytest.raises(ActbenchError, match=r"can't read the fingerprint in .*'environment'"):
        Fingerprint.load(path)


def test_streams_of_an_accelerator_go_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream of that kind is seeded, and put back."""
    seen: list[tuple[str, Any]] = []

    class Streams:
        @staticmethod
        def get_rng_state_all() -> str:
            return "state"

        @staticmethod
        def set_rng_state_all(state: str) -> None:
            seen.append(("set", state))

        @staticmethod
        def manual_seed_all(seed: int) -> None:
            seen.append(("seed", seed))

    monkeypatch.setattr(torch, "get_device_module", lambda device: Streams)
    with fingerprints.seeded(torch.empty(1, device="meta")):
        assert seen == [("seed", 42)]
    assert seen == [("seed", 42), ("set", "state")]


@pytest.fixture(autouse=True)
def quiet_streams() -> Iterator[None]:
    """Leave torch's stream to the other tests as it was."""
    with torch.random.fork_rng(devices=[]):
        yield
