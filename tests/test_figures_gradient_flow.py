"""The figure of gradient flow shows what the dataset says, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import heights, in_pixels, line, lines, panel
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from actbench.pages.colors import ACTIVATION_STYLES, style_of
from actbench.study import figures, theory
from actbench.study.catalog import initializers
from actbench.study.experiments import gradient_flow
from actbench.study.experiments.gradient_flow.figures import (
    FIGURES,
    exp1_gradient_flow,
    theory_width,
)
from actbench.study.experiments.gradient_flow.mean_field_figures import theory_error_signals
from actbench.study.findings import caption

ALL = tuple(ACTIVATION_STYLES)
INITIALIZERS = ("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal")


def dataset(*, named: Mapping[str, str] | None = None, **settings: Any) -> xr.Dataset:
    """What networks of eight units give; some activations may go by other names."""
    given: dict[str, Any] = {
        "activations": ("sigmoid", "relu"),
        "depths": (3, 5),
        "robust_depths": (4,),
        "initializers": ("he_normal", "xavier_uniform"),
        "seeds": 3,
        "width": 8,
        "points": 5,
        "deep_depth": 0,
        "spread_widths": (),
        "threads": 1,
    }
    made = gradient_flow.run(gradient_flow.Config(**{**given, **settings}))
    names = made["activation"].to_numpy().tolist()
    return made.assign_coords(activation=[(named or {}).get(name, name) for name in names])


def with_theory(*, depth: int = 5, **settings: Any) -> xr.Dataset:
    """The same with both later parts; of the widest networks two have a slope."""
    later: dict[str, Any] = {
        "activations": ("linear", "gelu"),
        "depths": (3, depth),
        "seeds": 6,
        "deep_depth": depth,
        "deep_seeds": 3,
        "deep_points": 4,
        "spread_widths": (4, 8, 32),
    }
    made = dataset(**{**later, **settings})
    made["error_slope"][:, -1, 2:] = np.nan
    return made


@pytest.fixture
def ds() -> xr.Dataset:
    """Two activations, two depths, two initializers."""
    return dataset()


def words(figure: Figure) -> str:
    """Everything that can be read above and in the panels, on one line."""
    titles = [part.get_suptitle() for part in (figure, *figure.subfigs)]
    notes = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return " ".join(" ".join([*titles, *notes]).split())


def assert_headings_keep_clear(figure: Figure) -> None:
    """Within the page, and not over a panel's title."""
    in_pixels(figure)
    parts = [part for part in (figure, *figure.subfigs) if part.get_suptitle()]
    assert parts
    for part in parts:
        heading = part._suptitle.get_window_extent()  # type: ignore[attr-defined]
        assert heading.x0 >= 0
        assert heading.x1 <= figure.bbox.width
        for axes in figure.axes:
            assert not heading.overlaps(axes.title.get_window_extent())


@pytest.fixture(scope="module")
def drawn() -> Figure:
    """The study's figure of that dataset."""
    return exp1_gradient_flow(dataset())


@pytest.fixture(scope="module")
def measured() -> xr.Dataset:
    """What was measured with both later parts."""
    return with_theory()


@pytest.fixture(scope="module")
def signals(measured: xr.Dataset) -> Figure:
    """The deep part of that dataset."""
    return theory_error_signals(measured)


def test_the_figures_are_the_studys_first_and_then_those_of_theory() -> None:
    """What the experiment draws goes by the names of what draws it."""
    assert figures.FIGURES["gradient-flow"] == FIGURES
    assert list(FIGURES.values()) == [exp1_gradient_flow, theory_error_signals, theory_width]
    assert [draw.__name__ for draw in FIGURES.values()] == list(FIGURES)


@pytest.mark.parametrize(
    ("given", "depths", "initializers", "signals"),
    [
        ({}, (3, 5), ("he_normal", "xavier_uniform"), 4),
        # The study's robust depth is one of the recovered ones and has its place in both rows.
        ({"depths": (3, 4)}, (3, 4), ("he_normal", "xavier_uniform"), 4),
        # Where there are more robust depths, one is chosen and named.
        ({"robust_depths": (6, 4)}, (3, 5), ("he_normal", "xavier_uniform"), 6),
        # More than five initializers would be too narrow to read.
        ({"initializers": (*INITIALIZERS, "normal(0.1)", "normal(0.2)")}, (3, 5), INITIALIZERS, 4),
    ],
    ids=["both", "a depth of both", "two robust depths", "seven initializers"],
)
def test_a_panel_per_depth_and_one_per_initializer(
    given: dict[str, Any], depths: tuple[int, ...], initializers: tuple[str, ...], signals: int
) -> None:
    """Depths of the recovered protocol stand above, initializers of the robust one below."""
    figure = exp1_gradient_flow(dataset(**given))
    above, below = ([axes.get_title() for axes in half.axes] for half in figure.subfigs)
    assert above == [f"{depth} hidden layers" for depth in depths]
    assert below == list(initializers)
    assert f"{signals} hidden layers, 3 networks each" in words(figure)


@pytest.mark.parametrize(
    ("variable", "place", "gid"),
    [
        ("gradient_magnitude", {"depth": 3}, "gradient"),
        ("gradient_magnitude", {"depth": 5}, "gradient"),
        ("error_signal_rms", {"depth": 4, "initializer": "he_normal"}, "signal-he_normal"),
        (
            "error_signal_rms",
            {"depth": 4, "initializer": "xavier_uniform"},
            "signal-xavier_uniform",
        ),
    ],
)
def test_layers_run_from_the_input_to_the_output(
    ds: xr.Dataset, drawn: Figure, variable: str, place: dict[str, Any], gid: str
) -> None:
    """Layer 1 is on the left, the output layer on the right, on a logarithmic scale."""
    depth = place["depth"]
    axes = panel(drawn, place.get("initializer", f"{depth} hidden layers"))
    assert axes.get_yscale() == "log"
    left, right = axes.get_xlim()
    assert left < right
    assert axes.get_xlabel() == f"layer: 1 = nearest input, {depth + 1} = output"
    for name in ("sigmoid", "relu"):
        shown = line(axes, f"{gid}-{name}")
        assert list(np.asarray(shown.get_xdata())) == list(range(1, depth + 2))
        values = ds[variable].sel(activation=name, **place)
        np.testing.assert_array_equal(heights(shown), values[: depth + 1])


def test_predictions_are_drawn_over_error_signals(drawn: Figure) -> None:
    """A thin line in its look per activation that theory knows; the legend says what it is."""
    x = np.linspace(-np.pi, np.pi, 5)
    for key in ("he_normal", "xavier_uniform"):
        axes = panel(drawn, key)
        for name in ("sigmoid", "relu"):
            theirs = line(axes, f"theory-{key}-{name}")
            expected = theory.predict(name, initializers.get(key), x, depth=4, width=8)
            np.testing.assert_array_equal(heights(theirs), expected.error_signal_rms)
            ours = line(axes, f"signal-{key}-{name}")
            assert theirs.get_linewidth() < ours.get_linewidth()
            assert ours.get_alpha() == 0.35
            assert theirs.get_color() == ours.get_color() == style_of(name).color
            assert theirs.get_linestyle() == style_of(name).linestyle
    (legend,) = drawn.legends
    assert legend.get_texts()[-1].get_text() == "thin: mean-field theory, nothing fitted"
    others = exp1_gradient_flow(dataset(named={"sigmoid": "mine:fn"}))
    assert lines(others, "signal-he_normal-mine:fn")
    assert not lines(others, "theory-he_normal-mine:fn")


def test_the_figure_says_what_is_drawn_and_why(drawn: Figure) -> None:
    """Quantity and protocol; why a level weight gradient can hide a signal is its caption.

    Error signals share one scale: what differs between initializers can be compared by eye.
    """
    assert "the study's protocol as recovered, one draw of Xavier" in words(drawn)
    labels = [half.axes[0].get_ylabel() for half in drawn.subfigs]
    assert labels == ["mean |∂loss/∂W|", "RMS of ∂loss/∂z"]
    assert "stays level and hides it" in caption("exp1_gradient_flow")
    assert len({axes.get_ylim() for axes in drawn.subfigs[1].axes}) == 1


def test_an_activation_has_its_look_in_every_panel() -> None:
    """Color, line style and marker are the activation's, and the legend names all eight."""
    figure = exp1_gradient_flow(dataset(activations=ALL))
    for name, style in ACTIVATION_STYLES.items():
        drawn = [
            each
            for axes in figure.axes
            for each in axes.lines
            if str(each.get_gid()).endswith(f"-{name}")
            and not str(each.get_gid()).startswith("theory")
            and str(each.get_gid()).count("leaky") == name.count("leaky")
        ]
        assert len(drawn) == 4
        assert {to_hex(str(each.get_color())).upper() for each in drawn} == {style.color}
        assert [each.get_linestyle() for each in drawn] == [*[style.linestyle] * 2, "-", "-"]
        assert {each.get_marker() for each in drawn} == {style.marker}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(style.name for style in ACTIVATION_STYLES.values()),
        "pale: measured",
        "thin: mean-field theory, nothing fitted",
    ]


def test_many_layers_are_numbered_in_steps_and_not_marked() -> None:
    """Few ticks, both ends among them, none twice; fifty markers on a line would hide it."""
    depths = (1, 5, 10, 20, 50)
    figure = exp1_gradient_flow(dataset(depths=depths))
    for depth in depths:
        axes = panel(figure, f"{depth} hidden layers")
        ticks = list(axes.get_xticks())
        assert ticks[0] == 1
        assert ticks[-1] == depth + 1
        assert len(ticks) == len(set(ticks)) <= 8
        assert line(axes, "gradient-relu").get_marker() == ("o" if depth <= 20 else "")
    assert ticks == [1, 10, 20, 30, 40, 51]


def test_gradients_of_exactly_zero_are_said_to_be_zero(ds: xr.Dataset) -> None:
    """A logarithmic axis cannot show an underflow, so words do, in that panel alone."""
    ds["gradient_magnitude"].loc[{"activation": "sigmoid", "depth": 5, "layer": 1}] = 0.0
    ds["error_signal_rms"].loc[{"activation": "relu", "initializer": "he_normal", "layer": 2}] = 0.0
    figure = exp1_gradient_flow(ds)
    assert [axes.get_title() for axes in figure.axes if axes.texts] == [
        "5 hidden layers",
        "he_normal",
    ]
    axes = panel(figure, "5 hidden layers")
    assert axes.texts[0].get_text() == "gaps: exactly zero"
    assert np.isnan(heights(line(axes, "gradient-sigmoid"))[0])


def test_draws_what_is_not_finite(ds: xr.Dataset) -> None:
    """Neither an error nor a warning, whatever a network left behind."""
    ds["gradient_magnitude"][0, 0] = np.inf
    ds["gradient_magnitude"][1, 1, 2:] = 1.7e308
    ds["error_signal_rms"][0, 0] = 0.0
    ds["error_signal_rms"][1, 0, 2, 1] = 5e-324
    ds["error_signal_rms"][1, 1] = np.nan
    in_pixels(exp1_gradient_flow(ds), layout=False)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "activations": ("relu",),
            "depths": (1,),
            "robust_depths": (1,),
            "initializers": ("he_normal",),
        },
        {
            "activations": ("tanh", "sigmoid", "relu"),
            "depths": (2,),
            "named": {"tanh": "_mine$", "sigmoid": "\u6f22\u5b57:fn", "relu": "a" * 80},
        },
        {
            "activations": ALL,
            "depths": (5, 10, 20, 50),
            "robust_depths": (10,),
            "initializers": INITIALIZERS,
        },
    ],
    ids=["smallest", "odd names", "the study's"],
)
def test_draws_every_shape_without_overlap(settings: dict[str, Any]) -> None:
    """From one of everything to the study's, the headings keep clear of the panels and the rim."""
    figure = exp1_gradient_flow(dataset(**settings))
    assert all(half.get_suptitle() for half in figure.subfigs)
    assert_headings_keep_clear(figure)


@pytest.mark.parametrize("missing", ["gradient_magnitude", "error_signal_rms"])
def test_a_missing_variable_is_named(ds: xr.Dataset, missing: str) -> None:
    """A dataset of another experiment is refused by the name of what it lacks."""
    with pytest.raises(KeyError, match=missing):
        exp1_gradient_flow(ds.drop_vars(missing))


def test_deep_signals_stand_beside_their_predictions(measured: xr.Dataset, signals: Figure) -> None:
    """A panel per initializer: pooled before the logarithm, and what theory expects."""
    x = np.linspace(-np.pi, np.pi, 4)
    for key in ("he_normal", "xavier_uniform"):
        axes = panel(signals, key)
        assert axes.get_yscale() == "log"
        for name in ("linear", "gelu"):
            pooled = pooled_signal(measured, name, key)
            np.testing.assert_allclose(heights(line(axes, f"deep-{key}-{name}")), pooled)
            expected = theory.predict(name, initializers.get(key), x, depth=5, width=8)
            drawn = heights(line(axes, f"theory-deep-{key}-{name}"))
            np.testing.assert_array_equal(drawn, expected.error_signal_rms)
    assert "5 hidden layers of 8 units, pooled over 3 networks and 4 inputs" in words(signals)


def pooled_signal(ds: xr.Dataset, activation: str, initializer: str) -> npt.NDArray[np.float64]:
    """The error signal of the deep part by layer."""
    signal = ds["deep_error_signal"].sel(activation=activation, initializer=initializer)
    found: npt.NDArray[np.float64] = np.sqrt((signal**2).mean("deep_seed").to_numpy())
    return found


def test_what_the_published_ratio_hides_is_shown(measured: xr.Dataset, signals: Figure) -> None:
    """GELU's two curves under Xavier, and per activation both ratios of output to layer 1."""
    assert "What to trust instead of the published ratio" in words(signals)
    chosen = measured.sel(activation="gelu", initializer="xavier_uniform")
    signal = pooled_signal(measured, "gelu", "xavier_uniform")
    hidden = panel(signals, "GELU, xavier_uniform")
    np.testing.assert_allclose(heights(line(hidden, "hidden-signal")), signal)
    gradient = chosen["deep_gradient_magnitude"].mean("deep_seed")
    np.testing.assert_allclose(heights(line(hidden, "hidden-gradient")), gradient)
    ratios = panel(signals, "output layer over layer 1, 5 hidden layers, xavier_uniform")
    for gid, expected in (
        ("ratio-o-gelu", float(measured["gradient_ratio"].sel(activation="gelu", depth=5))),
        ("ratio-D-gelu", signal[-1] / signal[0]),
    ):
        assert np.asarray(line(ratios, gid).get_xdata()) == pytest.approx(expected)


def test_differences_of_slopes_are_measured_minus_predicted(
    measured: xr.Dataset, signals: Figure
) -> None:
    """Above the line the measured signal shrinks faster than theory says."""
    axes = panel(signals, "measured minus predicted slope, layers 1 to 6 (band: \u00b10.01)")
    x = np.linspace(-np.pi, np.pi, 4)
    he = initializers.get("he_normal")
    expected = theory.predict("linear", he, x, depth=5, width=8).error_signal_rms
    pooled = pooled_signal(measured, "linear", "he_normal")
    difference = (np.log10(pooled[5] / pooled[0]) - np.log10(expected[5] / expected[0])) / 5
    assert heights(line(axes, "gap-he_normal-linear")) == pytest.approx(difference)


def test_every_network_and_the_predicted_spread_are_drawn(measured: xr.Dataset) -> None:
    """A dot per network about the predicted mean, and 1 / sqrt(width) beside them."""
    figure = theory_width(measured)
    gelu = panel(figure, "GELU")
    expected = theory.predict("gelu", initializers.get("he_normal"), [1.0], depth=6, width=32)
    mean = theory.decades_per_layer(expected.error_signal_rms, 1, 6)
    slopes = measured["error_slope"].sel(spread_activation="gelu", width=32).to_numpy()
    np.testing.assert_allclose(heights(line(gelu, "networks-gelu-32")), slopes[:2] - mean)
    labels = [text.get_text() for text in gelu.get_xticklabels()]
    assert labels == ["4\n(6)", "8\n(6)", "32\n(2)"]
    spread = panel(figure, "standard deviation \u00b1 1 s.e.; lines: theory")
    drawn = heights(line(spread, "spread-theory-linear"))
    assert drawn[0] / drawn[2] == pytest.approx(np.sqrt(32 / 4))
    assert "one width 6 hidden layers, he_normal, one input" in words(figure)


def test_parts_that_were_not_run_are_said_to_be_missing(ds: xr.Dataset) -> None:
    """A figure that has nothing to show says why, and is drawn all the same."""
    for draw, text in ((theory_error_signals, "deep_depth is 0"), (theory_width, "no widths")):
        figure = draw(ds)
        assert text in figure.axes[0].texts[0].get_text()
        in_pixels(figure, layout=False)


@pytest.mark.slow
def test_theory_is_drawn_whatever_was_measured(signals: Figure) -> None:
    """Neither an error nor a warning; zeros, and they alone, are said to be zero."""
    made = with_theory()
    made["deep_error_signal"][0, 0, :, :2] = 0.0
    made["gradient_ratio"][0] = np.inf
    made["error_slope"][0, 0] = np.nan
    spoiled = theory_error_signals(made)
    for figure, zeros in ((signals, False), (spoiled, True)):
        in_pixels(figure, layout=False)
        said = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert ("gaps: exactly zero" in said) == zeros
    in_pixels(theory_width(made))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {
            "activations": ("relu",),
            "initializers": ("he_normal",),
            "spread_widths": (4,),
            "depth": 1,
        },
        {
            "activations": (*ALL, "selu"),
            "initializers": INITIALIZERS,
            "depth": 50,
            "named": {"selu": "a" * 80, "swish": "_mine$"},
        },
    ],
    ids=["smallest", "the study's and odd names"],
)
def test_theory_is_drawn_without_overlap(settings: dict[str, Any]) -> None:
    """From one of everything to all, headings keep clear of the panels and the rim."""
    made = with_theory(**settings)
    for draw in (theory_error_signals, theory_width):
        assert_headings_keep_clear(draw(made))


@pytest.mark.slow
def test_a_figure_is_saved_the_same_way_twice(measured: xr.Dataset, tmp_path: Path) -> None:
    """In two files, whose bytes depend on the data alone."""
    first, second = (
        figures.save(exp1_gradient_flow(measured), tmp_path / name, "flow") for name in ("a", "b")
    )
    assert [path.name for path in first] == ["flow.png", "flow.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
