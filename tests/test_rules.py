"""The pictures of the rules show what an independent calculation gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from actbench.tracking import rules

ALPHA = 1e-4


@pytest.fixture(scope="module")
def panels() -> dict[str, Axes]:
    """Every panel but the last, which simulates for seconds, by its picture's name."""
    figure = Figure()
    drawn = {}
    for picture in rules.PICTURES[:-1]:
        drawn[picture.__name__.lstrip("_")] = axes = figure.add_subplot()
        picture(axes)
    return drawn


def curve(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    """Places and heights of a curve."""
    (line,) = (line for line in axes.lines if line.get_label() == label)
    xs, ys = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    return xs.tolist(), ys.tolist()


def test_a_median_is_decided_as_often_as_the_binomial_distribution_says(
    panels: dict[str, Axes],
) -> None:
    """At one look: the fewest agreeing runs whose tail at one half fits into half of alpha."""
    runs, shown = curve(panels["decisions"], "median, 95 % agree")
    for n, found in zip(runs, shown, strict=True):
        fits = np.flatnonzero(stats.binom.sf(np.arange(n + 1) - 1, n, 0.5) <= ALPHA / 2)
        expected = stats.binom.sf(fits[0] - 1, n, 0.95) if fits.size else 0.0
        assert found == pytest.approx(expected, abs=1e-12)


def test_every_panel_says_what_its_curves_are(panels: dict[str, Axes]) -> None:
    """Each has a title, both axes named, and a curve with a name."""
    assert len(rules.PICTURES) == 8
    for axes in panels.values():
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend_handles_labels()[1]


def test_the_published_run_stands_outside_of_where_one_more_would_lie(
    panels: dict[str, Axes],
) -> None:
    """What the page says of the main run is what its picture shows."""
    axes = panels["one_published"]
    (published,) = curve(axes, "published")[0][:1]
    assert all(value < published for value in curve(axes, "100 runs")[0])


def test_the_docs_show_the_picture_beside_its_command() -> None:
    """The page names the file that the command wrote."""
    page = Path(__file__).parents[1] / "docs" / "statistics.md"
    assert "(statistics.png)" in page.read_text(encoding="utf-8")
    assert page.with_suffix(".png").exists()
