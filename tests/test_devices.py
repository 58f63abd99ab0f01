"""Devices that are present, and threads that are put back."""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil
import pytest
import torch

from actbench.store.errors import ActbenchError
from actbench.study.nets.devices import available, choose, default_threads, using_threads

Machine = Callable[[int], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Pretend that torch sees so many CUDA devices, whatever the machine has."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(
    ("cards", "present", "chosen"),
    [
        (0, ("cpu",), {"auto": "cpu", "cpu": "cpu"}),
        (
            2,
            ("cpu", "cuda"),
            {
                "auto": "cuda",
                "cuda": "cuda",
                "cuda:0": "cuda:0",
                "cuda:1": "cuda:1",
                "cpu": "cpu",
            },
        ),
    ],
    ids=["a CPU alone", "two accelerators"],
)
def test_automatic_means_the_accelerator_if_there_is_one(
    machine: Machine, cards: int, present: tuple[str, ...], chosen: dict[str, str]
) -> None:
    """What is present is listed, and accelerators count from zero."""
    machine(cards)
    assert available() == present
    assert {name: str(choose(name)) for name in chosen} == chosen


def test_an_accelerator_that_torch_cannot_name_is_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accelerator without a name is left out."""
    machine(1)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    assert available() == ("cpu",)


@pytest.mark.parametrize(
    ("cards", "name", "present"),
    [
        *((0, name, "cpu") for name in ("cuda", "cuda:0", "mps", "cpu:1", "meta")),
        *((2, name, "cpu, cuda") for name in ("cuda:2", "mps", "cpu:1")),
    ],
)
def test_an_absent_device_lists_those_present(
    machine: Machine, cards: int, name: str, present: str
) -> None:
    """A device or a number that this machine lacks is refused, with what it has and what to do."""
    machine(cards)
    with pytest.raises(ActbenchError) as caught:
        choose(name)
    assert str(caught.value) == (
        f"device {name!r} is not present; present here: {present}. Choose one of them, or 'auto'"
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
    ("allowed", "logical", "physical", "expected"),
    [
        (4, None, 2, 2),
        (1, None, 64, 1),
        (128, None, 64, 8),
        (4, None, None, 1),
        (16, None, 6, 6),
        (None, None, 64, 1),
        (None, 3, 64, 3),
    ],
)
def test_default_threads_are_the_cores_at_hand(
    monkeypatch: pytest.MonkeyPatch,
    allowed: int | None,
    logical: int | None,
    physical: int | None,
    expected: int,
) -> None:
    """The physical cores that the process may use, from 1 to 8; all, where none are told."""
    if allowed is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: logical)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None if logical else physical)
    assert default_threads() == expected


def test_default_threads_of_this_machine() -> None:
    """Whatever this machine is, the default is a usable number."""
    assert 1 <= default_threads() <= 8


def test_threads_are_put_back() -> None:
    """Inside the block the number is in force, after it the old one, nested or after an error."""
    before = torch.get_num_threads()
    with using_threads(2) as outer:
        assert outer == torch.get_num_threads() == 2
        with using_threads(1) as inner:
            assert inner == torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    with using_threads(None) as count:
        assert count == torch.get_num_threads() == default_threads()
    with pytest.raises(KeyError), using_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


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
