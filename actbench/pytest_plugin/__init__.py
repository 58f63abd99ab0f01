"""pytest's options ``--actbench-…``: claims files and activations of one's own become tests.

pytest loads this in every project where actbench is installed. So it adds options and the fixture
``judge`` and nothing else, and imports the rest once one of them is used. PYTEST_DONT_REWRITE: it
asserts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from actbench.pytest_plugin.options import OPTIONS, value_of
from actbench.store.errors import ActbenchError, require_extra

if TYPE_CHECKING:
    from actbench.pytest_plugin.fixture import Judge


@pytest.fixture
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """Judge over seeds what a function gives, as in ``judge(train, seeds=10).above(0.92)``."""
    from actbench.pytest_plugin.fixture import give

    yield from give(request.node)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all under one prefix."""
    group = parser.getgroup("actbench", "claims with verdicts")
    for name, settings in OPTIONS.items():
        group.addoption(f"--actbench-{name}", **settings)


def pytest_configure(config: pytest.Config) -> None:
    """Register what the options ask for; without one, nothing."""
    results = value_of(config, "from-results")
    if results is not None and not results.is_dir():
        raise pytest.UsageError(
            f"--actbench-from-results is {str(results)!r}, but there is no such folder; write one "
            f"with: actbench reproduce --out {results}"
        )
    for name in ("activation", "record"):
        if value_of(config, name):
            _require_study(f"pytest --actbench-{name}")
    if value_of(config, "claims") or value_of(config, "activation"):
        from actbench.pytest_plugin import outcomes
        from actbench.pytest_plugin.asked import Asked

        config.pluginmanager.register(Asked(config))
        if not config.pluginmanager.is_registered(outcomes):
            config.pluginmanager.register(outcomes)
    storing = any(value_of(config, name) is not None for name in ("save", "compare"))
    if storing or value_of(config, "autosave"):
        from actbench.pytest_plugin.saved import Saved, Sender

        config.pluginmanager.register(Sender() if hasattr(config, "workerinput") else Saved(config))
    if value_of(config, "record") is not None:
        from actbench.pytest_plugin.asked import claims_of
        from actbench.pytest_plugin.trainings import Writer

        config.pluginmanager.register(Writer(value_of(config, "record"), claims_of(config)))
    if value_of(config, "max-slowdown") is not None:
        if not hasattr(config.option, "benchmark_compare"):
            raise pytest.UsageError(
                "--actbench-max-slowdown judges benchmarks of pytest-benchmark, but that is not "
                "installed or is switched off; install it with: pip install pytest-benchmark"
            )
        from actbench.pytest_plugin.gate import Gate

        config.pluginmanager.register(Gate(config))


def _require_study(option: str) -> None:
    try:
        require_extra("study", option)
    except ActbenchError as error:
        raise pytest.UsageError(str(error)) from error
