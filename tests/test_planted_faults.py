"""Faults that a bad release of torch might bring, planted one by one: all are seen, and named."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from faults import (
    FAULTS,
    HARMLESS,
    TABLE,
    Fault,
    Observation,
    Report,
    apart,
    observe,
    report,
    table,
)

from actbench.claims import measured
from actbench.claims.measured import Measured

_OPTIMIZERS = [fault for fault in FAULTS if "adam" in fault.name]
_ALWAYS = {
    "relu-derivative-1-percent",
    "sigmoid-offset",
    "gelu-derivative-by-tanh",
    "batched-product-scaled",
    "xavier-1-percent",
    "seed-shifted",
    "fused-adam-step-1-percent",
}
"""One of each kind is planted in every run, all of them by ``--actbench-slow``, as CI does."""


@pytest.fixture(scope="module")
def clean() -> Observation:
    """What the checks see of torch as it is."""
    return observe()


@pytest.fixture(scope="module")
def faulty(clean: Observation) -> Callable[[Fault], Observation]:  # noqa: ARG001 - goes first
    """Return a function that observes torch with a fault planted, once per fault."""

    @functools.cache
    def find(fault: Fault) -> Observation:
        with fault.plant():
            return observe()

    return find


@pytest.fixture(scope="module")
def reported(
    clean: Observation, faulty: Callable[[Fault], Observation]
) -> Callable[[Fault], Report]:
    """Return a function that reports on torch with a fault planted, against torch as it is."""
    return functools.cache(lambda fault: report(clean.stacks, faulty(fault)))


@pytest.fixture(scope="module")
def shipped(clean: Observation) -> dict[str, Measured]:
    """The stored baselines of the protocols that are observed, where there are any."""
    return {
        protocol: measured.load(protocol)
        for protocol in clean.stacks
        if measured.path_of(protocol).exists()
    }


def _named(found: Report) -> set[str]:
    return {str(difference.metric["activation"]) for difference in found.differences}


def _metrics(found: Report) -> set[str]:
    return {str(difference.metric["name"]) for difference in found.differences}


def test_torch_as_it_is_raises_no_alarm(clean: Observation, shipped: dict[str, Measured]) -> None:
    """Neither a claim nor a baseline, by stacks or by the plain loop, has anything to report."""
    assert not report(clean.stacks, clean), report(clean.stacks, clean)
    assert not report(shipped, clean), report(shipped, clean)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault.name in _ALWAYS else pytest.mark.slow)
        for fault in FAULTS
    ],
    ids=lambda fault: fault.name,
)
def test_a_planted_fault_is_caught_and_named(
    fault: Fault,
    reported: Callable[[Fault], Report],
    faulty: Callable[[Fault], Observation],
    shipped: dict[str, Measured],
) -> None:
    """Its report names the metric and the activation that moved, and no other activation."""
    found = reported(fault)
    assert fault.metric in _metrics(found), f"not in the report:\n{found}"
    assert _named(found) <= set(fault.moves), f"names what is sound:\n{found}"
    for name in (fault.metric, *_named(found), *(j.claim.id for j in found.claims)):
        assert name in str(found)
    if fault.name.endswith("-1-percent") and "derivative" in fault.name:
        assert _metrics(found) & {"derivative_at", "first_gradient"}, "no gradient was judged"
    stored = [entry.metric for baseline in shipped.values() for entry in baseline.entries]
    if any(dict(d.metric) in stored for d in found.differences if d.metric["name"] == fault.metric):
        assert fault.metric in _metrics(report(shipped, faulty(fault)))


@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.name)
def test_the_rounding_of_another_processor_raises_no_alarm(
    fault: Fault,
    clean: Observation,
    faulty: Callable[[Fault], Observation],
    shipped: dict[str, Measured],
) -> None:
    """It moves numbers, and neither a claim nor a baseline takes it for a fault."""
    seen = faulty(fault)
    assert apart(clean, seen) > 0, "nothing was planted"
    for stored in (clean.stacks, shipped):
        assert not report(stored, seen), report(stored, seen)


@pytest.mark.slow
@pytest.mark.parametrize("fault", _OPTIMIZERS, ids=lambda fault: fault.name)
def test_a_fault_of_the_optimizer_is_not_taken_for_one_of_gradients(
    fault: Fault, reported: Callable[[Fault], Report]
) -> None:
    """Only what comes after the first update moves, and no claim about gradients changes."""
    found = reported(fault)
    assert "early_loss" in _metrics(found) <= {"early_loss", "gradient_of_seed"}
    losses = [d.metric for d in found.differences if d.metric["name"] == "early_loss"]
    assert min(int(metric["epoch"]) for metric in losses) > 0
    assert not found.claims


@pytest.mark.slow
def test_a_fault_of_one_training_loop_is_seen_in_that_loop_alone(
    reported: Callable[[Fault], Report],
) -> None:
    """The fused Adam moves the stacks, the plain one and torch's loss the reference loop."""
    for fault in FAULTS:
        found = reported(fault)
        if fault.name.startswith("fused-adam"):
            assert found.stacks
            assert not found.reference, fault.name
        elif fault.name in ("plain-adam-step-1-percent", "loss-by-n-minus-1"):
            assert found.reference
            assert not found.stacks, fault.name


@pytest.mark.slow
def test_removing_a_fault_leaves_no_bit_of_it(
    clean: Observation, faulty: Callable[[Fault], Observation]
) -> None:
    """After every fault was planted and removed, torch computes the same bits as before."""
    for fault in FAULTS:
        faulty(fault)
    assert observe() == clean


@pytest.mark.slow
def test_the_table_of_faults_is_up_to_date(
    clean: Observation,
    faulty: Callable[[Fault], Observation],
    reported: Callable[[Fault], Report],
) -> None:
    """The committed table has these faults, caught by the same claims and kinds of baseline."""
    rounding = {fault.name: apart(clean, faulty(fault)) for fault in HARMLESS}
    fresh = table({fault.name: reported(fault) for fault in FAULTS}, rounding)
    stored = TABLE.read_text(encoding="utf-8")
    assert _rows(stored) == _rows(fresh), "write it anew: python tests/faults.py"


def _rows(text: str) -> list[tuple[object, ...]]:
    """Fault, claims, and whether baselines caught it: where rounding at a limit can't decide."""
    rows = []
    for line in text.splitlines():
        if line.startswith("| `"):
            *about, baselines, plain = line.strip("| ").split(" | ")
            rows.append((*about, baselines == "none", baselines == plain == "none"))
    return rows


def test_faults_are_at_least_twelve_and_of_every_kind() -> None:
    """Kernels, initializers, optimizers and the random stream are all among what is planted."""
    always = " ".join(fault.sits_in for fault in FAULTS if fault.name in _ALWAYS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 12
    for place in ("threshold_backward", "sigmoid", "bmm", "torch.nn.init", "adam", "manual_seed"):
        assert place in always
