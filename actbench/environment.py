"""What a result was computed with: versions, processor, device, threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSIONS = ("actbench", "torch", "numpy")
"""Packages whose versions a number depends on."""


def cpu_model() -> str:
    """Return the processor's name as the operating system tells it.

    Returns:
        Such as ``"AMD EPYC"``; the architecture where no name is told.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution.

    Args:
        distribution: Its name on the package index.

    Returns:
        The version, or ``"not installed"``.
    """
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on. Loads nothing.

    Returns:
        Version by package, as ``VERSIONS`` names them.
    """
    return {name: installed_version(name) for name in VERSIONS}


def describe(device: str, threads: int) -> dict[str, str | int]:
    """Describe what computes here, for storing beside a result. Loads torch.

    Args:
        device: The torch device that was used, such as ``"cpu"``.
        threads: The CPU threads that were used.

    Returns:
        Flat names and values; equal on two runs of one installation on one machine.
    """
    import torch

    accelerator = torch.device(device)
    device_name = (
        torch.cuda.get_device_name(accelerator) if accelerator.type == "cuda" else cpu_model()
    )
    return {
        "actbench": installed_version("actbench"),
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
    }
