"""Pictures of a history: verdicts, margins, numeric drift, speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actbench.history.drawing.drift import history_drift
from actbench.history.drawing.margins import history_margins
from actbench.history.drawing.speed import history_speed
from actbench.history.drawing.verdicts import history_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from actbench.history import History

__all__ = ["FIGURES", "history_drift", "history_margins", "history_speed", "history_verdicts"]

FIGURES: Final[Mapping[str, Callable[[History], Figure]]] = {
    "history_verdicts": history_verdicts,
    "history_margins": history_margins,
    "history_drift": history_drift,
    "history_speed": history_speed,
}
"""Figure name to the function that draws it."""
