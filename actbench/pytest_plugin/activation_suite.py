"""What an activation should do beyond what it must: tests of ``pytest --actbench-activation``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actbench import initializers, targets
from actbench.activations import Activation
from actbench.card import facts
from actbench.errors import ActbenchError
from actbench.experiments import activation_derivatives
from actbench.networks import Architecture
from actbench.own import formula
from actbench.training import Member, Schedule, Training, train_reference, train_stack

_FOLLOWED_EPOCHS = 10
_TOLERANCE = 1e-4
_LEARNED = 0.95  # of the variance; a network below it has learned something


def derivative_agrees_with_finite_differences(activation: Activation) -> None:
    """Autograd's derivative is that of the function, kinks aside."""
    config = activation_derivatives.Config(activations=(activation.key,))
    fact = facts.of_function(formula(activation.module), activation_derivatives.run(config))[0]
    if not fact.good:
        raise ActbenchError(f"{activation.key}: its derivative {fact.text} ({fact.evidence})")


def error_signal_reaches_the_first_layer(activation: Activation) -> None:
    """In ten layers, from torch's default, gradients neither die nor overflow before training."""
    schedule = Schedule(1, recorded_epochs=(0,))
    magnitude = _stack(activation, 10, schedule).recorded["gradient_magnitude"][:, 0]
    if not (np.isfinite(magnitude).all() and (magnitude > 0).all()):
        raise ActbenchError(
            f"{activation.key}: gradients of layers 1 to 11 are "
            f"{', '.join(f'{m:.2g}' for m in magnitude[0])}; scale the function so that its slope "
            "is nearer to 1"
        )


def stack_follows_the_plain_loop(activation: Activation) -> None:
    """Many networks trained as one do what a plain loop does, learned parameters included."""
    schedule = Schedule(_FOLLOWED_EPOCHS)
    together = _stack(activation, 3, schedule)
    for place, member in enumerate(_members()):
        data = targets.noisy_sine(64)
        alone = train_reference(_shape(activation, 3), member, schedule, data.x, data.noisy)
        if not np.allclose(together.loss[place], alone.loss[0], rtol=_TOLERANCE, equal_nan=True):
            raise ActbenchError(
                f"{activation.key}: a stack of networks and a plain loop part within "
                f"{_FOLLOWED_EPOCHS} epochs; does the module keep state between calls?"
            )


def network_learns(activation: Activation) -> None:
    """Three hidden layers get below the error of a constant on the study's sine in 200 epochs."""
    loss = _stack(activation, 3, Schedule(200)).loss[:, -1]
    variance = float(np.var(targets.noisy_sine(64).noisy))
    if not (loss < _LEARNED * variance).all():
        raise ActbenchError(
            f"{activation.key}: losses {loss} are not below {_LEARNED:g} of the variance "
            f"{variance:.3g}; see its card: actbench try {activation.key}"
        )


def _members() -> list[Member]:
    return [Member(seed, initializers.get("torch_default")) for seed in (42, 43)]


def _shape(activation: Activation, depth: int) -> Architecture:
    return Architecture(activation, depth)


def _stack(activation: Activation, depth: int, schedule: Schedule) -> Training:
    data = targets.noisy_sine(64)
    return train_stack(_shape(activation, depth), _members(), schedule, data.x, data.noisy)


PROPERTIES: tuple[Callable[[Activation], None], ...] = (
    derivative_agrees_with_finite_differences,
    error_signal_reaches_the_first_layer,
    stack_follows_the_plain_loop,
    network_learns,
)
"""In the order in which to test them; each raises ``ActbenchError``."""
