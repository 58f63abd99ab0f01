"""Timings: relative to the control beside them, whatever the machine's mood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from actbench.store.environment import Stopwatch
from actbench.study import timings

CPU = torch.device("cpu")


class _Machine:
    """A clock that only work moves, on a machine that slows down from call to call."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slowness = 1.0

    def work(self, seconds: float) -> Callable[[], object]:
        def run() -> None:
            self.now_s += seconds * self.slowness
            self.slowness *= 1.1

        return run


def test_a_machine_that_slows_down_changes_no_ratio_by_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While everything becomes 20 times slower, ratios move by half a per cent."""
    machine = _Machine()
    works = [
        timings.Work("fast", "epoch", 10, 0, lambda: machine.work(1.0)),
        timings.Work("slow", "epoch", 10, 5e9, lambda: machine.work(3.0)),
    ]
    monkeypatch.setattr(timings, "works", lambda device: works)
    monkeypatch.setattr(timings, "_control", lambda: machine.work(0.5))
    done: list[int] = []
    found = timings.measure(CPU, 7, done.append, Stopwatch(clock=lambda: machine.now_s))
    fast, slow = found.workloads
    assert fast.relative == pytest.approx([0.2] * 7, rel=0.006)
    assert slow.relative == pytest.approx([0.6] * 7, rel=0.006)
    assert fast.durations_s[-1] > 10 * fast.durations_s[0]
    assert fast.rate_gflop_per_s is None
    assert slow.rate_gflop_per_s == pytest.approx(5 / sorted(slow.durations_s)[3])
    assert sum(done) == 14


def test_every_activation_is_timed_by_both_engines() -> None:
    """Names are those that two records are compared by."""
    names = [work.name for work in timings.works(CPU)]
    assert len(names) == len(set(names)) == 1 + 2 * 8 + 1
    assert {"loop/gelu/float32", "stack/gelu/float32", "stack/relu/float64"} <= set(names)


@pytest.mark.parametrize("name", ["loop/relu/float32", "stack/relu/float32", "stack/relu/float64"])
def test_each_work_can_be_done(name: str) -> None:
    """What is timed trains: the losses it returns are finite and fall."""
    (work,) = (w for w in timings.works(CPU) if w.name == name)
    run = work.prepare()
    first, second = run(), run()
    assert isinstance(first, torch.Tensor)
    assert isinstance(second, torch.Tensor)
    assert bool((second < first).all())
    assert work.units == (20 if name.startswith("loop") else 50)
