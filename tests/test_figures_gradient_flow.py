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

from actbench import figures
from actbench.colors import ACTIVATION_STYLES
from actbench.experiments import gradient_flow
from actbench.figures.gradient_flow import FIGURES, exp1_gradient_flow

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
    return xr.Dataset(
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
    titles = [half.get_suptitle() for half in figure.subfigs]
    notes = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return " ".join(" ".join([*titles, *notes]).split())


def in_pixels(figure: Figure) -> None:
    """Draw a figure, which is where unsuitable numbers make trouble."""
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def test_the_figure_is_registered_under_the_studys_name() -> None:
    """What the experiment draws is the study's figure."""
    assert figures.FIGURES["gradient-flow"] == FIGURES == {"exp1_gradient_flow": exp1_gradient_flow}


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


def test_error_signals_share_one_scale(ds: xr.Dataset) -> None:
    """What differs between initializers can be compared by eye."""
    _, below = exp1_gradient_flow(ds).subfigs
    assert len({axes.get_ylim() for axes in below.axes}) == 1


def test_the_figure_says_what_is_drawn_and_why(ds: xr.Dataset) -> None:
    """Quantity, protocol, and why a level weight gradient can hide a vanishing signal."""
    text = words(exp1_gradient_flow(ds))
    assert "mean |∂loss/∂W|" in text
    assert "recovered, one draw of Xavier-uniform weights (scales differ)" in text
    assert "RMS of ∂loss/∂z" in text
    assert "the error signal times the layer's input" in text
    assert "stays level and hides it" in text


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
            and str(each.get_gid()).count("leaky") == name.count("leaky")
        ]
        assert len(drawn) == 4
        assert {to_hex(str(each.get_color())).upper() for each in drawn} == {style.color}
        assert {each.get_linestyle() for each in drawn} == {style.linestyle}
        assert {each.get_marker() for each in drawn} == {style.marker}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        style.name for style in ACTIVATION_STYLES.values()
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


def test_a_real_run_is_drawn_and_saved_the_same_way_twice(tmp_path: Path) -> None:
    """From the experiment to two files, whose bytes depend on the data alone."""
    config = gradient_flow.Config(
        activations=("relu",),
        depths=(2,),
        robust_depths=(3,),
        initializers=("he_normal",),
        seeds=2,
        threads=1,
    )
    made = gradient_flow.run(config)
    first, second = (
        figures.save(exp1_gradient_flow(made), tmp_path / name, "flow") for name in ("a", "b")
    )
    assert [path.name for path in first] == ["flow.png", "flow.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
