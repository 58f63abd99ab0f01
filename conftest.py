"""What concerns the tests of this repository only."""

from __future__ import annotations

import os
from typing import Any

import psutil
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# Options, storage and messages of the benchmarks; pytest-benchmark wants its hooks loaded here.
pytest_plugins = ["benchmarks.session"]

# The same examples in every run: a test that fails must fail again.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

_MOST_WORKERS = 4
_MEASURING = (
    *("tests/test_baselines.py", "tests/test_claims.py", "tests/test_studies.py"),
    "tests/test_theory.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on every core, unless `-n` says otherwise; parts in one process."""
    if hasattr(config, "workerinput"):  # a worker must not start workers of its own
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    alone = config.option.usepdb or config.option.collectonly
    if whole and not alone and config.option.numprocesses is None:
        config.option.numprocesses = min(psutil.cpu_count(logical=False) or 1, _MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker one thread: two that use every core are 10 to 100 times slower."""
    if hasattr(config, "workerinput"):
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what takes long; a slow claim needs no leave, its measurement is stored."""
    slow = item.get_closest_marker("slow") and not item.get_closest_marker("claim")
    if slow and not item.config.getoption("--slow"):
        pytest.skip("takes long; --slow runs it")


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A worker gets whole files, and one of them all that rests on the same trainings."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _MEASURING[0] if file in _MEASURING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """Hand out the tests to the workers by file."""
    return _ByFile(config, log)
