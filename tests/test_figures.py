"""What the figures show is what the dataset says, whatever the dataset holds."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import heights, in_pixels, lines, words
from matplotlib.colors import to_hex, to_rgb

from actbench.pages.colors import ACTIVATION_STYLES, style_of
from actbench.pages.saving import save
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study import figures
from actbench.study.experiments.sine_regression.figures import (
    FIGURES,
    gradient_flow,
    hidden_activations,
    learned_functions,
    loss_curves,
    summary_figure,
)

if TYPE_CHECKING:
    pass


NOISE = 0.1
NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks.md"
ALL = tuple(ACTIVATION_STYLES)


def dataset(
    *,
    activations: tuple[str, ...] = ("linear", "sigmoid", "relu"),
    seeds: int = 4,
    epochs: int = 12,
    depth: int = 3,
    width: int = 5,
    points: int = 40,
) -> xr.Dataset:
    """A plausible outcome of `sine-regression`, made without training anything."""
    rng = np.random.default_rng(1)
    x = np.linspace(-np.pi, np.pi, points)
    clean = np.sin(x)
    outcomes = (len(activations), seeds)
    recorded = [epoch for epoch in (0, 1, 10) if epoch < epochs]
    hidden = [layer for layer in (1, 2, 5) if layer <= depth]

    def positive(low: float, high: float, *sizes: int) -> npt.NDArray[np.float64]:
        return 10 ** rng.uniform(low, high, sizes)

    return xr.Dataset(
        {
            "loss": (("activation", "seed", "epoch"), positive(-2, 0, *outcomes, epochs)),
            "final_mse": (("activation", "seed"), positive(-2.2, -0.3, *outcomes)),
            "final_mse_clean": (("activation", "seed"), positive(-3, -0.3, *outcomes)),
            "gradient_magnitude": (
                ("activation", "seed", "recorded_epoch", "layer"),
                positive(-9, -1, *outcomes, len(recorded), depth + 1),
            ),
            "prediction": (
                ("activation", "seed", "x"),
                clean + rng.normal(0, 0.2, (*outcomes, points)),
            ),
            "hidden_activation": (
                ("activation", "hidden_layer", "x", "unit"),
                rng.normal(0, 1, (len(activations), len(hidden), points, width)),
            ),
            "diverged": (("activation", "seed"), np.full(outcomes, -1)),
            "target_noisy": ("x", clean + rng.normal(0, NOISE, points)),
            "target_clean": ("x", clean),
        },
        coords={
            "activation": list(activations),
            "seed": 42 + np.arange(seeds),
            "epoch": np.arange(epochs),
            "recorded_epoch": recorded,
            "layer": np.arange(1, depth + 2),
            "x": x,
            "hidden_layer": hidden,
        },
    )


@pytest.fixture
def ds() -> xr.Dataset:
    """Three activations, four seeds."""
    return dataset()


def expected_floors(ds: xr.Dataset) -> dict[str, float]:
    """The floors, by formulas other than those of the figures."""
    x, y = ds["x"].values, ds["target_noisy"].values
    correlation = np.corrcoef(x, y)[0, 1]
    return {
        "floor-best-constant": float(np.var(y)),
        "floor-best-line": float(np.var(y) * (1 - correlation**2)),
        "floor-noise-floor": float(np.mean((y - np.sin(x)) ** 2)),
    }


@pytest.mark.parametrize("gid", ["floor-best-constant", "floor-best-line", "floor-noise-floor"])
def test_floors_sit_at_their_closed_forms(ds: xr.Dataset, gid: str) -> None:
    """Each floor is drawn where an independent computation puts it, and its value is written."""
    figure = loss_curves(ds)
    (line,) = lines(figure, gid)
    value = expected_floors(ds)[gid]
    np.testing.assert_allclose(heights(line), value, rtol=1e-9)
    assert f"{gid.removeprefix('floor-').replace('-', ' ')} {value:.3g}" in words(figure)


def test_floors_against_the_clean_sine_judge_the_same_fits(ds: xr.Dataset) -> None:
    """The best constant was fitted to noisy points even where the clean sine judges it."""
    figure = summary_figure(ds)
    drawn = {float(np.mean(heights(line))) for line in lines(figure, "floor-best-constant")}
    mean = float(ds["target_noisy"].mean())
    noisy = float(ds["target_noisy"].var())
    clean = float(((ds["target_clean"] - mean) ** 2).mean())
    assert sorted(drawn) == pytest.approx(sorted({noisy, clean}))
    assert len(lines(figure, "floor-noise-floor")) == 2


def test_labels_of_equal_floors_do_not_cover_each_other(ds: xr.Dataset) -> None:
    """On a target without a trend the best line is the best constant; both can be read."""
    ds["target_noisy"] = np.cos(ds["x"]) + 0 * ds["target_noisy"]
    figure = loss_curves(ds)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_curves_are_medians_over_seeds(ds: xr.Dataset) -> None:
    """The line of an activation is the median seed, epoch by epoch."""
    (line,) = lines(loss_curves(ds), "loss-sigmoid")
    median = ds["loss"].sel(activation="sigmoid").median("seed")
    np.testing.assert_allclose(heights(line), median)


def test_seeds_are_stated(ds: xr.Dataset) -> None:
    """A reader learns how many seeds are behind a band, or which one behind a line."""
    note = "median and 2.5\u201397.5 % of 4 seeds"
    one = ds.isel(seed=[1])
    for draw in (learned_functions, loss_curves, gradient_flow, summary_figure):
        assert note in words(draw(ds))
        assert "seed 43" in words(draw(one))
    assert "seed 42" in words(hidden_activations(ds))


def test_diverged_members_are_counted_aloud(ds: xr.Dataset) -> None:
    """What is left out of a band is named beside it, and the rest still counts."""
    ds["diverged"][2, 1] = 3
    ds["loss"][2, 1, 3:] = np.nan
    figure = loss_curves(ds)
    assert "diverged: ReLU 1" in words(figure)
    (line,) = lines(figure, "loss-relu")
    rest = ds["loss"].sel(activation="relu").isel(seed=[0, 2, 3], epoch=slice(3, None))
    np.testing.assert_allclose(heights(line)[3:], rest.median("seed"))


def test_gradients_run_from_the_input_to_the_output(ds: xr.Dataset) -> None:
    """Layer 1 is on the left, the output layer on the right, on a logarithmic scale."""
    figure = gradient_flow(ds)
    drawn = lines(figure, "gradient-sigmoid")
    assert len(drawn) == ds.sizes["recorded_epoch"]
    panels = figure.axes[: len(drawn)]
    for axes, line, epoch in zip(panels, drawn, ds["recorded_epoch"].values, strict=True):
        assert line in axes.lines
        assert list(np.asarray(line.get_xdata())) == [1, 2, 3, 4]
        at = ds["gradient_magnitude"].sel(activation="sigmoid", recorded_epoch=epoch)
        np.testing.assert_allclose(heights(line), at.median("seed"))
        left, right = axes.get_xlim()
        assert left < right
        assert axes.get_yscale() == "log"
        assert axes.get_title() == f"epoch {epoch}"
        assert "layer 1 = nearest the input" in axes.get_xlabel()


def test_layers_are_numbered_once() -> None:
    """Every layer of the study's network has its tick; fifty layers have fewer, with both ends."""
    for depth, most in ((1, 2), (10, 11), (50, 14)):
        ticks = list(gradient_flow(dataset(depth=depth)).axes[0].get_xticks())
        assert ticks[0] == 1
        assert ticks[-1] == depth + 1
        assert len(ticks) == len(set(ticks)) <= most


def test_gradients_of_exactly_zero_are_said_to_be_zero(ds: xr.Dataset) -> None:
    """A logarithmic axis cannot show zero, so words do."""
    ds["gradient_magnitude"][1, :, 0, 0] = 0.0
    figure = gradient_flow(ds)
    assert words(figure).count("exactly zero") == 1
    assert np.isnan(heights(lines(figure, "gradient-sigmoid")[0])[0])


def test_learned_functions_show_the_data_beside_the_fit(ds: xr.Dataset) -> None:
    """Each activation has a panel with the points, the clean sine and its own prediction."""
    figure = learned_functions(ds)
    for gid, variable in (("noisy", "target_noisy"), ("clean", "target_clean")):
        assert len(lines(figure, gid)) == ds.sizes["activation"]
        for line in lines(figure, gid):
            np.testing.assert_array_equal(heights(line), ds[variable])
    for name in ds["activation"].values:
        (line,) = lines(figure, f"prediction-{name}")
        median = ds["prediction"].sel(activation=name).median("seed")
        np.testing.assert_allclose(heights(line), median)


def test_hidden_units_have_a_line_each_and_dead_ones_are_counted(ds: xr.Dataset) -> None:
    """The grid is activations by layers, and a unit that is zero on every input is dead."""
    ds["hidden_activation"][2, 1, :, :2] = 0.0
    figure = hidden_activations(ds)
    assert len(figure.axes) == ds.sizes["activation"] * ds.sizes["hidden_layer"]
    for axes in figure.axes:
        assert len(axes.collections[0].get_paths()) == ds.sizes["unit"]
    assert [text.get_text() for text in figure.axes[5].texts] == ["2 of 5 units dead"]
    assert words(figure).count("dead") == 1


def test_summary_has_nine_panels_with_something_in_each(ds: xr.Dataset) -> None:
    """Nine panels, each with a title and a line."""
    figure = summary_figure(ds)
    assert len(figure.axes) == 9
    assert all(axes.get_title() and axes.lines for axes in figure.axes)


def test_plateau_is_left_by_the_seeds_that_beat_the_constant(ds: xr.Dataset) -> None:
    """A seed counts as stuck until its loss is clearly below the best constant's."""
    constant = expected_floors(ds)["floor-best-constant"]
    ds["loss"][:] = constant
    ds["loss"][1, 0, 5:] = 0.9 * constant
    ds["loss"][1, 1, 7:] = np.nan
    (line,) = lines(summary_figure(ds), "plateau-sigmoid")
    np.testing.assert_allclose(heights(line), [1.0] * 5 + [0.75] * 7)


def test_only_good_fits_have_their_errors_drawn(ds: xr.Dataset) -> None:
    """The panel of errors leaves out what is far from the sine."""
    ds["final_mse"][:] = np.array([0.213, 0.0775, 0.0076])[:, None]
    figure = summary_figure(ds)
    assert not lines(figure, "error-linear")
    assert not lines(figure, "error-sigmoid")
    (line,) = lines(figure, "error-relu")
    errors = ds["prediction"].sel(activation="relu").median("seed") - ds["target_clean"]
    np.testing.assert_allclose(heights(line), errors, atol=1e-12)


def test_an_activation_has_one_look_everywhere() -> None:
    """Color and line style of an activation are the same in every figure."""
    everything = dataset(activations=ALL, seeds=2)
    figures = [draw(everything) for draw in FIGURES.values()]
    for name, style in ACTIVATION_STYLES.items():
        drawn = [
            line
            for figure, kind in itertools.product(
                figures, ("loss", "gradient", "prediction", "error", "plateau")
            )
            for line in lines(figure, f"{kind}-{name}")
        ]
        assert len(drawn) >= 7
        assert {to_hex(str(line.get_color())).upper() for line in drawn} == {style.color}
        assert {line.get_linestyle() for line in drawn} == {style.linestyle}


def test_looks_are_told_apart_without_full_color_vision() -> None:
    """Simulated dichromats see eight colors or, at the least, eight markers."""
    # Machado, Oliveira and Fernandes (2009), severity 1.
    protan = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    deutan = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    colors = np.array([to_rgb(style.color) for style in ACTIVATION_STYLES.values()]) ** 2.2
    for matrix in (np.eye(3), np.array(protan), np.array(deutan)):
        seen = np.clip(colors @ matrix.T, 0, 1) ** (1 / 2.2)
        apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
        assert min(apart) > 0.15
    assert len({style.marker for style in ACTIVATION_STYLES.values()}) == 8


def test_unknown_activation_keeps_its_look() -> None:
    """A user's own activation looks the same each time, and not like one of the eight."""
    style = style_of("mine:fn")
    assert style == style_of("mine:fn")
    assert style.name == "fn"
    assert style.color not in {known.color for known in ACTIVATION_STYLES.values()}


# The summary draws the panels of losses, gradients and predictions too.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "figures"),
    [
        ({"points": 1}, ["learned_functions", "hidden_activations", "loss_curves"]),
        (
            {"activations": ("_mine$", "\u6f22\u5b57:fn", "a" * 80), "seeds": 2, "depth": 50},
            ["learned_functions", "loss_curves", "hidden_activations"],
        ),
        ({"activations": ALL, "seeds": 20}, ["summary_figure"]),
    ],
    ids=["one point", "odd names", "eight"],
)
def test_draws_every_shape(shape: dict[str, Any], figures: list[str]) -> None:
    """From one point to fifty layers and eight activations, without an error or a warning."""
    for figure in figures:
        in_pixels(FIGURES[figure](dataset(**shape)))


def test_save_gives_the_same_bytes_for_the_same_data(ds: xr.Dataset, tmp_path: Path) -> None:
    """PNG and SVG agree byte by byte in two folders; an older figure gives way, nothing stays."""
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "loss.png").write_bytes(b"old")
    first = save(loss_curves(ds), tmp_path / "first", "loss")
    second = save(loss_curves(ds), tmp_path / "second", "loss")
    assert [path.name for path in first] == ["loss.png", "loss.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in first[1].read_bytes()
    assert sorted((tmp_path / "second").iterdir()) == second


def test_a_save_that_fails_leaves_nothing(ds: xr.Dataset, tmp_path: Path) -> None:
    """A folder where the file should be and a file where the folder should be stay alone."""
    (tmp_path / "loss.png").mkdir()
    with pytest.raises(ActbenchError, match="loss"):
        save(loss_curves(ds), tmp_path, "loss")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ActbenchError, match="taken"):
        save(loss_curves(ds), tmp_path / "taken" / "figures", "loss")
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png", "taken"}
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.slow
def test_figures_are_drawn_in_threads(ds: xr.Dataset, tmp_path: Path) -> None:
    """Threads that draw and save at once get what one thread gets."""
    alone = save(loss_curves(ds), tmp_path / "alone", "loss")
    with ThreadPoolExecutor(2) as pool:
        folders = [tmp_path / str(number) for number in range(2)]
        together = list(pool.map(lambda folder: save(loss_curves(ds), folder, "loss"), folders))
    for paths in together:
        assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in alone]


def test_every_figure_is_in_the_page_for_notebooks() -> None:
    """The table names each function under its experiment, and none that is gone."""
    listed: dict[str, list[str]] = {}
    for line in NOTEBOOKS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.split("|")]
        if len(cells) == 6 and line.count("`") > 1 and "FIGURES" not in line:
            listed.setdefault(cells[1] or list(listed)[-1], []).append(cells[3])
    assert listed == {key: list(drawn) for key, drawn in figures.FIGURES.items()}


def test_the_code_for_notebooks_runs(
    ds: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, one after the other, from a dataset on disk."""
    (tmp_path / "results").mkdir()
    whole = datasets.finish(ds, "sine-regression", {}, {})
    datasets.save(whole, tmp_path / "results" / "sine_regression.nc")
    monkeypatch.chdir(tmp_path)
    cells = re.findall(r"^```python\n(.+?)^```", NOTEBOOKS.read_text(encoding="utf-8"), re.M | re.S)
    assert len(cells) == 2
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell, names)  # noqa: S102 - the page's own lines
    assert isinstance(names["few"], xr.Dataset)
