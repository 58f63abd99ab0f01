"""What this machine has, what would be slow or missing, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from actbench import __version__
from actbench.store.environment import arithmetic, cpu_model
from actbench.store.errors import DISTRIBUTION, ActbenchError, packages_missing
from actbench.store.files import prepare_folder

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
    """Examine Python, torch, devices, cores, memory and the output folder."""
    missing = packages_missing("study")
    torch = [] if "torch" in missing else [_torch(), _arithmetic(), _device(), _threads()]
    study = [_core(missing)] if missing else []
    return [_python(), *torch, *study, _load(), _memory(), _folder(out)]


def _python() -> Finding:
    text = ".".join(map(str, sys.version_info[:3]))
    return Finding(True, f"Python {text}, actbench {__version__}")


def _core(missing: Sequence[str]) -> Finding:
    return Finding(
        True,
        f"without {', '.join(missing)}: tables, functions and programs are judged; for the study, "
        f'pip install "{DISTRIBUTION}[study]"',
    )


def _torch() -> Finding:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    mkl = "with" if torch.backends.mkl.is_available() else "without"  # type: ignore[no-untyped-call]
    text = f"torch {torch.__version__}, CPU kernels {capability}, {mkl} MKL"
    if capability == "DEFAULT":
        return Finding(False, f"{text}: no vector kernels, expect several times longer runs")
    return Finding(True, text)


def _arithmetic() -> Finding:
    """Tell by trial whether a network's numbers depend on those in the same stack."""
    import torch

    from actbench.study.catalog import activations, initializers, targets
    from actbench.study.nets import devices
    from actbench.study.nets.networks import Architecture, seeded_network
    from actbench.study.nets.stacks import Stack

    architecture, target = Architecture(activations.get("relu")), targets.noisy_sine()
    initializer = initializers.get("torch_default")
    networks = [seeded_network(architecture, initializer, seed) for seed in range(42, 47)]
    x, y = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (target.x, target.noisy))

    def gradients(part: slice) -> torch.Tensor:
        own = networks[part]
        stack = Stack(architecture, own, len(own), len(x), torch.device("cpu"), x.dtype)
        stack.backward(x, stack.forward(x) - y)
        return torch.cat([gradient.flatten(1) for gradient in stack.weight_gradients], 1)

    with devices.using_threads(1):
        whole = gradients(slice(0, 5))
        parts = [slice(n, n + size) for size in (1, 2) for n in range(6 - size)]
        same = all(torch.equal(gradients(part), whole[part]) for part in parts)
    mode = f" ({arithmetic()})" if arithmetic() else ""
    if same:
        return Finding(True, f"a network's bits do not depend on those beside it here{mode}")
    return Finding(
        False,
        f"a network's last bits depend on those trained beside it here{mode}: "
        "'actbench --exact COMMAND' makes them independent where torch has MKL",
    )


def _device() -> Finding:
    from actbench.study.nets import devices

    present = devices.available()
    return Finding(True, f"devices: {', '.join(present)}; auto takes {present[-1]}")


def _threads() -> Finding:
    from actbench.study.nets import devices

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
