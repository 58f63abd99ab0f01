"""What figures show, read off their artists, and figures in place of those that take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actbench.store.studies import Experiment


def lines(figure: Figure, gid: str) -> list[Line2D]:
    """Every line of a figure that goes by this name."""
    return [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]


def line(axes: Axes, gid: str) -> Line2D:
    """The one line of a panel that goes by this name."""
    (found,) = [each for each in axes.lines if each.get_gid() == gid]
    return found


def heights(drawn: Line2D) -> npt.NDArray[np.float64]:
    """The values that a line shows."""
    return np.asarray(drawn.get_ydata(), dtype=np.float64)


def panel(figure: Figure, title: str) -> Axes:
    """The one panel of this title."""
    (found,) = [axes for axes in figure.axes if axes.get_title() == title]
    return found


def words(figure: Figure) -> str:
    """Everything that can be read above, beside and in the panels and their legends, on a line."""
    texts = [figure.get_suptitle()]
    for axes in figure.axes:
        legend = axes.get_legend()
        notes = (*axes.texts, *(legend.get_texts() if legend else ()))
        texts += [axes.get_title(), axes.get_ylabel(), *(note.get_text() for note in notes)]
    return " ".join(" ".join(texts).split())


def in_pixels(figure: Figure, *, layout: bool = True) -> None:
    """Draw a figure, which is where unsuitable numbers make trouble."""
    if not layout:  # three quarters of the time, and the same for every content
        figure.set_layout_engine("none")
        for axes in figure.axes:
            axes._autotitlepos = False  # type: ignore[attr-defined]
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def draw_instead(
    monkeypatch: pytest.MonkeyPatch, key: str, drawn: Mapping[str, Any], kind: str = "FIGURES"
) -> None:
    """Have an experiment draw what is given."""
    before = Experiment.drawn

    def drawing(self: Experiment, asked: str = "FIGURES") -> Mapping[str, Any]:
        return drawn if (self.key, asked) == (key, kind) else before(self, asked)

    monkeypatch.setattr(Experiment, "drawn", drawing)
