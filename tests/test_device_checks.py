"""Checks of devices and engines: what computes wrongly is found, what is missing is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from calls import Command

from actbench.claims import measured
from actbench.study.commands import doctor
from actbench.study.nets import device_checks, engines
from actbench.study.nets.device_checks import Check, Held, Place
from actbench.study.nets.engines import PlainLoop, StackOf

CPU, OTHER = torch.device("cpu"), torch.device("cpu", 0)


def no_compiler(*_: object) -> NoReturn:
    """Stand for a compiler that is not there."""
    raise RuntimeError("no compiler\nand a long story")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three members, one epoch to time, and no compiler but where a test wants one."""
    monkeypatch.setattr(device_checks, "MEMBERS", 3)
    monkeypatch.setattr(device_checks, "_EPOCHS", {"loop": 1, "stack": 1})
    monkeypatch.setattr(device_checks, "_ROUNDS", 1)
    monkeypatch.setattr(torch, "compile", no_compiler)
    engines._compiled_loss.cache_clear()
    yield
    engines._compiled_loss.cache_clear()


def by_name(checks: list[Check]) -> dict[tuple[str, str, str], Check]:
    """Find checks by engine, device and dtype."""
    return {(c.engine, c.device, c.dtype): c for c in checks}


def test_engines_agree_and_what_is_missing_is_told() -> None:
    """On the CPU and on a device beside it, in both dtypes; no compiler is no fault."""
    done: list[int] = []
    checks = device_checks.check_all([CPU, OTHER], done.append)
    assert len(checks) == sum(done) == device_checks.steps([CPU, OTHER])
    assert not any(check.wrong for check in checks)
    found = by_name(checks)
    assert found["plain loop", "cpu", "float64"].units == 0
    for device in ("cpu", "cpu:0"):
        for dtype, close in (("float32", 3.1e-5), ("float64", 5.7e-14)):
            stack = found["stack", device, dtype]
            assert stack.relative is not None
            assert stack.relative < close
            assert stack.same_bits
            assert stack.duration_s is not None
            assert stack.duration_s > 0
        compiled = found["compiled stack", device, "float32"]
        assert (compiled.skipped, compiled.units) == ("RuntimeError: no compiler", None)
    assert found["plain loop", "cpu", "float32"].beside_cpu == 1
    assert found["plain loop", "cpu:0", "float32"].beside_cpu != 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_both_engines_are_laid_out_alike(dtype: str) -> None:
    """Layer by layer, against those that autograd leaves on the plain network."""
    losses, layers = StackOf(3, "tanh", CPU, dtype).differentiate()
    for member, seed in enumerate((42, 43, 44)):
        loss, alone = PlainLoop("tanh", CPU, dtype, seed).differentiate()
        assert losses[member].item() == pytest.approx(loss.item(), rel=1e-5)
        assert [layer.shape for layer in alone] == [(1, n) for n in (128, *[4160] * 9, 65)]
        for mine, theirs in zip(layers, alone, strict=True):
            assert torch.allclose(mine[member], theirs[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "change", "wrong"),
    [(0, 1.001, True), (10, 1.001, True), (5, float("nan"), True), (5, 1.0, False)],
)
def test_a_wrong_gradient_is_found(
    monkeypatch: pytest.MonkeyPatch, layer: int, change: float, wrong: bool
) -> None:
    """A thousandth in one layer, which Adam would hide from the loss, and what is not finite."""
    right = StackOf.differentiate

    def faulty(self: StackOf) -> tuple[Any, Any]:
        losses, layers = right(self)
        return losses, [g * change if n == layer else g for n, g in enumerate(layers)]

    monkeypatch.setattr(StackOf, "differentiate", faulty)
    found = by_name(device_checks.check_all([CPU]))
    assert [c.wrong for c in found.values() if c.engine == "stack"] == [wrong, wrong]
    assert not any(c.wrong for c in found.values() if c.engine == "plain loop")


def test_other_bits_each_time_are_told_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum in an order of chance is right, and not deterministic."""
    right, calls = StackOf.differentiate, iter(range(100))

    def shaky(self: StackOf) -> tuple[Any, Any]:
        losses, layers = right(self)
        return losses * (1 + 1e-7 * next(calls)), layers

    monkeypatch.setattr(StackOf, "differentiate", shaky)
    check = by_name(device_checks.check_all([CPU]))["stack", "cpu", "float32"]
    assert (check.same_bits, check.wrong) == (False, False)


def test_a_device_that_can_not_compute_is_wrong_in_float32_only() -> None:
    """What every device must do is no thing that may be missing; float64 is."""
    found = by_name(device_checks.check_all([CPU, torch.device("meta")]))
    assert found["stack", "meta", "float32"].wrong
    assert found["stack", "meta", "float32"].skipped
    assert not found["stack", "meta", "float64"].wrong


def test_every_card_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number, but for the one that has none."""
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    for kind, names in (("cuda", ["cuda:0", "cuda:1"]), ("mps", ["mps"])):
        monkeypatch.setattr(
            "actbench.study.nets.devices.available", lambda kind=kind: ("cpu", kind)
        )
        assert [str(device) for device in device_checks.present()] == ["cpu", *names]


def test_a_card_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it tells neither, that is no failure."""
    card = SimpleNamespace(get_device_name=lambda _: "Card", mem_get_info=lambda _: (3, 4))
    apple = SimpleNamespace(recommended_max_memory=lambda: 4, driver_allocated_memory=lambda: 1)
    for kind, module, place in (
        ("cuda:1", card, Place("cuda:1", "Card", 3, 4)),
        ("mps", apple, Place("mps", "mps", 3, 4)),
        ("xpu:0", SimpleNamespace(), Place("xpu:0", "xpu", None, None)),
    ):
        monkeypatch.setattr(torch, "get_device_module", lambda device, module=module: module)
        assert device_checks.describe(torch.device(kind)) == place
    here = device_checks.describe(CPU)
    assert here.free_bytes is not None
    assert here.total_bytes is not None
    assert 0 < here.free_bytes <= here.total_bytes


def timed(engine: str, duration_s: float) -> Check:
    """A check that took so long per epoch."""
    return Check(engine, "cpu", "float32", 1, 1e-7, True, duration_s, 2.0, 1.0)


@pytest.mark.parametrize("engine", ["plain loop", "stack"])
def test_claims_are_judged_from_the_losses_of_an_engine(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The stored losses give every verdict that is pinned; those of another network do not."""
    stored, factor = measured.load("stated"), 1.0

    def losses(*case: Any) -> Any:
        _, _, key, members, _ = case
        metric = {"name": "final_mse", "activation": key}
        return factor * np.array([stored.values(metric)[seed - 42] for seed in members])

    monkeypatch.setattr(device_checks, "_final_losses", losses)
    checks = [timed(engine, 1e-6), Check(engine, "cpu", "float64")]
    (held,) = device_checks.judge_all(checks)
    assert (held.claims, held.expected, held.others) == (17, 17, ())
    factor = 2.0
    (held,) = device_checks.judge_all(checks)
    assert "linear-final-mse: not_reproduced" in held.others
    assert held.expected == 17 - len(held.others)


def test_a_final_loss_is_that_after_the_last_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that before it, by the plain loop and by the stack."""
    monkeypatch.setattr(device_checks, "_UPDATES", 3)
    (stack,) = device_checks._final_losses("stack", CPU, "linear", [42], print)
    (loop,) = device_checks._final_losses("plain loop", CPU, "linear", [42], print)
    engine = PlainLoop("linear", CPU)
    engine.train(3)
    assert loop == engine.differentiate()[0].item()
    assert stack == pytest.approx(loop, rel=1e-5)


def test_what_takes_too_long_is_not_judged() -> None:
    """By the time of an epoch; a compiler needs its own for every activation."""
    slow, compiled = timed("stack", 1.0), timed("compiled stack", 1e-6)
    skipped = Check("compiled plain loop", "cpu", "float32", skipped="RuntimeError: no compiler")
    told = [h.skipped for h in device_checks.judge_all([slow, compiled, skipped], 5.0)]
    assert told[0].startswith("takes about ")
    assert told[1:] == ["takes about 8 s", "RuntimeError: no compiler"]


HELD = Held("stack", "cpu", 17, 16, ("gelu-final-mse: inconclusive",), 12.3)


@pytest.mark.parametrize(
    ("check", "held", "code", "said"),
    [
        (timed("stack", 0.001), [], 0, "ok   each agrees with the CPU's plain loop to 512 ulp"),
        (
            Check("stack", "cpu", "float32", 900, 1e-4, True, 1, 1, 1),
            [],
            1,
            "look computed wrongly: stack on cpu in float32",
        ),
        (
            Check("compiled stack", "cpu", "float32", skipped="no compiler"),
            [],
            0,
            "compiled stack  cpu     float32  skipped: no compiler",
        ),
        (timed("stack", 0.001), [HELD], 0, "look stack on cpu: gelu-final-mse: inconclusive"),
        (timed("stack", 0.001), [HELD], 0, "stack   cpu     16 of 17            12"),
    ],
)
def test_the_command_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
    actbench: Command,
    check: Check,
    held: list[Held],
    code: int,
    said: str,
) -> None:
    """In a line each, and by its exit code; JSON has the same."""
    monkeypatch.setattr(device_checks, "present", lambda: [CPU])
    monkeypatch.setattr(device_checks, "describe", lambda _: Place("cpu", "Chip", 10**9, 4 * 10**9))
    monkeypatch.setattr(device_checks, "check_all", lambda *_: [check])
    monkeypatch.setattr(device_checks, "judge_all", lambda *_, **__: held)
    options = ["doctor", "--devices", *(["--claims"] if held else [])]
    ended = actbench(*options)
    lines = ended.out.splitlines()
    assert ended.code == code
    assert lines[0] == "cpu: Chip, 1.0 of 4.0 GB free"
    assert lines[1] == "no accelerator is present: the CPU alone is checked"
    assert said in lines
    ended = actbench(*options, "--format", "json")
    told = json.loads(ended.out)
    assert (ended.code, told["tolerance_units"], len(told["claims"])) == (code, 512, len(held))
    assert told["checks"][0]["wrong"] is check.wrong


def test_claims_need_devices(actbench: Command) -> None:
    """A mistake of the user's in one line."""
    ended = actbench("doctor", "--claims")
    assert ended.code == 2
    assert "--claims judges what --devices checks; give both" in ended.err


def test_the_page_shows_the_tables_that_are_printed() -> None:
    """Their headings and engines, with every claim that is judged counted."""
    page = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for heading in (doctor._HEADING, doctor._CLAIMS_HEADING):
        assert f"| {' | '.join(heading)} |" in page
    for engine in device_checks.ENGINES:
        assert f"| {engine} | cpu | float32 | " in page
    assert f" of {len(device_checks.asked())} | " in page


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what torch's compiler warns of is not ours to mend
def test_compiled_engines_agree_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a compiler; both, in float32."""
    monkeypatch.undo()
    found = by_name(device_checks.check_all([CPU]))
    for engine in ("compiled plain loop", "compiled stack"):
        check = found[engine, "cpu", "float32"]
        if check.skipped:
            pytest.skip(check.skipped)
        assert not check.wrong
