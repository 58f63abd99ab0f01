"""Whether each engine on each device computes what the plain loop does on the CPU, how fast."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from actbench import devices
from actbench.drift.levels import LAST_DIGIT_UNITS
from actbench.engines import CompiledLoop, CompiledStackOf, Engine, PlainLoop, StackOf
from actbench.environment import cpu_model
from actbench.seeds import FIRST_SEED
from actbench.stopwatch import Stopwatch, synchronizer
from actbench.torch_state import pinned_state

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
