"""An activation of one's own that ``--actbench-activation`` names: a test per property."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actbench.pytest_plugin.outcomes import OwnTest


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
        from actbench import own
        from actbench.pytest_plugin.activation_suite import PROPERTIES

        given = _from_here(self.config, self.config.stash[_GIVEN][self.path])
        candidate = cache(lambda: own.candidate(given))
        activation = cache(lambda: own.activation(given))
        properties = {holds.__name__: holds for holds in PROPERTIES}
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
        from actbench.devices import using_threads

        with using_threads(1):  # the networks are too small to be split between threads
            self._holds(self._subject())
