"""Targets of one's own: functions of a NumPy array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actbench import targets
from actbench.errors import ActbenchError
from actbench.own.calling import called
from actbench.own.loading import load
from actbench.targets import TargetFunction


def target(given: str) -> TargetFunction:
    """Return a built-in target, or load, check and register one of the user's."""
    if given in targets.TARGETS:
        return targets.get(given)
    loaded = load("target", given, targets.TARGETS)
    x = np.linspace(-np.pi, np.pi, 200)
    values = [called(loaded, x.copy()) for _ in range(2)]
    if not all(isinstance(v, np.ndarray) and v.shape == x.shape for v in values):
        shown = getattr(values[0], "shape", type(values[0]).__name__)
        raise ActbenchError(
            f"{given} returns {shown} for an array of shape (200,); return a NumPy array with one "
            "number per input"
        )
    if not np.isfinite(values[0]).all():
        raise ActbenchError(f"{given} returns numbers that are not finite on [-pi, pi]; mend it")
    if not np.array_equal(*values):
        raise ActbenchError(f"{given} is not deterministic; leave the noise to actbench")
    if np.ptp(values[0]) == 0:
        raise ActbenchError(f"{given} is constant on [-pi, pi]; there is nothing to learn")

    def function(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(loaded.thing(at), dtype=np.float64)

    found = TargetFunction(
        given, loaded.name, loaded.summary or "(no docstring)", function, source=loaded.source
    )
    targets.register(found)
    return found
