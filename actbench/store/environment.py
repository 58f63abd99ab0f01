"""What a result was computed with, and a clock that waits for the accelerator."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from actbench import __version__

if TYPE_CHECKING:
    import torch


def duration(seconds: float) -> str:
    """Say a duration as a person would."""
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours >= 1 else f"{seconds:,.0f} s"


def _nothing_to_wait_for() -> None:
    pass


def synchronizer(device: torch.device) -> Callable[[], None]:
    """Return what waits until a device has finished everything that it was given."""
    import torch

    if device.type == "cpu":
        return _nothing_to_wait_for
    return partial(torch.accelerator.synchronize, device)


class Stopwatch:
    """Seconds per unit of work, for use as the timer of pytest-benchmark.

    An accelerator returns before it has computed: without waiting for it (``synchronize``), the
    time to *ask* for a computation is measured.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = _nothing_to_wait_for,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._synchronize = synchronize
        self._clock = clock
        self.units = 1  # such as epochs, between two readings; seconds are divided by it

    def __repr__(self) -> str:
        return "Stopwatch"

    def __call__(self) -> float:
        """Wait for the device, then return the clock's seconds divided by ``units``."""
        self._synchronize()
        return self._clock() / self.units

    def time(self, work: Callable[[], object]) -> float:
        """Return the seconds per unit that ``work`` takes, all that it started included."""
        start = self()
        work()
        return self() - start


VERSIONS = ("actbench", "torch", "numpy")
"""Packages whose versions a number depends on."""

_ARITHMETIC = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY")
_EXACT = "AUTO,STRICT"


def require_exact_arithmetic() -> None:
    """Ask for products whose bits do not depend on what is multiplied beside them.

    Intel's MKL, with which torch multiplies on most machines, rounds by place and size in a batch
    unless it is told otherwise before its first call ("Getting Started with Conditional Numerical
    Reproducibility", oneMKL developer guide). Costs a tenth of the speed on an Intel processor;
    a mode that the user has chosen stays. Does nothing once torch is loaded, so that what is
    recorded is what was in force.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("MKL_CBWR", _EXACT)


def arithmetic() -> str:
    """Return what is set that changes how products round, such as ``"MKL_CBWR=AUTO,STRICT"``."""
    return " ".join(f"{name}={os.environ[name]}" for name in _ARITHMETIC if os.environ.get(name))


def pinned_variables() -> dict[str, str]:
    """Return the environment of a process that must give the same numbers whenever it runs."""
    return {"MKL_CBWR": _EXACT, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **os.environ}


def pinned() -> dict[str, str]:
    """Return those of ``pinned_variables`` that numbers depend on."""
    names = (*_ARITHMETIC, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
    variables = pinned_variables()
    return {name: variables[name] for name in names if variables.get(name)}


def cpu_model() -> str:
    """Return the processor's name as the operating system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on. Loads nothing."""
    others = {name: installed_version(name) for name in VERSIONS if name != "actbench"}
    return {"actbench": __version__, **others}


def describe(device: str, threads: int) -> dict[str, str | int]:
    """Describe what computes here, for storing beside a result. Loads torch."""
    import torch

    accelerator = torch.device(device)
    device_name = (
        torch.cuda.get_device_name(accelerator) if accelerator.type == "cuda" else cpu_model()
    )
    # Only where there is one: what was stored before it was noted stays comparable.
    mode = {"arithmetic": arithmetic()} if arithmetic() else {}
    return {
        "actbench": __version__,
        "torch": torch.__version__,
        "torch_commit": str(torch.version.git_version),
        "numpy": installed_version("numpy"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        "device_name": device_name,
        "threads": threads,
        **mode,
    }


def describe_build(device: str) -> dict[str, str | int]:
    """Describe what the libraries were built from, and which commit of this package runs."""
    import numpy as np
    import torch

    config = torch.__config__.show()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index,call-overload,unused-ignore]
    build: dict[str, str | int] = {
        "torch_blas": _found(r"BLAS_INFO=(\w+)", config),
        "torch_mkl": _found(r"Math Kernel Library Version (\S+)", config),
        "torch_onednn": _found(r"MKL-DNN v(\S+)", config),
        "torch_compiler": _found(r"- (GCC \S+|clang \S+)", config),
        "torch_cuda": str(torch.version.cuda),
        "numpy_blas": f"{blas['name']} {blas['version']}",
        "commit": own_commit(),
    }
    if torch.device(device).type == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        build["driver"] = _printed_by(query) or "unknown"
    return build


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "unknown"


def own_commit() -> str:
    """Return the commit of the clone that this package runs from."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"
    git = ["git", "-C", str(root)]
    commit = _printed_by([*git, "rev-parse", "HEAD"])
    changed = _printed_by([*git, "status", "--porcelain", "--untracked-files=no"])
    return (commit or "unknown") + (" with changes" if changed else "")


def _printed_by(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
