"""``pytest --actbench-activation``: a test per property of an activation of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actbench.pytest_plugin.claim_tests import OwnTest
from actbench.store.errors import ActbenchError
from actbench.study.card import facts
from actbench.study.catalog import initializers, targets
from actbench.study.catalog.activations import Activation
from actbench.study.experiments import activation_derivatives
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, Training, train_reference, train_stack
from actbench.study.own import formula


class ActivationNode(pytest.File):
    """What an activation must do, and what it should; each a test."""

    @classmethod
    def address(cls, config: pytest.Config, given: str) -> Path:
        """Return where an activation stands among the tests; a module's, in the root folder."""
        place = given.rpartition(":")[0]
        folder = config.invocation_params.dir if place.endswith(".py") else config.rootpath
        address = (folder / given).resolve()
        config.stash.setdefault(_GIVEN, {}).setdefault(address, given)
        return address

    def collect(self) -> Iterator[pytest.Item]:
        """Make a test for each property."""
        from actbench.study import own

        given = _from_here(self.config, self.config.stash[_GIVEN][self.path])
        candidate = cache(lambda: own.candidate(given))
        activation = cache(lambda: own.activation(given))
        properties = {holds.__name__: holds for holds in _PROPERTIES}
        for subject, all_ in ((candidate, own.CHECKS), (activation, properties)):
            for name, holds in all_.items():
                yield _PropertyTest.from_parent(self, name=name, holds=holds, subject=subject)


_GIVEN = pytest.StashKey[dict[Path, str]]()


def _from_here(config: pytest.Config, given: str) -> str:
    """Name a file as seen from the current folder, which code of the project may have changed."""
    place, _, name = given.rpartition(":")
    if not place.endswith(".py") or Path(place).is_absolute():
        return given
    return f"{os.path.relpath(config.invocation_params.dir / place)}:{name}"


class _PropertyTest(OwnTest):
    def __init__(
        self, *, holds: Callable[[Any], None], subject: Callable[[], Any], **node: Any
    ) -> None:
        super().__init__(**node)
        self._holds, self._subject = holds, subject

    def check(self) -> None:
        from actbench.study.nets.devices import using_threads

        with using_threads(1):  # the networks are too small to be split between threads
            self._holds(self._subject())


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
        alone = train_reference(Architecture(activation, 3), member, schedule, data.x, data.noisy)
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


def _stack(activation: Activation, depth: int, schedule: Schedule) -> Training:
    data = targets.noisy_sine(64)
    return train_stack(Architecture(activation, depth), _members(), schedule, data.x, data.noisy)


_PROPERTIES: tuple[Callable[[Activation], None], ...] = (
    derivative_agrees_with_finite_differences,
    error_signal_reaches_the_first_layer,
    stack_follows_the_plain_loop,
    network_learns,
)
"""In the order in which to test them; each raises ``ActbenchError``."""
