"""pytest's options ``--actbench-…``: claims files and activations of one's own become tests.

pytest loads this in every project where actbench is installed. So it adds options and the fixture
``judge`` and nothing else, and imports the rest once one of them is used. PYTEST_DONT_REWRITE: it
asserts nothing.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from actbench.store.errors import ActbenchError, require_extra

if TYPE_CHECKING:
    from actbench.pytest_plugin.fixture import Judge

BASELINE_SEEDS = 100


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} was given, but must be a factor above 1, such as 1.3")
    return value


OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "claims": {
            "metavar": "FILE",
            "type": Path,
            "action": "append",
            "default": [],
            "help": "judge the claims of this file, one test per claim; may be repeated. Where no "
            "test file is named, nothing else is run",
        },
        "activation": {
            "metavar": "SPEC",
            "action": "append",
            "default": [],
            "help": "test an activation of your own, path/to/file.py:name or module:name (the file "
            "runs as code); may be repeated",
        },
        "seeds": {"type": int, "default": 16, "help": "seeds per training, from 42 on"},
        "device": {
            "action": "append",
            "help": "where to train: cpu, cuda, mps, xpu or auto (default cpu); give it several "
            "times for one test per claim and device",
        },
        "threads": {"type": int, "help": "CPU threads (default: physical cores, at most 8)"},
        "from-results": {
            "metavar": "DIR",
            "type": Path,
            "help": "judge what actbench reproduce wrote to DIR instead of training",
        },
        "record": {
            "metavar": "FILE",
            "type": Path,
            "help": "afterwards write what this torch did to FILE, as actbench record does, from "
            "the trainings of this session",
        },
        "slow": {
            "action": "store_true",
            "help": "train what takes minutes too, rather than judge those claims from stored "
            "measurements",
        },
        "until-decided": {
            "action": "store_true",
            "help": "make as many seeds as each claim takes, at its level, at most those that its "
            "protocol states",
        },
        "allow-code": {
            "action": "store_true",
            "help": "let functions and commands that claims files name run",
        },
        "save": {
            "metavar": "NAME",
            "help": "store what the fixture judge measured, under .actbench/results",
        },
        "autosave": {"action": "store_true", "help": "store it without a name"},
        "compare": {
            "metavar": "NAME",
            "nargs": "?",
            "const": "",
            "help": "compare what the fixture judge measures with stored results, the latest "
            "without a name; another distribution fails the session",
        },
        "max-slowdown": {
            "metavar": "FACTOR",
            "type": _factor,
            "help": "fail a benchmark of pytest-benchmark that is this many times slower than its "
            "stored self, relative to controls; above 1, such as 1.3. Compares with the last "
            "stored run if --benchmark-compare names none",
        },
        "strict": {
            "action": "store_true",
            "help": "also fail a comparison that compared nothing, and a claim that lacks seeds",
        },
        "regenerate-baselines": {
            "action": "store_true",
            "help": f"measure anew with {BASELINE_SEEDS} seeds, rewrite the baselines that differ, "
            "show old and new, and fail",
        },
    }
)
"""Name after ``--actbench-``, to what argparse needs to know."""


def destination(name: str) -> str:
    """Return where pytest keeps the value of an option."""
    return f"actbench_{name.replace('-', '_')}"


def value_of(config: pytest.Config, name: str) -> Any:
    """Return what was given for an option, or its default."""
    return config.getoption(destination(name))


def devices_of(config: pytest.Config) -> list[str]:
    """Return the devices that were asked for, each once; the CPU by default."""
    return list(dict.fromkeys(value_of(config, "device") or ["cpu"]))


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
        from actbench.pytest_plugin import claim_tests

        config.pluginmanager.register(claim_tests.Asked(config))
        if not config.pluginmanager.is_registered(claim_tests):
            config.pluginmanager.register(claim_tests)
    storing = any(value_of(config, name) is not None for name in ("save", "compare"))
    if storing or value_of(config, "autosave"):
        from actbench.pytest_plugin.saved import Saved, Sender

        config.pluginmanager.register(Sender() if hasattr(config, "workerinput") else Saved(config))
    if value_of(config, "record") is not None:
        from actbench.pytest_plugin.claim_tests import claims_of
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
