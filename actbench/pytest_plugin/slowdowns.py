"""Whether a benchmark became slower, judged relative to controls that were timed beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import Any, TypeAlias

from actbench.statistics import noise_of_median

Timer: TypeAlias = Callable[[], float]
Control: TypeAlias = Callable[[Timer], float]
"""Work that is always the same: given the benchmark's timer, does it and returns the seconds."""

_BLOCKS = 10
_NOTCH = 1.57
_RELATIVE = "relative_to_"
_BYTES = bytes(1 << 20)


def _loop(timer: Timer) -> float:
    start, total = timer(), 0
    for number in range(40_000):
        total += number & 7
    return timer() - start


def _hash(timer: Timer) -> float:
    start = timer()
    hashlib.sha256(_BYTES).digest()
    return timer() - start


CONTROLS: Mapping[str, Control] = MappingProxyType({"python": _loop, "hash": _hash})
"""What is timed beside benchmarks that bring no controls: Python's own loop, and compiled code."""


def relative(
    seconds: Sequence[float], control: Sequence[float], paired: bool
) -> tuple[float, float] | None:
    """Compare times with those of a control that was timed beside them.

    Args:
        seconds: One per round.
        control: Of the control.
        paired: Whether both were timed in the same rounds, one of each in each round.

    Returns:
        The ratio, by medians, and its noise as a share of it; none where the clock was too coarse
        to see one of them.
    """
    if not (seconds and control and min(*control, median(seconds)) > 0):
        return None
    if paired:
        ratios = [s / c for s, c in zip(seconds, control, strict=True)]
        return median(ratios), noise_of_median(ratios)
    # Rounds in a row are slow together, so a thousand of them do not know more than ten blocks.
    count = min(_BLOCKS, len(seconds))
    cuts = [len(seconds) * number // count for number in range(count + 1)]
    blocks = [median(seconds[a:b]) for a, b in pairwise(cuts)]
    noise = math.hypot(noise_of_median(blocks), noise_of_median(control))
    return median(seconds) / median(control), noise


def numbers(
    seconds: Sequence[float], times: Mapping[str, Sequence[float]], paired: bool
) -> dict[str, float]:
    """Say how a benchmark relates to its controls, for its ``extra_info``.

    Args:
        seconds: One per round.
        times: Of each control.
        paired: As in ``relative``.

    Returns:
        Per control the ratio, its noise, and the control's own median in seconds.
    """
    found = {}
    for name, control in times.items():
        compared = relative(seconds, control, paired)
        if compared is not None:
            found[f"{_RELATIVE}{name}"], found[f"noise_to_{name}"] = compared
            found[f"{name}_seconds"] = median(control)
    return found


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

    Args:
        now: Its ``extra_info``.
        then: The stored ``extra_info``.
        max_slowdown: The largest factor that passes if nothing were noisy; each comparison is
            widened by the noise of both medians.

    Returns:
        The comparison that decides; none where no control is in both.
    """
    found = []
    for name in now:
        if name.startswith(_RELATIVE) and now[name] and then.get(name):
            control = name.removeprefix(_RELATIVE)
            noises = (info.get(f"noise_to_{control}", 0.0) for info in (now, then))
            limit = max_slowdown * (1 + math.hypot(*noises))
            found.append(Slowdown(control, now[name] / then[name], limit))
    return min(found, key=lambda s: s.factor / s.limit, default=None)


def slowdown_in_seconds(
    now: Mapping[str, Any], then: Mapping[str, Any], noise: float, max_slowdown: float
) -> Slowdown | None:
    """Compare seconds, where the stored run has no controls.

    Args:
        now: pytest-benchmark's statistics.
        then: The stored ones.
        noise: Of the controls that were timed now.
        max_slowdown: As in ``slowdown``.

    Returns:
        The comparison: by medians, or by the fastest rounds if these excuse more; none where the
        clock saw nothing.
    """
    if not all(times[name] > 0 for times in (now, then) for name in ("median", "min")):
        return None
    spread = (
        _NOTCH * times["iqr"] / math.sqrt(min(times["rounds"], _BLOCKS)) / times["median"]
        for times in (now, then)
    )
    factor = min(now[name] / then[name] for name in ("median", "min"))
    return Slowdown(None, factor, max_slowdown * (1 + math.hypot(noise, *spread)))
