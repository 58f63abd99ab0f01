"""The command that looks at this machine and its devices: doctor."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench import __version__
from actbench.cli.options import EXIT_CHANGED, Out, Quiet, Short, interruptible, require_form
from actbench.store import terminal
from actbench.store.environment import arithmetic, cpu_model
from actbench.store.errors import DISTRIBUTION, ActbenchError, packages_missing
from actbench.store.files import prepare_folder, strict_json

if TYPE_CHECKING:
    from actbench.study.nets.device_checks import Check, Held, Place

_NEEDED_FREE_BYTES = 500 * 10**6
_BUSY_LOAD_SHARE = 0.5
_HEADING = ("engine", "device", "dtype", "agrees to", "same bits", "ms per epoch", "x CPU's loop")
_CLAIMS_HEADING = ("engine", "device", "claims as expected", "seconds")


def doctor(
    out: Out = Path("results"),
    form: Short = "table",
    devices: Annotated[
        bool,
        typer.Option("--devices", help="Check what each device and engine computes instead."),
    ] = False,
    claims: Annotated[
        bool,
        typer.Option("--claims", help="With --devices, judge claims under each of them too."),
    ] = False,
    limit: Annotated[
        float, typer.Option(help="Seconds that --claims may take for one engine.", min=1)
    ] = 60,
    quiet: Quiet = False,
) -> None:
    """Say what this machine has, what would be slow or missing, and how to get it.

    With --devices, every device that is present is checked against the plain loop on the CPU:
    losses and gradients of twenty networks by the plain loop, by a stack, and by torch.compile of
    each, whether they are the same bits each time, seconds per epoch, and free memory. With
    --claims too, the study's networks are trained by each, and the claims about their final losses
    judged on 16 seeds.

    Exit code with --devices: 1 if something is computed wrongly, 0 even where something is missing
    or 16 seeds leave a claim undecided.
    """
    with interruptible():
        require_form(form, ("table", "json"))
        if claims and not devices:
            raise ActbenchError("--claims judges what --devices checks; give both")
        good = _devices(form, limit if claims else None, quiet) if devices else _machine(out, form)
    if not good:
        raise typer.Exit(EXIT_CHANGED)


def _machine(out: Path, form: str) -> bool:
    findings = examine(out)
    if form == "json":
        terminal.say(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    for finding in findings if form == "table" else ():
        terminal.say(f"{'ok  ' if finding.good else 'look'} {finding.text}")
    return all(finding.good for finding in findings)


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

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
    import psutil

    cores = os.cpu_count() or 1
    load = psutil.getloadavg()[0]
    text = f"load {load:.1f} on {cores} cores"
    if load > _BUSY_LOAD_SHARE * cores:
        return Finding(False, f"{text}: other work shares them, timings will be long and noisy")
    return Finding(True, text)


def _memory() -> Finding:
    import psutil

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


def _devices(form: str, most_s: float | None, quiet: bool) -> bool:
    from actbench.cli.console import progress_bar
    from actbench.study.nets import device_checks

    bar = terminal.screen(stderr=True, quiet=quiet)
    there = device_checks.present()
    places = [device_checks.describe(device) for device in there]
    with progress_bar(bar, "devices", device_checks.steps(there)) as progress:
        checks = device_checks.check_all(there, progress)
    held: list[Held] = []
    if most_s is not None:
        with progress_bar(bar, "claims", len(there) * len(device_checks.ENGINES)) as progress:
            held = device_checks.judge_all(checks, most_s, progress=progress)
    if form == "json":
        told = {
            "tolerance_units": device_checks.TOLERANCE_UNITS,
            "devices": [dataclasses.asdict(place) for place in places],
            "checks": [{**dataclasses.asdict(check), "wrong": check.wrong} for check in checks],
            "claims": [dataclasses.asdict(one) for one in held],
        }
        terminal.say(strict_json(told))
    else:
        _tell(places, checks, held, device_checks.TOLERANCE_UNITS)
    return not any(check.wrong for check in checks)


def _tell(
    places: Sequence[Place], checks: Sequence[Check], held: Sequence[Held], tolerance: int
) -> None:
    for place in places:
        free = "free memory unknown"
        if place.free_bytes is not None and place.total_bytes is not None:
            free = f"{place.free_bytes / 1e9:.1f} of {place.total_bytes / 1e9:.1f} GB free"
        terminal.say(f"{place.device}: {place.name}, {free}")
    if len(places) == 1:
        terminal.say("no accelerator is present: the CPU alone is checked")
    terminal.say("")
    for line in _aligned(_HEADING, [_row(check) for check in checks]):
        terminal.say(line)
    terminal.say("")
    wrong = [f"{c.engine} on {c.device} in {c.dtype}" for c in checks if c.wrong]
    if wrong:
        terminal.say(f"look computed wrongly: {'; '.join(wrong)}")
    else:
        terminal.say(f"ok   each agrees with the CPU's plain loop to {tolerance} ulp")
    if held:
        terminal.say("")
        for line in _aligned(_CLAIMS_HEADING, [_claims_row(one) for one in held]):
            terminal.say(line)
    for one in held:
        for other in one.others:
            terminal.say(f"look {one.engine} on {one.device}: {other}")


def _row(check: Check) -> tuple[str, ...]:
    where = (check.engine, check.device, check.dtype)
    if check.units is None or check.duration_s is None:
        return (*where, f"skipped: {check.skipped}")
    beside = "" if check.beside_cpu is None else f"{check.beside_cpu:.2f}"
    same = "yes" if check.same_bits else "no"
    agrees = f"{check.units:.3g} ulp ({check.relative:.1e})"
    return (*where, agrees, same, f"{1000 * check.duration_s:.3g}", beside)


def _claims_row(one: Held) -> tuple[str, ...]:
    if one.duration_s is None:
        return one.engine, one.device, f"skipped: {one.skipped}"
    told = f"{one.expected} of {one.claims}"
    return one.engine, one.device, told, f"{one.duration_s:.0f}"


def _aligned(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lay out a table; a last cell may be longer than its column."""
    full = [heading, *(row for row in rows if len(row) == len(heading))]
    short = [row for row in rows if len(row) < len(heading)]
    widths = [max(len(row[i]) for row in full) for i in range(len(heading))]
    for row in short:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths[i], len(cell))
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in (heading, *rows)
    ]
