"""The figures of capacity show the median of every network, its error, and the classical fits."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import in_pixels, line
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actbench.study.catalog.targets import TARGETS
from actbench.study.experiments.capacity import REFERENCES
from actbench.study.experiments.capacity.figures import (
    FIGURES,
    exp4_predictions,
    exp4_representational_heatmap,
)

BY_MEMBER = ("activation", "target", "depth", "seed")
Draw = Callable[[xr.Dataset], Figure]


def dataset(
    *,
    activations: tuple[str, ...] = ("sigmoid", "relu"),
    targets: tuple[str, ...] = ("step", "sine"),
    depths: tuple[int, ...] = (2, 10),
    seeds: int = 3,
    points: int = 40,
) -> xr.Dataset:
    """A plausible outcome of `capacity`, made without training anything."""
    rng = np.random.default_rng(2)
    x = np.linspace(-np.pi, np.pi, points)
    clean = np.stack([TARGETS[key].function(x) if key in TARGETS else x for key in targets])
    shape = (len(activations), len(targets), len(depths), seeds)
    prediction = clean[None, :, None, None] + 0.3 * rng.normal(size=(*shape, 1))
    fits = np.stack([clean] * len(REFERENCES))
    return xr.Dataset(
        {
            "prediction": ((*BY_MEMBER, "x"), prediction),
            "final_mse_clean": (BY_MEMBER, 10 ** rng.uniform(-4, 0, shape)),
            "diverged": (BY_MEMBER, np.full(shape, -1)),
            "target_noisy": (("target", "x"), clean + rng.normal(0, 0.1, clean.shape)),
            "target_clean": (("target", "x"), clean),
            "reference_prediction": (("reference", "target", "x"), fits),
            "reference_mse_clean": (
                ("reference", "target"),
                10 ** rng.uniform(-4, 0, (len(REFERENCES), len(targets))),
            ),
            "width": ("depth", [64] * len(depths)),
            "parameters": ("depth", [37_633] * len(depths)),
        },
        coords={
            "activation": list(activations),
            "target": list(targets),
            "depth": list(depths),
            "seed": 42 + np.arange(seeds),
            "reference": list(REFERENCES),
            "x": x,
        },
        attrs={"protocol": json.dumps({"epochs": 321})},
    )


@pytest.fixture
def ds() -> xr.Dataset:
    """Two activations, two targets, two depths, three seeds."""
    return dataset()


def rows_of(figure: Figure, columns: int) -> list[list[Axes]]:
    """The panels of the predictions, row by row."""
    return [figure.axes[n : n + columns] for n in range(0, len(figure.axes), columns)]


def points_of(drawn: Line2D) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where a line runs."""
    return np.asarray(drawn.get_xdata(), float), np.asarray(drawn.get_ydata(), float)


def numbers(axes: Axes) -> list[str]:
    """What is written in the cells of a map, row by row."""
    return [text.get_text() for text in axes.texts]


def test_a_row_per_target_and_a_column_per_activation(ds: xr.Dataset) -> None:
    """Labels are where the functions are, with the classical fits on the right."""
    rows = rows_of(exp4_predictions(ds), 3)
    assert [axes.get_title() for axes in rows[0]] == ["Sigmoid", "ReLU", "points, classical fits"]
    assert [row[0].get_ylabel() for row in rows] == ["Step", "Sine"]


def test_every_line_is_the_median_of_its_seeds(ds: xr.Dataset) -> None:
    """Depths are told apart by color, and each line lies where the median function does."""
    rows = rows_of(exp4_predictions(ds), 3)
    for row, target in zip(rows, ("step", "sine"), strict=True):
        for axes, name in zip(row, ("sigmoid", "relu"), strict=False):
            assert line(axes, "depth-2").get_color() != line(axes, "depth-10").get_color()
            for depth in (2, 10):
                x, y = points_of(line(axes, f"depth-{depth}"))
                chosen = ds["prediction"].sel(activation=name, target=target, depth=depth)
                expected = np.interp(ds["x"], x, y)
                np.testing.assert_allclose(chosen.median("seed"), expected, atol=0.02)


def test_lines_keep_their_corners_and_drop_what_cannot_be_seen() -> None:
    """A kink stays where it is, and a straight piece needs its two ends alone."""
    ds = dataset(targets=("absolute_value",), points=201)
    (row,) = rows_of(exp4_predictions(ds), 3)
    x, y = points_of(line(row[0], "target"))
    np.testing.assert_allclose(x, [-np.pi, 0, np.pi], atol=1e-12)
    np.testing.assert_allclose(y, [1, -1, 1], atol=1e-12)


def test_classical_fits_and_points_are_in_the_last_column(ds: xr.Dataset) -> None:
    """Both smoothers, and all the points that everything was fitted to."""
    rows = rows_of(exp4_predictions(ds), 3)
    x, y = points_of(line(rows[1][-1], "noisy"))
    np.testing.assert_array_equal(x, ds["x"])
    np.testing.assert_array_equal(y, ds["target_noisy"].sel(target="sine"))
    for key in ("smoothing_spline", "kernel_ridge"):
        x, y = points_of(line(rows[1][-1], key))
        fit = ds["reference_prediction"].sel(reference=key, target="sine")
        np.testing.assert_allclose(np.interp(ds["x"], x, y), fit, atol=0.02)


def test_the_map_shows_percent_of_the_variance(ds: xr.Dataset) -> None:
    """Median over seeds against the clean target, one map per depth; references once, last."""
    ds["final_mse_clean"][0, 0, 0] = [0.25, 0.0, 1.0]  # sigmoid, step, depth 2
    ds["target_clean"][0] = np.where(np.arange(40) % 2, 2.0, -2.0)  # variance 4
    ds["reference_mse_clean"].loc[{"reference": "best_line", "target": "step"}] = 0.04
    figure = exp4_representational_heatmap(ds)
    shallow, deep, below = figure.axes[:3]
    assert shallow.get_title() == "2 x 64: 37,633 parameters"
    assert deep.get_title() == "10 x 64: 37,633 parameters"
    assert [axes.get_title() for axes in figure.axes].count(below.get_title()) == 1
    assert numbers(shallow)[0] == "6.2"
    assert [label.get_text() for label in shallow.get_yticklabels()] == ["Sigmoid", "ReLU"]
    assert [label.get_text() for label in below.get_xticklabels()] == ["Step", "Sine"]
    best_line = [label.get_text() for label in below.get_yticklabels()].index("Best line")
    assert numbers(below)[2 * best_line] == "1"
    (image,) = shallow.images
    assert np.asarray(image.get_array())[0, 0] == pytest.approx(6.25)


def test_all_maps_share_one_scale_of_colors(ds: xr.Dataset) -> None:
    """A color means the same error everywhere, and the bar says in which unit."""
    figure = exp4_representational_heatmap(ds)
    images = [axes.images[0] for axes in figure.axes[:3]]
    assert {image.get_clim() for image in images} == {(0.1, 100.0)}
    assert "% of the target's variance" in figure.axes[3].child_axes[0].get_xlabel()


def test_a_median_with_diverged_seeds_counts_them_as_worst(ds: xr.Dataset) -> None:
    """One of three lost leaves the worse of the others, two of three leave nothing to show."""
    ds["final_mse_clean"][0, 1, 0] = [np.nan, 0.001, 0.002]
    ds["final_mse_clean"][1, 1, 0] = [np.nan, np.inf, 0.002]
    variance = float(ds["target_clean"].sel(target="sine").var())
    shallow = exp4_representational_heatmap(ds).axes[0]
    found = np.asarray(shallow.images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
    assert found[0, 1] == pytest.approx(0.2 / variance)
    assert np.isnan(found[1, 1])
    assert numbers(shallow)[3] == "n.f."


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_the_figure_says_its_protocol(draw: Draw, ds: xr.Dataset) -> None:
    """Epochs, points, seeds and diverged networks can be read above."""
    ds["diverged"][0, 0, 0, :2] = 5
    title = " ".join(draw(ds.isel(activation=[0], target=[0])).get_suptitle().split())
    assert "321 epochs on 40 noisy points, median of 3 seeds" in title
    assert "2 of 6 networks diverged" in title
    alone = " ".join(draw(ds.isel(activation=[0], target=[1], seed=[2])).get_suptitle().split())
    assert "321 epochs on 40 noisy points, seed 44" in alone
    assert "diverged" not in alone


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize(
    "made",
    [
        dataset(activations=("relu",), targets=("sine",), depths=(2,), seeds=1),
        dataset(activations=("_mine$", "a" * 80), targets=("mine",), depths=(1, 2, 3), seeds=2),
    ],
    ids=["smallest", "odd names"],
)
def test_draws_every_shape(draw: Draw, made: xr.Dataset) -> None:
    """One of everything, unknown names and more depths work too, and titles keep inside."""
    made["diverged"][:] = 3
    figure = draw(made)
    in_pixels(figure)
    heading = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert heading.x0 >= 0
    assert heading.x1 <= figure.bbox.width


def test_lines_have_few_points() -> None:
    """Four waves of 200 points take a third of them, so that an SVG of 54 panels stays light."""
    (row,) = rows_of(exp4_predictions(dataset(targets=("fast_sine",), points=200)), 3)
    for axes in row[:2]:
        for gid in ("target", "depth-2", "depth-10"):
            assert 20 < len(points_of(line(axes, gid))[0]) < 70
