"""The map of stability shows every outcome in its cell, and the border where it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import in_pixels, line, panel, words
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from actbench.study.experiments.stability import OUTCOMES
from actbench.study.experiments.stability.figures import OUTCOME_COLORS, exp3_stability

DIMS = ("activation", "skip", "depth", "learning_rate", "seed")
RATES = (1e-4, 1e-3, 0.01, 1.0)


def dataset(
    *,
    activations: tuple[str, ...] = ("sigmoid", "relu"),
    skip: tuple[int, ...] = (0, 1),
    depths: tuple[int, ...] = (5, 50),
    rates: tuple[float, ...] = RATES,
    seeds: int = 2,
) -> xr.Dataset:
    """A plausible outcome of `stability`, drawn at random."""
    rng = np.random.default_rng(8)
    shape = (len(activations), len(skip), len(depths), len(rates), seeds)
    return xr.Dataset(
        {
            "outcome": (DIMS, rng.choice(OUTCOMES, shape)),
            "loss_peak": (DIMS, 10 ** rng.uniform(0, 4, shape)),
            "target_noisy": ("x", rng.normal(size=16)),
        },
        coords={
            "activation": list(activations),
            "skip": list(skip),
            "depth": list(depths),
            "learning_rate": list(rates),
            "seed": 42 + np.arange(seeds),
            "epoch": range(30),
        },
    )


@pytest.fixture
def ds() -> xr.Dataset:
    """Two activations, two depths, four learning rates, two seeds."""
    return dataset()


def shown(axes: Axes) -> npt.NDArray[np.str_]:
    """The outcome that each place of a panel has the color of, rows x (learning rate, seed)."""
    (image,) = axes.images
    values = np.asarray(image.get_array())
    colors = np.asarray(image.cmap(image.norm(values)))
    named = {color.lower(): key for key, color in OUTCOME_COLORS.items()}
    keys = [named[to_hex(tuple(color))] for color in colors.reshape(-1, 4).tolist()]
    return np.array(keys).reshape(values.shape)


def border(axes: Axes, block: int) -> list[float]:
    """Where the border stands in each row of a block of depths."""
    across = [float(place) for place in np.asarray(line(axes, f"border-{block}").get_xdata())]
    assert across[::2] == across[1::2]
    return across[::2]


def test_every_outcome_has_a_color_from_best_to_worst() -> None:
    """The figure and the experiment agree on what can become of a training."""
    assert tuple(OUTCOME_COLORS) == OUTCOMES
    assert len(set(OUTCOME_COLORS.values())) == len(OUTCOMES)


def test_every_cell_shows_its_seeds_the_best_first(ds: xr.Dataset) -> None:
    """Rows are depths, plain networks above those with skips; columns are learning rates."""
    axes = panel(exp3_stability(ds), "ReLU")
    found = shown(axes)
    assert found.shape == (4, 8)
    for row, (how, depth) in enumerate([(0, 5), (0, 50), (1, 5), (1, 50)]):
        for column, rate in enumerate(RATES):
            cell = ds["outcome"].sel(activation="relu", skip=how, depth=depth, learning_rate=rate)
            expected = sorted(cell.values.tolist(), key=OUTCOMES.index)
            assert found[row, 2 * column : 2 * column + 2].tolist() == expected
    assert [text.get_text() for text in axes.get_yticklabels()] == ["5", "50", "5", "50"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01", "1"]
    left, right = axes.get_xlim()
    top, bottom = axes.get_ylim()[::-1]
    assert (left, right, top, bottom) == (-0.5, 3.5, -0.5, 3.5)


def test_labels_end_at_the_centers_of_their_cells(ds: xr.Dataset) -> None:
    """A tick marks each center, and a slanted label neither passes it nor is another's."""
    figure = exp3_stability(ds)
    in_pixels(figure)
    axes = panel(figure, "ReLU")
    centers = axes.transData.transform([(place, 0) for place in range(len(RATES))])[:, 0]
    cell = centers[1] - centers[0]
    for tick, center in zip(axes.xaxis.get_major_ticks(), centers, strict=True):
        assert tick.tick1line.get_markersize() > 0
        assert abs(tick.label1.get_window_extent().x1 - center) < cell / 2


def test_the_order_of_dimensions_does_not_matter(ds: xr.Dataset) -> None:
    """What is drawn depends on labels, not on how the array lies."""
    turned = ds.assign({name: ds[name].transpose(*DIMS[::-1]) for name in ("outcome", "loss_peak")})
    expected, found = exp3_stability(ds), exp3_stability(turned)
    for name in ("Sigmoid", "ReLU"):
        np.testing.assert_array_equal(shown(panel(found, name)), shown(panel(expected, name)))


def test_the_border_is_right_of_the_largest_rate_at_which_most_seeds_converge() -> None:
    """A half is not most, gaps below do not count, and without any the line is at the left."""
    ds = dataset(activations=("relu",), depths=(5, 10, 20))
    ds["outcome"][:] = "unstable"
    ds["outcome"].loc[{"skip": 0, "depth": 5, "learning_rate": [1e-4, 0.01]}] = "converged"
    ds["outcome"].loc[{"skip": 0, "depth": 10, "learning_rate": [1e-4, 1e-3]}] = "converged"
    ds["outcome"].loc[{"skip": 0, "depth": 10, "learning_rate": 1.0, "seed": 42}] = "converged"
    ds["outcome"].loc[{"skip": 1, "depth": 20}] = "converged"
    axes = panel(exp3_stability(ds), "ReLU")
    assert border(axes, 0) == [2.5, 1.5, -0.5]
    assert border(axes, 3) == [-0.5, -0.5, 3.5]


def test_convergence_after_a_large_rise_is_marked(ds: xr.Dataset) -> None:
    """A dot stands in the part of a seed that converged after its loss had blown up, no other."""
    ds["outcome"][:] = "converged"
    ds["loss_peak"][:] = 100.0
    ds["loss_peak"].loc[
        {"activation": "relu", "skip": 1, "depth": 5, "learning_rate": 0.01, "seed": 42}
    ] = 101.0
    ds["outcome"].loc[{"activation": "relu", "skip": 0, "depth": 5}] = "stuck"
    ds["loss_peak"].loc[{"activation": "relu", "skip": 0, "depth": 5}] = 1e9
    dots = line(panel(exp3_stability(ds), "ReLU"), "blown-up")
    # The worse of two seeds is the right half of its cell: 2 + 1/4.
    assert np.asarray(dots.get_xdata()).tolist() == [2.25]
    assert np.asarray(dots.get_ydata()).tolist() == [2]


def test_the_figure_says_protocol_and_meaning(ds: xr.Dataset) -> None:
    """Epochs, points, seeds and what each color means can be read."""
    text = words(exp3_stability(ds))
    assert "30 epochs on 16 points of the noisy sine, 2 seeds in each cell" in text
    assert "stuck: no better than a constant, in 30 epochs" in text
    assert "the largest rate at which most seeds converge" in text
    assert "plain, depth" in text
    assert "with skips, depth" in text


def test_one_seed_is_named() -> None:
    """A single seed is no statistics, and is called by its number."""
    text = words(exp3_stability(dataset(seeds=1)))
    assert "noisy sine, seed 42" in text
    assert "the largest rate at which the network converges" in text


@pytest.mark.parametrize(
    "made",
    [
        dataset(activations=("relu",), skip=(1,), depths=(5,), rates=(0.1,), seeds=1),
        dataset(activations=("_mine$", "\u6f22\u5b57:fn"), skip=(0,), seeds=5),
        dataset(activations=("tanh", "relu"), depths=(5, 10, 20, 50)),
    ],
    ids=["smallest", "odd names", "many"],
)
def test_draws_every_shape_without_overlap(made: xr.Dataset) -> None:
    """From one of everything to many, no title or tick label lies on another panel."""
    made["loss_peak"][:] = np.nan
    figure = exp3_stability(made)
    in_pixels(figure)
    drawn = [axes for axes in figure.axes if axes.images]
    for axes in drawn:
        for other in drawn:
            if other is not axes:
                below = axes.get_tightbbox()
                assert below is not None
                assert not below.overlaps(other.get_window_extent())
