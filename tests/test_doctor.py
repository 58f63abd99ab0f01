"""The examination of this machine: one line each, good or not, and nothing left behind."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import psutil
import pytest

from actbench.study.commands import doctor
from actbench.study.commands.doctor import Finding, examine
from actbench.study.nets import stacks

GB = 10**9


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle machine with memory, a disk and vector kernels, whatever this one is."""
    monkeypatch.setattr(psutil, "getloadavg", lambda: (0.2, 0.0, 0.0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GB))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=50 * GB))
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu",))
    monkeypatch.setattr("actbench.study.nets.devices.default_threads", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(doctor, "cpu_model", lambda: "Some CPU")
    monkeypatch.setattr(stacks.Stack, "backward", lambda stack, *_: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_CBWR", raising=False)


def bad(findings: list[Finding]) -> list[str]:
    """Keep the texts of what is not good."""
    return [finding.text for finding in findings if not finding.good]


def test_a_healthy_machine_is_all_good(tmp_path: Path) -> None:
    """Each part of the machine gets a line, and none of them is a warning."""
    findings = examine(tmp_path)
    assert bad(findings) == []
    texts = [finding.text for finding in findings]
    assert texts[0].startswith("Python 3.")
    assert ", actbench 0." in texts[0]
    assert texts[1].startswith("torch 2.")
    assert ", CPU kernels AVX2, with" in texts[1]
    assert texts[2:] == [
        "a network's bits do not depend on those beside it here",
        "devices: cpu; auto takes cpu",
        "Some CPU: 4 threads by default",
        "load 0.2 on 8 cores",
        "memory: 8.0 GB available",
        f"output folder {tmp_path}: 50.0 GB free",
    ]


@pytest.mark.parametrize("mode", [None, "AVX2"])
def test_bits_that_depend_on_the_stack_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    """A product that rounds by the size of its batch is found by trial, and the mode is named."""

    def by_size(stack: stacks.Stack, *rest: object) -> None:  # noqa: ARG001 - as the method
        stack.weight_gradients[0][:] = 1 + 1e-7 * (stack.count == 1)

    monkeypatch.setattr(stacks.Stack, "backward", by_size)
    if mode:
        monkeypatch.setenv("MKL_CBWR", mode)
    named = f" (MKL_CBWR={mode})" if mode else ""
    assert bad(examine(tmp_path)) == [
        f"a network's last bits depend on those trained beside it here{named}: "
        "'actbench --exact COMMAND' makes them independent where torch has MKL"
    ]


DEVICES = "actbench.study.nets.devices.available"
KERNELS = "torch.backends.cpu.get_cpu_capability"
BUSY = "on 8 cores: other work shares them, timings will be long and noisy"


@pytest.mark.parametrize(
    ("place", "value", "good", "text"),
    [
        # Users learn what is used unless they say otherwise.
        (DEVICES, ("cpu", "cuda"), True, r"devices: cpu, cuda; auto takes cuda"),
        (KERNELS, "DEFAULT", False, r".*: no vector kernels, expect several times longer runs"),
        ("psutil.getloadavg", (4.0, 0.0, 0.0), True, r"load 4.0 on 8 cores"),
        ("psutil.getloadavg", (4.1, 0.0, 0.0), False, rf"load 4.1 {BUSY}"),
        ("psutil.getloadavg", (64.0, 0.0, 0.0), False, rf"load 64.0 {BUSY}"),
        (
            "psutil.virtual_memory",
            SimpleNamespace(available=0.4 * GB),
            False,
            r"memory: 0.4 GB available: 0.5 GB is needed; close other programs",
        ),
        (
            "shutil.disk_usage",
            SimpleNamespace(free=0.1 * GB),
            False,
            r"output folder .*: 0.1 GB free: 0.5 GB is advised; choose another with --out",
        ),
    ],
)
def test_what_is_not_well_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: Any, good: bool, text: str
) -> None:
    """With what to do about it, and of nothing else is it said."""
    monkeypatch.setattr(place, lambda *_: value)
    findings = examine(tmp_path)
    assert any(f.good is good and re.fullmatch(text, f.text) for f in findings)
    assert len(bad(findings)) == (not good)


def test_a_number_of_threads_set_outside_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that users expect to work is named, with what becomes of it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    texts = [finding.text for finding in examine(tmp_path)]
    assert "Some CPU: 4 threads by default; OMP_NUM_THREADS=1 is set, and overridden" in texts


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    """A place where no folder can be is a line with the reason, not a crash."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "results"
    assert bad(examine(folder)) == [
        f"can't write to the output folder '{folder}': Not a directory. Choose another with --out"
    ]


def test_a_folder_that_may_not_be_looked_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing permissions above the folder are a line, not a crash."""

    def refuse(path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    (text,) = bad(examine(tmp_path / "results"))
    assert text == f"[Errno 13] Permission denied: '{tmp_path / 'results'}'"


@pytest.mark.parametrize("below", ["results", "a/b/c", "."])
def test_nothing_is_left_behind(tmp_path: Path, below: str) -> None:
    """Looking whether a folder can be written leaves the disk as it was."""
    (tmp_path / "mine").touch()
    assert bad(examine(tmp_path / below)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
