"""Devices that are present, and threads that are put back."""

from __future__ import annotations

import os

import psutil
import pytest
import torch

from actbench.store.errors import ActbenchError
from actbench.study.nets.devices import available, choose, default_threads, using_threads


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide any accelerator of the machine that runs the tests."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that torch sees two CUDA devices."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


@pytest.mark.usefixtures("cpu_only")
def test_a_machine_without_accelerator() -> None:
    """Where there is only a CPU, it alone is listed, and automatic means it."""
    assert available() == ("cpu",)
    assert choose("auto") == choose("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_a_machine_with_accelerators() -> None:
    """Where there is an accelerator, automatic means it, and its numbers count from zero."""
    assert available() == ("cpu", "cuda")
    assert choose("auto") == choose("cuda") == torch.device("cuda")
    assert choose("cuda:0") == torch.device("cuda:0")
    assert choose("cuda:1") == torch.device("cuda:1")
    assert choose("cpu") == torch.device("cpu")


def test_an_accelerator_that_torch_cannot_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator without a name is left out."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    assert available() == ("cpu",)


@pytest.mark.usefixtures("cpu_only")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "cpu:1", "meta"])
def test_an_absent_device_lists_those_present(name: str) -> None:
    """A device that this machine lacks is refused, with what it has and what to do."""
    with pytest.raises(ActbenchError) as caught:
        choose(name)
    assert str(caught.value) == (
        f"device {name!r} is not present; present here: cpu. Choose one of them, or 'auto'"
    )


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cuda:2", "mps", "cpu:1"])
def test_a_device_number_too_high_is_absent(name: str) -> None:
    """The third of two accelerators, or another kind, is refused."""
    with pytest.raises(ActbenchError) as caught:
        choose(name)
    assert str(caught.value) == (
        f"device {name!r} is not present; present here: cpu, cuda. Choose one of them, or 'auto'"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cudda", " Did you mean 'cuda'?"), ("CPU", " Did you mean 'cpu'?"), ("", "")],
)
def test_a_name_that_is_no_device(name: str, hint: str) -> None:
    """A word that torch does not know is answered with the words that it does."""
    with pytest.raises(ActbenchError) as caught:
        choose(name)
    assert str(caught.value) == f"unknown device {name!r}; known: auto, cpu, cuda, mps, xpu.{hint}"


@pytest.mark.parametrize(
    ("allowed", "physical", "expected"),
    [(4, 2, 2), (1, 64, 1), (128, 64, 8), (4, None, 1), (16, 6, 6)],
)
def test_default_threads_are_the_cores_at_hand(
    monkeypatch: pytest.MonkeyPatch, allowed: int, physical: int | None, expected: int
) -> None:
    """The default is the physical cores that the process may use, from 1 to 8."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None if logical else physical)
    assert default_threads() == expected


@pytest.mark.parametrize(("count", "expected"), [(None, 1), (3, 3)])
def test_default_threads_without_affinity(
    monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int
) -> None:
    """Where the system tells no affinity, the number of cores counts, and at least one."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None if logical else 64)
    assert default_threads() == expected


def test_default_threads_of_this_machine() -> None:
    """Whatever this machine is, the default is a usable number."""
    assert 1 <= default_threads() <= 8


def test_threads_are_put_back() -> None:
    """Inside the block the number is in force, after it the old one, nested ones too."""
    before = torch.get_num_threads()
    with using_threads(2) as outer:
        assert outer == torch.get_num_threads() == 2
        with using_threads(1) as inner:
            assert inner == torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_exception() -> None:
    """An error inside the block passes through, and the old number returns."""
    before = torch.get_num_threads()
    with pytest.raises(KeyError), using_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_no_number_of_threads_means_the_default() -> None:
    """Without a number, the default is taken, put in force and reported."""
    with using_threads(None) as count:
        assert count == torch.get_num_threads() == default_threads()


@pytest.mark.parametrize("threads", [0, -2, True])
def test_threads_must_be_a_positive_whole_number(threads: int) -> None:
    """Zero or fewer threads are refused by name, and nothing changes."""
    before = torch.get_num_threads()
    with pytest.raises(ActbenchError) as caught, using_threads(threads):
        pass
    assert str(caught.value) == (
        f"threads is {threads!r}, but must be a whole number of at least 1"
    )
    assert torch.get_num_threads() == before
