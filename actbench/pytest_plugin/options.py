"""The options of the claims suite."""

from __future__ import annotations

from pathlib import Path

import pytest

BASELINE_SEEDS = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the claims suite."""
    group = parser.getgroup("actbench", "claims with verdicts")
    group.addoption(
        "--claims",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="judge the claims of this file, one test per claim; may be repeated. Where no test "
        "file is named, nothing else is run",
    )
    group.addoption("--seeds", type=int, default=16, help="seeds per training, from 42 on")
    group.addoption(
        "--device",
        action="append",
        help="where to train: cpu, cuda, mps, xpu or auto (default cpu); give it several times for "
        "one test per claim and device",
    )
    group.addoption("--threads", type=int, help="CPU threads (default: physical cores, at most 8)")
    group.addoption(
        "--from-results",
        metavar="DIR",
        type=Path,
        help="judge what actbench reproduce wrote to DIR instead of training",
    )
    group.addoption(
        "--record",
        metavar="FILE",
        type=Path,
        help="afterwards write what this torch did to FILE, as actbench record does, from the "
        "trainings of this session",
    )
    group.addoption(
        "--slow",
        action="store_true",
        help="train what takes minutes too, rather than judge "
        "those claims from stored measurements",
    )
    group.addoption(
        "--regenerate-baselines",
        action="store_true",
        help=f"measure anew with {BASELINE_SEEDS} seeds, rewrite the baselines that differ, show "
        "old and new, and fail",
    )


def devices_of(config: pytest.Config) -> list[str]:
    """Return the devices that were asked for, each once.

    Args:
        config: Of the running session.

    Returns:
        Their names, the CPU by default.
    """
    return list(dict.fromkeys(config.getoption("--device") or ["cpu"]))
