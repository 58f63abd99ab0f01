"""What this machine has, what would be slow or missing, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from actbench import __version__
from actbench.environment import cpu_model
from actbench.errors import ActbenchError
from actbench.files import prepare_folder

_NEEDED_FREE_BYTES = 500 * 10**6
_BUSY_LOAD_SHARE = 0.5


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Args:
        good: Whether all is well.
        text: What was found and, if it is not good, what to do.
    """

    good: bool
    text: str


def examine(out: Path) -> list[Finding]:
    """Examine Python, torch, devices, cores, memory and the output folder.

    Args:
        out: The folder that results would go to; what does not exist is made, and removed again.

    Returns:
        Findings in the order in which to read them.
    """
    return [_python(), _torch(), _device(), _threads(), _load(), _memory(), _folder(out)]


def _python() -> Finding:
    text = ".".join(map(str, sys.version_info[:3]))
    return Finding(True, f"Python {text}, actbench {__version__}")


def _torch() -> Finding:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    mkl = "with" if torch.backends.mkl.is_available() else "without"  # type: ignore[no-untyped-call]
    text = f"torch {torch.__version__}, CPU kernels {capability}, {mkl} MKL"
    if capability == "DEFAULT":
        return Finding(False, f"{text}: no vector kernels, expect several times longer runs")
    return Finding(True, text)


def _device() -> Finding:
    from actbench import devices

    present = devices.available()
    return Finding(True, f"devices: {', '.join(present)}; auto takes {present[-1]}")


def _threads() -> Finding:
    from actbench import devices

    threads = devices.default_threads()
    asked = os.environ.get("OMP_NUM_THREADS")
    note = f"; OMP_NUM_THREADS={asked} is set, and overridden" if asked else ""
    return Finding(True, f"{cpu_model()}: {threads} threads by default{note}")


def _load() -> Finding:
    cores = os.cpu_count() or 1
    load = psutil.getloadavg()[0]
    text = f"load {load:.1f} on {cores} cores"
    if load > _BUSY_LOAD_SHARE * cores:
        return Finding(False, f"{text}: other work shares them, timings will be long and noisy")
    return Finding(True, text)


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    text = f"memory: {free / 1e9:.1f} GB available"
    if free < _NEEDED_FREE_BYTES:
        return Finding(False, f"{text}: 0.5 GB is needed; close other programs")
    return Finding(True, text)


def _folder(out: Path) -> Finding:
    made: list[Path] = []
    try:
        made += [folder for folder in (out, *out.parents) if not folder.exists()]
        prepare_folder(out)
        free = shutil.disk_usage(out).free
    except (ActbenchError, OSError) as error:
        return Finding(False, str(error))
    finally:
        for folder in made:
            if folder.is_dir():
                folder.rmdir()
    text = f"output folder {out}: {free / 1e9:.1f} GB free"
    if free < _NEEDED_FREE_BYTES:
        return Finding(False, f"{text}: 0.5 GB is advised; choose another with --out")
    return Finding(True, text)
