"""The figure of gradient flow shows what the dataset says, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actbench.pages.colors import ACTIVATION_STYLES, style_of
from actbench.store import datasets
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


def dataset(
    *,
    activations: tuple[str, ...] = ("sigmoid", "relu"),
    depths: tuple[int, ...] = (3, 5),
    robust_depths: tuple[int, ...] = (4,),
    initializers: tuple[str, ...] = ("he_normal", "xavier_uniform"),
    seeds: int = 3,
) -> xr.Dataset:
    """A plausible outcome of `gradient-flow`: layers that a depth does not have are NaN."""
    rng = np.random.default_rng(4)
    every = tuple(dict.fromkeys((*depths, *robust_depths)))
    layers = max(every) + 1
    recovered = np.full((len(activations), len(every), layers), np.nan)
    signal = np.full((len(activations), len(initializers), len(every), layers), np.nan)
    for column, depth in enumerate(every):
        if depth in depths:
            part = recovered[:, column, : depth + 1]
            part[:] = 10 ** rng.uniform(-9, -1, part.shape)
        if depth in robust_depths:
            part = signal[:, :, column, : depth + 1]
            part[:] = 10 ** rng.uniform(-9, -1, part.shape)
    made = xr.Dataset(
        {
            "gradient_magnitude": (("activation", "depth", "layer"), recovered),
            "error_signal_rms": (("activation", "initializer", "depth", "layer"), signal),
        },
        coords={
            "activation": list(activations),
            "initializer": list(initializers),
            "seed": 42 + np.arange(seeds),
            "depth": list(every),
            "layer": np.arange(1, layers + 1),
        },
    )
    return datasets.finish(made, "gradient-flow", {"width": 8, "points": 5}, {})


def with_theory(
    *,
    activations: tuple[str, ...] = ("linear", "gelu"),
    initializers: tuple[str, ...] = ("he_normal", "xavier_uniform"),
    widths: tuple[int, ...] = (4, 8, 32),
    depth: int = 5,
) -> xr.Dataset:
    """A plausible outcome of `gradient-flow` with its two later parts."""
    rng = np.random.default_rng(9)
    made = dataset(activations=activations, initializers=initializers, depths=(3, depth))
    layers = made["layer"].to_numpy()
    shape = (len(activations), len(initializers), 3, len(layers))
    dims = ("activation", "initializer", "deep_seed", "layer")
    deep = {
        name: (
            dims,
            np.where(layers <= depth + 1, 10 ** (layers - rng.uniform(9, 10, shape)), np.nan),
        )
        for name in ("deep_gradient_magnitude", "deep_error_signal", "deep_preactivation_square")
    }
    spread = [key for key in gradient_flow.SPREAD_ACTIVATIONS if key in activations]
    slopes = rng.normal(-0.1, 0.02, (len(spread), len(widths), 6))
    slopes[:, -1, 2:] = np.nan
    parts = xr.Dataset(
        {
            **deep,
            "gradient_ratio": (
                ("activation", "depth"),
                rng.uniform(1, 9, (len(activations), made.sizes["depth"])),
            ),
            "error_slope": (("spread_activation", "width", "network"), slopes),
        },
        coords={
            "activation": list(activations),
            "initializer": list(initializers),
            "depth": made["depth"],
            "deep_seed": [42, 43, 44],
            "layer": layers,
            "spread_activation": spread,
            "width": list(widths),
        },
    )
    settings = {
        **datasets.protocol_of(made),
        "deep_depth": depth,
        "deep_points": 4,
        "spread_depth": 6,
        "spread_initializer": "he_normal",
    }
    return datasets.finish(xr.merge([made, parts]), "gradient-flow", settings, {})


@pytest.fixture
def ds() -> xr.Dataset:
    """Two activations, two depths, two initializers."""
    return dataset()


def panels(figure: Figure) -> dict[str, Axes]:
    """The panels by their titles."""
    return {axes.get_title(): axes for axes in figure.axes}


def line(axes: Axes, gid: str) -> Line2D:
    """The one line of a panel that goes by this name."""
    (found,) = [each for each in axes.lines if each.get_gid() == gid]
    return found


def heights(drawn: Line2D) -> npt.NDArray[np.float64]:
    """The values that a line shows."""
    return np.asarray(drawn.get_ydata(), dtype=np.float64)


def words(figure: Figure) -> str:
    """Everything that can be read above and in the panels, on one line."""
    titles = [part.get_suptitle() for part in (figure, *figure.subfigs)]
    notes = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return " ".join(" ".join([*titles, *notes]).split())


def in_pixels(figure: Figure) -> None:
    """Draw a figure, which is where unsuitable numbers make trouble."""
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def test_the_figure_is_registered_under_the_studys_name() -> None:
    """What the experiment draws is the study's figure first, then those of theory."""
    assert figures.FIGURES["gradient-flow"] == FIGURES
    assert list(FIGURES.items()) == [
        ("exp1_gradient_flow", exp1_gradient_flow),
        ("theory_error_signals", theory_error_signals),
        ("theory_width", theory_width),
    ]


def test_a_panel_per_depth_and_one_per_initializer(ds: xr.Dataset) -> None:
    """Depths of the recovered protocol stand above, initializers of the robust one below."""
    figure = exp1_gradient_flow(ds)
    above, below = figure.subfigs
    assert [axes.get_title() for axes in above.axes] == ["3 hidden layers", "5 hidden layers"]
    assert [axes.get_title() for axes in below.axes] == ["he_normal", "xavier_uniform"]


def test_recovered_gradients_run_from_the_input_to_the_output(ds: xr.Dataset) -> None:
    """Layer 1 is on the left, the output layer on the right, on a logarithmic scale."""
    shown = panels(exp1_gradient_flow(ds))
    for depth in (3, 5):
        axes = shown[f"{depth} hidden layers"]
        assert axes.get_yscale() == "log"
        left, right = axes.get_xlim()
        assert left < right
        assert axes.get_xlabel() == f"layer: 1 = nearest input, {depth + 1} = output"
        for name in ("sigmoid", "relu"):
            drawn = line(axes, f"gradient-{name}")
            assert list(np.asarray(drawn.get_xdata())) == list(range(1, depth + 2))
            values = ds["gradient_magnitude"].sel(activation=name, depth=depth)
            np.testing.assert_array_equal(heights(drawn), values[: depth + 1])


def test_error_signals_are_those_of_the_robust_depth(ds: xr.Dataset) -> None:
    """Below, each initializer's pooled error signal is drawn at the depth that has one."""
    figure = exp1_gradient_flow(ds)
    for key in ("he_normal", "xavier_uniform"):
        axes = panels(figure)[key]
        assert axes.get_yscale() == "log"
        assert axes.get_xlabel() == "layer: 1 = nearest input, 5 = output"
        for name in ("sigmoid", "relu"):
            drawn = line(axes, f"signal-{key}-{name}")
            values = ds["error_signal_rms"].sel(activation=name, initializer=key, depth=4)
            np.testing.assert_array_equal(heights(drawn), values[:5])
    assert "4 hidden layers, 3 networks each" in words(figure)


def test_predictions_are_drawn_over_error_signals(ds: xr.Dataset) -> None:
    """A thin line in its look per activation that theory knows; the legend says what it is."""
    figure = exp1_gradient_flow(ds)
    x = np.linspace(-np.pi, np.pi, 5)
    for key in ("he_normal", "xavier_uniform"):
        axes = panels(figure)[key]
        for name in ("sigmoid", "relu"):
            drawn = line(axes, f"theory-{key}-{name}")
            expected = theory.predict(name, initializers.get(key), x, depth=4, width=8)
            np.testing.assert_array_equal(heights(drawn), expected.error_signal_rms)
            measured = line(axes, f"signal-{key}-{name}")
            assert drawn.get_linewidth() < measured.get_linewidth()
            assert measured.get_alpha() == 0.35
            assert drawn.get_color() == measured.get_color() == style_of(name).color
            assert drawn.get_linestyle() == style_of(name).linestyle
    (legend,) = figure.legends
    assert legend.get_texts()[-1].get_text() == "thin: mean-field theory, nothing fitted"
    others = exp1_gradient_flow(dataset(activations=("relu", "mine:fn")))
    drawn_ids = {str(each.get_gid()) for axes in others.axes for each in axes.lines}
    assert "signal-he_normal-mine:fn" in drawn_ids
    assert "theory-he_normal-mine:fn" not in drawn_ids


def test_error_signals_share_one_scale(ds: xr.Dataset) -> None:
    """What differs between initializers can be compared by eye."""
    _, below = exp1_gradient_flow(ds).subfigs
    assert len({axes.get_ylim() for axes in below.axes}) == 1


def test_the_figure_says_what_is_drawn_and_why(ds: xr.Dataset) -> None:
    """Quantity and protocol; why a level weight gradient can hide a signal is its caption."""
    figure = exp1_gradient_flow(ds)
    assert "the study's protocol as recovered, one draw of Xavier" in words(figure)
    labels = [half.axes[0].get_ylabel() for half in figure.subfigs]
    assert labels == ["mean |∂loss/∂W|", "RMS of ∂loss/∂z"]
    assert "stays level and hides it" in caption("exp1_gradient_flow")


def test_depths_of_both_protocols_may_agree() -> None:
    """The study's robust depth is one of the recovered ones and has its place in both rows."""
    figure = exp1_gradient_flow(dataset(depths=(3, 4), robust_depths=(4,)))
    above, below = figure.subfigs
    assert [axes.get_title() for axes in above.axes] == ["3 hidden layers", "4 hidden layers"]
    assert len(below.axes) == 2


def test_the_first_of_several_robust_depths_is_drawn() -> None:
    """Where there are more, one is chosen and named."""
    text = words(exp1_gradient_flow(dataset(depths=(3,), robust_depths=(6, 4))))
    assert "6 hidden layers, 3 networks each" in text


def test_five_initializers_at_most_are_drawn() -> None:
    """More would be too narrow to read."""
    many = (*INITIALIZERS, "normal(0.1)", "normal(0.2)")
    _, below = exp1_gradient_flow(dataset(initializers=many)).subfigs
    assert [axes.get_title() for axes in below.axes] == list(INITIALIZERS)


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


def test_markers_give_way_where_layers_are_many() -> None:
    """Fifty markers on a line would hide it."""
    shown = panels(exp1_gradient_flow(dataset(depths=(20, 50))))
    assert line(shown["20 hidden layers"], "gradient-relu").get_marker() == "o"
    assert line(shown["50 hidden layers"], "gradient-relu").get_marker() == ""


def test_layers_are_numbered_from_one_to_the_output() -> None:
    """Few ticks, both ends among them, none twice."""
    depths = (1, 5, 10, 20, 50)
    shown = panels(exp1_gradient_flow(dataset(depths=depths)))
    for depth in depths:
        ticks = list(shown[f"{depth} hidden layers"].get_xticks())
        assert ticks[0] == 1
        assert ticks[-1] == depth + 1
        assert len(ticks) == len(set(ticks)) <= 8
    assert list(shown["50 hidden layers"].get_xticks()) == [1, 10, 20, 30, 40, 51]


def test_gradients_of_exactly_zero_are_said_to_be_zero(ds: xr.Dataset) -> None:
    """A logarithmic axis cannot show an underflow, so words do, in that panel alone."""
    ds["gradient_magnitude"].loc[{"activation": "sigmoid", "depth": 5, "layer": 1}] = 0.0
    ds["error_signal_rms"].loc[{"activation": "relu", "initializer": "he_normal", "layer": 2}] = 0.0
    shown = panels(exp1_gradient_flow(ds))
    said = [title for title, axes in shown.items() if axes.texts]
    assert said == ["5 hidden layers", "he_normal"]
    assert shown["5 hidden layers"].texts[0].get_text() == "gaps: exactly zero"
    assert np.isnan(heights(line(shown["5 hidden layers"], "gradient-sigmoid"))[0])


def _all_not_finite(ds: xr.Dataset) -> None:
    ds["gradient_magnitude"][:] = np.nan
    ds["error_signal_rms"][:] = np.nan


def _mixed(ds: xr.Dataset) -> None:
    ds["gradient_magnitude"][0, 0] = np.inf
    ds["gradient_magnitude"][1, 1, 2:] = 1.7e308
    ds["error_signal_rms"][0, 0] = 0.0
    ds["error_signal_rms"][1, 0, 2, 1] = 5e-324
    ds["error_signal_rms"][1, 1] = np.nan


@pytest.mark.parametrize("spoil", [_all_not_finite, _mixed])
def test_draws_what_is_not_finite(ds: xr.Dataset, spoil: Callable[[xr.Dataset], None]) -> None:
    """Neither an error nor a warning, whatever a network left behind."""
    spoil(ds)
    in_pixels(exp1_gradient_flow(ds))


@pytest.mark.parametrize(
    "made",
    [
        dataset(
            activations=("relu",), depths=(1,), robust_depths=(1,), initializers=("he_normal",)
        ),
        dataset(activations=("_mine$", "\u6f22\u5b57:fn", "a" * 80), depths=(2,)),
        dataset(
            activations=ALL,
            depths=(5, 10, 20, 50),
            robust_depths=(10,),
            initializers=INITIALIZERS,
        ),
    ],
    ids=["smallest", "odd names", "the study's"],
)
def test_draws_every_shape_without_overlap(made: xr.Dataset) -> None:
    """From one of everything to the study's, the headings keep clear of the panels and the rim."""
    figure = exp1_gradient_flow(made)
    in_pixels(figure)
    above, below = (half.get_suptitle() for half in figure.subfigs)
    assert above
    assert below
    for half in figure.subfigs:
        heading = half._suptitle.get_window_extent()  # type: ignore[attr-defined]
        assert heading.x0 >= 0
        assert heading.x1 <= figure.bbox.width
        for axes in half.axes:
            assert not heading.overlaps(axes.title.get_window_extent())


@pytest.mark.parametrize("missing", ["gradient_magnitude", "error_signal_rms"])
def test_a_missing_variable_is_named(ds: xr.Dataset, missing: str) -> None:
    """A dataset of another experiment is refused by the name of what it lacks."""
    with pytest.raises(KeyError, match=missing):
        exp1_gradient_flow(ds.drop_vars(missing))


def test_deep_signals_stand_beside_their_predictions() -> None:
    """A panel per initializer: pooled before the logarithm, and what theory expects."""
    made = with_theory()
    figure = theory_error_signals(made)
    x = np.linspace(-np.pi, np.pi, 4)
    for key in ("he_normal", "xavier_uniform"):
        axes = panels(figure)[key]
        assert axes.get_yscale() == "log"
        for name in ("linear", "gelu"):
            signal = made["deep_error_signal"].sel(activation=name, initializer=key)
            pooled = np.sqrt((signal**2).mean("deep_seed"))
            np.testing.assert_allclose(heights(line(axes, f"deep-{key}-{name}")), pooled)
            expected = theory.predict(name, initializers.get(key), x, depth=5, width=8)
            drawn = heights(line(axes, f"theory-deep-{key}-{name}"))
            np.testing.assert_array_equal(drawn, expected.error_signal_rms)
    assert "5 hidden layers of 8 units, pooled over 3 networks and 4 inputs" in words(figure)


def test_what_the_published_ratio_hides_is_shown() -> None:
    """GELU's two curves under Xavier, and per activation both ratios of output to layer 1."""
    made = with_theory()
    figure = theory_error_signals(made)
    assert "What to trust instead of the published ratio" in words(figure)
    chosen = made.sel(activation="gelu", initializer="xavier_uniform")
    signal = np.sqrt((chosen["deep_error_signal"] ** 2).mean("deep_seed").to_numpy())
    hidden = panels(figure)["GELU, xavier_uniform"]
    np.testing.assert_allclose(heights(line(hidden, "hidden-signal")), signal)
    gradient = chosen["deep_gradient_magnitude"].mean("deep_seed")
    np.testing.assert_allclose(heights(line(hidden, "hidden-gradient")), gradient)
    ratios = panels(figure)["output layer over layer 1, 5 hidden layers, xavier_uniform"]
    for gid, expected in (
        ("ratio-o-gelu", float(made["gradient_ratio"].sel(activation="gelu", depth=5))),
        ("ratio-D-gelu", signal[-1] / signal[0]),
    ):
        assert np.asarray(line(ratios, gid).get_xdata()) == pytest.approx(expected)


def test_differences_of_slopes_are_measured_minus_predicted() -> None:
    """Above the line the measured signal shrinks faster than theory says."""
    made = with_theory()
    x = np.linspace(-np.pi, np.pi, 4)
    figure = theory_error_signals(made)
    axes = panels(figure)["measured minus predicted slope, layers 1 to 6 (band: \u00b10.01)"]
    signal = made["deep_error_signal"].sel(activation="linear", initializer="he_normal")
    pooled = np.sqrt((signal**2).mean("deep_seed").to_numpy())
    expected = theory.predict("linear", initializers.get("he_normal"), x, depth=5, width=8)
    difference = (
        np.log10(pooled[5] / pooled[0])
        - np.log10(expected.error_signal_rms[5] / expected.error_signal_rms[0])
    ) / 5
    assert heights(line(axes, "gap-he_normal-linear")) == pytest.approx(difference)


def test_every_network_and_the_predicted_spread_are_drawn() -> None:
    """A dot per network about the predicted mean, and 1 / sqrt(width) beside them."""
    made = with_theory()
    figure = theory_width(made)
    shown = panels(figure)
    expected = theory.predict("gelu", initializers.get("he_normal"), [1.0], depth=6, width=32)
    mean = theory.decades_per_layer(expected.error_signal_rms, 1, 6)
    found = heights(line(shown["GELU"], "networks-gelu-32"))
    slopes = made["error_slope"].sel(spread_activation="gelu", width=32).to_numpy()
    np.testing.assert_allclose(found, slopes[:2] - mean)
    labels = [text.get_text() for text in shown["GELU"].get_xticklabels()]
    assert labels == ["4\n(6)", "8\n(6)", "32\n(2)"]
    drawn = heights(
        line(shown["standard deviation \u00b1 1 s.e.; lines: theory"], "spread-theory-linear")
    )
    assert drawn[0] / drawn[2] == pytest.approx(np.sqrt(32 / 4))
    assert "one width 6 hidden layers, he_normal, one input" in words(figure)


def test_parts_that_were_not_run_are_said_to_be_missing(ds: xr.Dataset) -> None:
    """A figure that has nothing to show says why, and is drawn all the same."""
    settings = {**datasets.protocol_of(ds), "deep_depth": 0}
    bare = datasets.finish(ds, "gradient-flow", settings, {})
    for draw, text in ((theory_error_signals, "deep_depth is 0"), (theory_width, "no widths")):
        figure = draw(bare)
        assert text in figure.axes[0].texts[0].get_text()
        in_pixels(figure)


def _no_deep_numbers(ds: xr.Dataset) -> None:
    for name in ("deep_error_signal", "deep_gradient_magnitude", "gradient_ratio", "error_slope"):
        ds[name][:] = np.nan


def _zeros(ds: xr.Dataset) -> None:
    ds["deep_error_signal"][0, 0, :, :2] = 0.0
    ds["gradient_ratio"][0] = np.inf
    ds["error_slope"][0, 0] = np.nan


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [_no_deep_numbers, _zeros])
def test_theory_is_drawn_whatever_was_measured(spoil: Callable[[xr.Dataset], None]) -> None:
    """Neither an error nor a warning; zeros are said to be zero."""
    made = with_theory()
    spoil(made)
    figure = theory_error_signals(made)
    in_pixels(figure)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert ("gaps: exactly zero" in said) == (spoil is _zeros)
    in_pixels(theory_width(made))


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        with_theory(activations=("relu",), initializers=("he_normal",), widths=(4,), depth=1),
        with_theory(activations=(*ALL, "_mine$", "a" * 80), initializers=INITIALIZERS, depth=50),
    ],
    ids=["smallest", "the study's and odd names"],
)
def test_theory_is_drawn_without_overlap(made: xr.Dataset) -> None:
    """From one of everything to all, headings keep clear of the panels and the rim."""
    for draw in (theory_error_signals, theory_width):
        figure = draw(made)
        in_pixels(figure)
        shown = (figure, *figure.subfigs)
        headings = [
            part._suptitle.get_window_extent()  # type: ignore[attr-defined]
            for part in shown
            if part.get_suptitle()
        ]
        assert headings
        for heading in headings:
            assert heading.x0 >= 0
            assert heading.x1 <= figure.bbox.width
            for axes in figure.axes:
                assert not heading.overlaps(axes.title.get_window_extent())


@pytest.mark.slow
def test_a_real_run_is_drawn_and_saved_the_same_way_twice(tmp_path: Path) -> None:
    """From the experiment to two files, whose bytes depend on the data alone."""
    config = gradient_flow.Config(
        activations=("relu",),
        depths=(2,),
        robust_depths=(3,),
        initializers=("he_normal",),
        seeds=2,
        deep_depth=4,
        spread_widths=(8,),
        threads=1,
    )
    made = gradient_flow.run(config)
    first, second = (
        figures.save(exp1_gradient_flow(made), tmp_path / name, "flow") for name in ("a", "b")
    )
    assert [path.name for path in first] == ["flow.png", "flow.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for draw in (theory_error_signals, theory_width):
        in_pixels(draw(made))
