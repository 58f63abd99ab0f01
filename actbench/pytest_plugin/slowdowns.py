"""Whether a benchmark became slower, judged relative to controls that were timed beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Any, TypeAlias

from actbench.claims.statistics import noise_of_median

Timer: TypeAlias = Callable[[], float]
Control: TypeAlias = Callable[[Timer], float]
"""Work that is always the same: given the benchmark's timer, does it and returns the seconds."""

_TIMES_NOISE = 2
_RELATIVE = "relative_to_"
_BYTES = bytes(1 << 20)


def _loop(timer: Timer) -> float:
    start, total = timer(), 0
    for number in range(10_000):
        total += number & 7
    return timer() - start


def _hash(timer: Timer) -> float:
    start = timer()
    hashlib.sha256(_BYTES).digest()
    return timer() - start


CONTROLS: Mapping[str, Control] = MappingProxyType({"python": _loop, "hash": _hash})
"""What is timed beside benchmarks that bring no controls: Python's own loop, and compiled code."""


def _fastest(seconds: Sequence[float]) -> tuple[float, float]:
    """Find the least time, which other programs on the machine change least."""
    ordered = sorted(seconds)
    return ordered[0], ordered[max(1, len(ordered) // 10)] / ordered[0] - 1


def numbers(
    seconds: Sequence[float], times: Mapping[str, Sequence[float]], paired: bool
) -> dict[str, float]:
    """Say how a benchmark relates to its controls, for its ``extra_info``."""
    found: dict[str, float] = {}
    for name, control in times.items():
        if not min(*seconds, *control) > 0:
            continue
        if paired:
            ratios = [s / c for s, c in zip(seconds, control, strict=True)]
            ratio, noise, own = median(ratios), noise_of_median(ratios), median(control)
        else:
            (least, noise_here), (own, noise_there) = _fastest(seconds), _fastest(control)
            ratio, noise = least / own, math.hypot(noise_here, noise_there)
        found |= {f"{_RELATIVE}{name}": ratio, f"noise_to_{name}": noise, f"{name}_seconds": own}
    return found


def least_noise(info: Mapping[str, Any]) -> float:
    """Return the noise relative to the quietest control."""
    return min((v for name, v in info.items() if name.startswith("noise_to_")), default=0.0)


@dataclass(frozen=True)
class Slowdown:
    """How much slower a benchmark is than a stored run.

    Args:
        control: What decides; none where seconds were compared.
        factor: Relative time now over relative time then.
        limit: The largest factor that passes.
    """

    control: str | None
    factor: float
    limit: float

    @property
    def fails(self) -> bool:
        """Whether it is slower than allowed."""
        return self.factor > self.limit


def slowdown(
    now: Mapping[str, Any], then: Mapping[str, Any], max_slowdown: float
) -> Slowdown | None:
    """Compare a benchmark with its stored self, relative to controls.

    Controls disagree where something else held up one of them; only what is slower than *every*
    control allows is the benchmark's own fault, so the control that excuses most decides.
    """
    found = []
    for name in now:
        if name.startswith(_RELATIVE) and now[name] and then.get(name):
            control = name.removeprefix(_RELATIVE)
            noises = (info.get(f"noise_to_{control}", 0.0) for info in (now, then))
            factor = now[name] / then[name]
            found.append(Slowdown(control, factor, _limit(max_slowdown, *noises)))
    # A control that is too noisy to tell would excuse everything.
    quiet = [s for s in found if s.limit <= max_slowdown]
    return min(quiet or found, key=lambda s: s.factor / s.limit, default=None)


def slowdown_in_seconds(now: float, then: float, noise: float, max_slowdown: float) -> Slowdown:
    """Compare seconds, where the stored run has no controls."""
    return Slowdown(None, now / then, _limit(max_slowdown, noise, noise))


def _limit(max_slowdown: float, *noises: float) -> float:
    return max(max_slowdown, 1 + _TIMES_NOISE * math.hypot(*noises))
