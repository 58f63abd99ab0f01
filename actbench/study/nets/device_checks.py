"""Whether each engine computes on each device what the plain loop does on the CPU."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch
import xarray as xr
from torch import Tensor

from actbench import claims
from actbench.claims.claim import Claim
from actbench.claims.verdicts import judge
from actbench.store.environment import Stopwatch, cpu_model, synchronizer
from actbench.store.parallel import side_by_side
from actbench.store.studies import FIRST_SEED
from actbench.study.catalog import targets
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.engines import (
    POINTS,
    CompiledLoop,
    CompiledStackOf,
    Engine,
    PlainLoop,
    StackOf,
)
from actbench.tracking.drift.distributions import LAST_DIGIT_UNITS

ACTIVATION = "gelu"
"""Smooth: at ReLU's kink one rounding can take a whole point out of a gradient."""

MEMBERS = 20
TOLERANCE_UNITS = LAST_DIGIT_UNITS
"""Up to here an engine computes what the CPU's plain loop does, in units in the last place of the
largest of all members' gradients in a layer, or of the loss."""

_REPEATS = 3
_ROUNDS = 5
_EPOCHS = {"loop": 20, "stack": 5}
_LOOP, _STACK = "plain loop", "stack"
ENGINES = (_LOOP, _STACK, f"compiled {_LOOP}", f"compiled {_STACK}")

_Result = tuple[Tensor, list[Tensor]]


@dataclass(frozen=True)
class Place:
    """A device that is present.

    Args:
        device: As torch names it.
        name: Of the processor or the card.
        free_bytes: Of its memory; ``None`` where it tells nothing.
        total_bytes: As ``free_bytes``.
    """

    device: str
    name: str
    free_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True)
class Check:
    """What one engine did on one device.

    Args:
        engine: One of ``ENGINES``.
        device: As torch names it.
        dtype: ``"float32"`` or ``"float64"``.
        units: Largest distance from the plain loop on the CPU, as ``TOLERANCE_UNITS`` has it.
        relative: The same as a share of the largest.
        same_bits: Whether losses and gradients are the same bits each time.
        duration_s: Of an epoch of one member, the median of five rounds.
        first_s: Until the first gradients are there, compilation included.
        beside_cpu: ``duration_s`` over that of the CPU's plain loop in this dtype.
        skipped: Why there is nothing of all this; empty where there is.
    """

    engine: str
    device: str
    dtype: str
    units: float | None = None
    relative: float | None = None
    same_bits: bool | None = None
    duration_s: float | None = None
    first_s: float | None = None
    beside_cpu: float | None = None
    skipped: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it computed something else, or could not compute what any device must."""
        if self.units is None:
            return self.engine in (_LOOP, _STACK) and self.dtype == "float32"
        return not self.units <= TOLERANCE_UNITS


def present() -> list[torch.device]:
    """List every device that can be used here, each card of an accelerator too."""
    found = []
    for kind in devices.available():
        many = kind not in ("cpu", "mps")
        numbers = range(torch.accelerator.device_count()) if many else [None]
        found += [torch.device(kind) if n is None else torch.device(kind, n) for n in numbers]
    return found


def describe(device: torch.device) -> Place:
    """Name a device, and say how much of its memory is free."""
    if device.type == "cpu":
        memory = psutil.virtual_memory()
        return Place(str(device), cpu_model(), memory.available, memory.total)
    module: Any = torch.get_device_module(device)
    name, free, total = device.type, None, None
    with suppress(Exception):
        name = module.get_device_name(device)
    with suppress(Exception):
        if device.type == "mps":
            total = module.recommended_max_memory()
            free = total - module.driver_allocated_memory()
        else:
            free, total = module.mem_get_info(device)
    return Place(str(device), name, free, total)


def steps(places: Sequence[torch.device]) -> int:
    """Return how many checks ``check_all`` makes."""
    return (len(ENGINES) + len(ENGINES[:2])) * len(places)


@pinned_state()
def check_all(
    places: Sequence[torch.device], progress: Callable[[int], None] = lambda done: None
) -> list[Check]:
    """Check every engine on every device, the CPU on one thread.

    Twenty GELU networks of the study go forward and back once, in float32 and float64; under
    ``torch.compile`` in float32 alone, since each dtype is another compilation.
    """
    found: list[Check] = []
    cpu = torch.device("cpu")
    with devices.using_threads(1):
        for dtype in ("float32", "float64"):
            references = [PlainLoop(ACTIVATION, cpu, dtype, s) for s in seeds()]
            reference = _joined([loop.differentiate() for loop in references])
            beside: float | None = None
            for device in places:
                for engine in ENGINES if dtype == "float32" else ENGINES[:2]:
                    made = _checked(engine, device, dtype, reference)
                    beside = made.duration_s if beside is None else beside
                    if made.duration_s is not None and beside is not None:
                        made = replace(made, beside_cpu=made.duration_s / beside)
                    found.append(made)
                    progress(1)
    order = [str(place) for place in places]
    return sorted(found, key=lambda c: (order.index(c.device), ENGINES.index(c.engine)))


def seeds() -> range:
    """Return the seeds of the members."""
    return range(FIRST_SEED, FIRST_SEED + MEMBERS)


def build(
    engine: str, activation: str, device: torch.device, dtype: str, members: Sequence[int]
) -> list[Engine]:
    """Build an engine: a loop for each member, or one stack."""
    compiled = engine.startswith("compiled")
    if engine.endswith(_LOOP):
        loop = CompiledLoop if compiled else PlainLoop
        return [loop(activation, device, dtype, seed) for seed in members]
    stack = CompiledStackOf if compiled else StackOf
    return [stack(len(members), activation, device, dtype)]


def _checked(engine: str, device: torch.device, dtype: str, reference: _Result) -> Check:
    place = Check(engine, str(device), dtype)
    watch = Stopwatch(synchronizer(device))
    results: list[_Result] = []
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch's compiler
            built = build(engine, ACTIVATION, device, dtype, seeds())
            first_s = watch.time(lambda: results.append(_differentiated(built)))
            results += [_differentiated(built) for _ in range(_REPEATS - 1)]
            duration_s = _duration(built[0], engine, watch)
    except Exception as error:  # a missing compiler, no float64, or whatever else a device lacks
        line = " ".join(f"{type(error).__name__}: {error}".partition("\n")[0].split())
        return replace(place, skipped=line[:200])
    units, relative = _apart(results[0], reference)
    same = all(_same(results[0], other) for other in results[1:])
    return replace(
        place,
        units=units,
        relative=relative,
        same_bits=same,
        duration_s=duration_s,
        first_s=first_s,
    )


def _duration(engine: Engine, name: str, watch: Stopwatch) -> float:
    loop = name.endswith(_LOOP)
    epochs = _EPOCHS["loop" if loop else "stack"]
    engine.train(1)
    watch.units = epochs * (1 if loop else MEMBERS)
    return statistics.median(watch.time(lambda: engine.train(epochs)) for _ in range(_ROUNDS))


def _differentiated(built: Sequence[Engine]) -> _Result:
    losses, layers = _joined([engine.differentiate() for engine in built])
    return losses.cpu().clone(), [layer.cpu().clone() for layer in layers]


def _joined(results: Sequence[_Result]) -> _Result:
    losses, layers = zip(*results, strict=True)
    return torch.cat(losses), [torch.cat(layer) for layer in zip(*layers, strict=True)]


def _apart(one: _Result, other: _Result) -> tuple[float, float]:
    """Return the largest distance in units in the last place, and as a share."""
    worst_units = worst_share = 0.0
    for mine, theirs in zip((one[0], *one[1]), (other[0], *other[1]), strict=True):
        distance = float((mine.double() - theirs.double()).abs().max())
        largest = theirs.abs().max().numpy()
        if not np.isfinite(distance):
            return float("inf"), float("inf")
        worst_units = max(worst_units, distance / float(np.spacing(largest)))
        worst_share = max(worst_share, distance / float(largest))
    return worst_units, worst_share


def _same(one: _Result, other: _Result) -> bool:
    pairs = zip((one[0], *one[1]), (other[0], *other[1]), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


_PROTOCOL = "stated"
_METRICS = {"final_mse", "final_mse_ratio", "final_mse_over_noise"}
_UPDATES = 500


@dataclass(frozen=True)
class Held:
    """Verdicts on the claims under one engine on one device, or why there are none."""

    engine: str
    device: str
    claims: int = 0
    expected: int = 0
    others: tuple[str, ...] = ()
    duration_s: float | None = None
    skipped: str = ""


def asked() -> list[Claim]:
    """List the claims of the protocol ``stated`` that final losses decide."""
    found = [claim for claim in claims.published().claim if claim.protocol == _PROTOCOL]
    return [claim for claim in found if claim.metric.get("name") in _METRICS]


@pinned_state()
def judge_all(
    checks: Sequence[Check],
    most_s: float = 60,
    seeds: int = 16,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Held]:
    """Train the study's networks by each engine on each device, and judge the claims."""
    found = []
    for check in checks:
        if check.dtype == "float32":
            found.append(_held(check, most_s, seeds))
            progress(1)
    return found


def _held(check: Check, most_s: float, seeds: int) -> Held:
    if check.duration_s is None or check.first_s is None:
        return Held(check.engine, check.device, skipped=check.skipped)
    keys = sorted(
        {str(c.metric[k]) for c in asked() for k in ("activation", "over") if k in c.metric}
    )
    compiled = check.engine.startswith("compiled")
    # Copies of a process share neither an accelerator nor what the compiler has made.
    workers = 1 if compiled or check.device != "cpu" else devices.default_threads()
    takes_s = check.duration_s * _UPDATES * seeds * len(keys) / workers
    takes_s += check.first_s * (len(keys) - 1) if compiled else 0
    if takes_s > most_s:
        return Held(check.engine, check.device, skipped=f"takes about {takes_s:.0f} s")
    members = range(FIRST_SEED, FIRST_SEED + seeds)
    cut = [[seed] for seed in members] if check.engine.endswith("loop") else [list(members)]
    cases = [(key, part) for key in keys for part in cut]
    started = time.perf_counter()
    jobs = [partial(_final_losses, check.engine, torch.device(check.device), *c) for c in cases]
    with devices.using_threads(1), warnings.catch_warnings(action="ignore"):
        losses = np.concatenate(side_by_side(jobs, lambda done: None, workers))
    return _judged(check, keys, losses.reshape(len(keys), seeds), time.perf_counter() - started)


def _final_losses(
    engine: str,
    device: torch.device,
    activation: str,
    members: Sequence[int],
    progress: Callable[[int], None],  # noqa: ARG001 - every job is given one
) -> np.ndarray:
    built = build(engine, activation, device, "float32", members)
    # The loss before one more update is that after all of them.
    return torch.cat([one.train(_UPDATES + 1) for one in built]).cpu().numpy()


def _judged(check: Check, keys: list[str], losses: np.ndarray, duration_s: float) -> Held:
    target = targets.noisy_sine(POINTS)
    dataset = xr.Dataset(
        {
            "final_mse": (("activation", "seed"), losses),
            "target_noisy": ("point", target.noisy),
            "target_clean": ("point", target.clean),
        },
        {"activation": keys},
    )
    file = claims.published()
    judged = [judge(claim, dataset, file.level(claim)) for claim in asked()]
    others = [j for j in judged if j.verdict != j.claim.expected]
    return Held(
        check.engine,
        check.device,
        claims=len(judged),
        expected=len(judged) - len(others),
        others=tuple(f"{j.claim.id}: {j.verdict}" for j in others),
        duration_s=duration_s,
    )
