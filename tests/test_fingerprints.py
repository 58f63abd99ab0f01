"""Fingerprints: they see one bit, name the operation, and hold against an independent oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import erf

from actbench.study import fingerprints
from actbench.tracking.fingerprinting import step
from actbench.tracking.records import Dtype


def test_one_bit_changes_the_digest() -> None:
    """The last bit of the last number is seen, though it is not among the few that are kept."""
    numbers = torch.linspace(0, 1, 101, dtype=torch.float64)
    other = numbers.clone()
    other[99] = math.nextafter(other[99].item(), 2)
    one, two = step("x", numbers), step("x", other)
    assert one.digest != two.digest
    assert one.values == two.values
    assert one.values[0] == 0.0
    assert one.count == 101
    assert len(one.values) == 4


def test_layout_does_not_change_the_digest() -> None:
    """The same numbers give the same digest however they lie in memory; another order does not."""
    matrix = torch.arange(12.0).view(3, 4)
    assert step("x", matrix.T.contiguous().T).digest == step("x", matrix).digest
    assert step("x", matrix.T).digest != step("x", matrix).digest
    big_endian = matrix.numpy().astype(">f4")
    assert step("x", big_endian).digest == step("x", matrix).digest


def test_what_is_not_finite_is_kept_as_nothing() -> None:
    """NaN has a place in a digest, and none in JSON."""
    assert step("x", np.array([1.0, math.nan])).values == [1.0, None]


def test_streams_are_those_that_torch_and_numpy_document() -> None:
    """The first number of seed 42 is the one in everybody's notebooks, and nothing is disturbed."""
    before = torch.get_rng_state()
    chain = fingerprints.streams()
    values = {s.name: s.values[0] for s in chain.steps}
    assert values["rand"] == pytest.approx(0.8823, abs=5e-5)
    assert values["NumPy legacy normal"] == pytest.approx(0.0496714, abs=5e-8)
    assert torch.equal(torch.get_rng_state(), before)
    assert chain == fingerprints.streams()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operations_have_their_closed_forms(dtype: Dtype) -> None:
    """GELU and its derivative at the kept inputs, by scipy's error function."""
    forward, derivative = fingerprints.activation_operations("gelu", dtype).steps
    z = 16 * (np.sqrt(np.arange(2.0, 4098)) % 1 - 0.5)[::128]
    cdf, pdf = (1 + erf(z / math.sqrt(2))) / 2, np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    close = 1e-5 if dtype == "float32" else 1e-12
    assert forward.values == pytest.approx(z * cdf, rel=close, abs=close)
    assert derivative.values == pytest.approx(cdf + z * pdf, rel=close, abs=close)


def test_products_round_so_that_another_order_of_summation_shows() -> None:
    """Sums of the fixed inputs are not exact in float32: the digest sees how they were added."""
    numbers = fingerprints.fixed(torch.float32, 4096).numpy()
    forward, backward = np.add.accumulate(numbers), np.add.accumulate(numbers[::-1])
    assert step("x", forward[-1:]).digest != step("x", backward[-1:]).digest


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_trainings_agree_with_one_another(dtype: Dtype) -> None:
    """Autograd and the stack start from the same gradients and losses, up to rounding."""
    reference = fingerprints.reference_training("tanh", dtype, (0, 1, 3))
    stack = fingerprints.stack_training("tanh", dtype, (0, 1, 3))
    names = [(s.name, s.epoch) for s in stack.steps]
    gradients = [(f"layer {number} gradient", 0) for number in range(11, 0, -1)]
    assert names == [("loss", 0), *gradients, ("loss", 1), ("loss", 3)]
    known = {(s.name, s.epoch): s for s in reference.steps}
    close = 1e-4 if dtype == "float32" else 1e-10
    for one in stack.steps:
        other = known[one.name, one.epoch]
        assert one.count == other.count
        assert one.values == pytest.approx(other.values, rel=close, abs=close * 1e-3)


def test_the_reference_is_looked_at_operation_by_operation() -> None:
    """The order is the order of computation, so that the first difference names its cause."""
    chain = fingerprints.reference_training("linear", "float32", (0, 1))
    names = [s.name for s in chain.steps]
    assert names[:4] == ["layer 1 linear", "layer 1 activation", "layer 2 linear", names[3]]
    assert names[20:24] == ["layer 11 linear", "loss", "layer 11 gradient", "layer 10 gradient"]
    assert names[-3:] == ["layer 1 gradient", "parameters after Adam", "loss"]
    assert [s.count for s in chain.steps if s.name == "parameters after Adam"] == [37_633]


def test_every_chain_has_a_name_of_its_own() -> None:
    """Eight activations in two types by three engines, the linear operations, and weights."""
    jobs = fingerprints.jobs()
    assert len(jobs) == 1 + 2 + 3 * 8 * 2
    assert fingerprints.initial_weights().steps[0].count == 37_633


def test_threads_change_no_bit() -> None:
    """Chains computed side by side are those computed one after another."""
    few = fingerprints.jobs(("relu",))[:4]
    one = [job() for job in few]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "jobs", lambda keys: few)
        done: list[int] = []
        taken = fingerprints.take(("relu",), threads=2, progress=done.append)
    assert taken[1:] == one
    assert taken[0].engine == "streams"
    assert sum(done) == 4
