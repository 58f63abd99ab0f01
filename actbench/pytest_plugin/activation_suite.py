"""The tests that ``pytest --activation`` runs: what an activation must do, and what it should."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from actbench import initializers, targets
from actbench.activations import Activation
from actbench.card import facts
from actbench.devices import using_threads
from actbench.errors import ActbenchError
from actbench.experiments import activation_derivatives
from actbench.networks import Architecture
from actbench.own import CHECKS, Candidate, formula
from actbench.training import Member, Schedule, Training, train_reference, train_stack

_FOLLOWED_EPOCHS = 10
_TOLERANCE = 1e-4
_LEARNED = 0.95  # of the variance; a network below it has learned something


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks here are too small to be split between threads."""
    with using_threads(1):
        yield


def test_requirement(own_candidate: Candidate, own_check: str) -> None:
    """It does what every activation must; a failure says in one line what to change."""
    try:
        CHECKS[own_check](own_candidate)
        return
    except ActbenchError as error:
        mistake = str(error)
    pytest.fail(mistake, pytrace=False)  # outside, so that the line stands alone


def test_derivative_agrees_with_finite_differences(own_activation: Activation) -> None:
    """Autograd's derivative is that of the function, kinks aside."""
    config = activation_derivatives.Config(activations=(own_activation.key,))
    fact = facts.of_function(formula(own_activation.module), activation_derivatives.run(config))[0]
    if not fact.good:
        pytest.fail(f"{own_activation.key}: its derivative {fact.text} ({fact.evidence})", False)


def test_error_signal_reaches_the_first_layer(own_activation: Activation) -> None:
    """In ten layers, from torch's default, gradients neither die nor overflow before training."""
    schedule = Schedule(1, recorded_epochs=(0,))
    magnitude = _stack(own_activation, 10, schedule).recorded["gradient_magnitude"][:, 0]
    if not (np.isfinite(magnitude).all() and (magnitude > 0).all()):
        pytest.fail(
            f"{own_activation.key}: gradients of layers 1 to 11 are "
            f"{', '.join(f'{m:.2g}' for m in magnitude[0])}; scale the function so that its slope "
            "is nearer to 1",
            pytrace=False,
        )


def test_stack_follows_the_plain_loop(own_activation: Activation) -> None:
    """Many networks trained as one do what a plain loop does, learned parameters included."""
    schedule = Schedule(_FOLLOWED_EPOCHS)
    together = _stack(own_activation, 3, schedule)
    for place, member in enumerate(_members()):
        data = targets.noisy_sine(64)
        alone = train_reference(_shape(own_activation, 3), member, schedule, data.x, data.noisy)
        if not np.allclose(together.loss[place], alone.loss[0], rtol=_TOLERANCE, equal_nan=True):
            pytest.fail(
                f"{own_activation.key}: a stack of networks and a plain loop part within "
                f"{_FOLLOWED_EPOCHS} epochs; does the module keep state between calls?",
                pytrace=False,
            )


def test_network_learns(own_activation: Activation) -> None:
    """Three hidden layers get below the error of a constant on the study's sine in 200 epochs."""
    loss = _stack(own_activation, 3, Schedule(200)).loss[:, -1]
    variance = float(np.var(targets.noisy_sine(64).noisy))
    if not (loss < _LEARNED * variance).all():
        pytest.fail(
            f"{own_activation.key}: losses {loss} are not below {_LEARNED:g} of the variance "
            f"{variance:.3g}; see its card: actbench try {own_activation.key}",
            pytrace=False,
        )


def _members() -> list[Member]:
    return [Member(seed, initializers.get("torch_default")) for seed in (42, 43)]


def _shape(activation: Activation, depth: int) -> Architecture:
    return Architecture(activation, depth)


def _stack(activation: Activation, depth: int, schedule: Schedule) -> Training:
    data = targets.noisy_sine(64)
    return train_stack(_shape(activation, depth), _members(), schedule, data.x, data.noisy)
