"""The options of the claims suite."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

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
