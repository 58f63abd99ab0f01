"""The figures, the animation and the findings of training dynamics say what the dataset says."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import heights, lines, panel
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageSequence

from actbench.pages.colors import ACTIVATION_STYLES
from actbench.study import figures
from actbench.study.experiments import training_dynamics
from actbench.study.experiments.training_dynamics.animation import learned_functions
from actbench.study.experiments.training_dynamics.figures import (
    ANIMATIONS,
    FIGURES,
    activation_evolution,
    gradient_evolution,
    training_dynamics_functions,
)
from actbench.study.experiments.training_dynamics.findings import findings

ALL = tuple(ACTIVATION_STYLES)
LAYERED = ("activation_rms", "zero_share", "gradient_magnitude", "error_signal")


def dataset(**settings: Any) -> xr.Dataset:
    """What networks of three hidden layers give, looked at five times."""
    given: dict[str, Any] = {
        "activations": ("sigmoid", "relu"),
        "seeds": 3,
        "epochs": 40,
        "looks": 4,
        "initializer": "he_normal",
        "depth": 3,
        "points": 20,
        "device": "cpu",
        "dtype": "float64",
        "threads": 1,
    }
    return training_dynamics.run(training_dynamics.Config(**{**given, **settings}))


@pytest.fixture(scope="module")
def trained() -> xr.Dataset:
    """Two activations, three seeds, five looks."""
    return dataset()


@pytest.fixture
def ds(trained: xr.Dataset) -> xr.Dataset:
    """That dataset, to be changed."""
    return trained.copy(deep=True)


@pytest.fixture(scope="module")
def drawn(trained: xr.Dataset) -> dict[str, Figure]:
    """Every figure of that dataset."""
    return {name: draw(trained) for name, draw in FIGURES.items()}


def words(figure: Figure) -> str:
    """Everything that can be read above and in the panels, on one line."""
    halves = [half.get_suptitle() for half in figure.subfigs]
    notes = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    return " ".join(" ".join([figure.get_suptitle(), *halves, *notes]).split())


def only(figure: Figure, gid: str) -> Line2D:
    """The one line of a figure that goes by this name."""
    (found,) = lines(figure, gid)
    return found


def test_the_figures_are_registered_under_the_studys_names() -> None:
    """What the experiment draws are the study's four figures, and one animation."""
    assert [draw.__name__ for draw in FIGURES.values()] == list(FIGURES)
    assert figures.ANIMATIONS["training-dynamics"] == ANIMATIONS
    assert list(ANIMATIONS) == ["learned_functions"]


@pytest.mark.parametrize(
    ("figure", "variable", "layer"),
    [
        ("activation_evolution", "activation_rms", "hidden_layer"),
        ("gradient_evolution", "gradient_magnitude", "layer"),
        ("gradient_evolution", "error_signal", "layer"),
    ],
)
def test_each_layer_is_a_line_over_the_epochs(
    ds: xr.Dataset, drawn: dict[str, Figure], figure: str, variable: str, layer: str
) -> None:
    """The median over seeds at every recorded epoch, the untrained network among them."""
    for name in ("sigmoid", "relu"):
        for number in ds[layer].values:
            line = only(drawn[figure], f"{variable}-{name}-{number}")
            values = ds[variable].sel({"activation": name, layer: number})
            np.testing.assert_allclose(heights(line), values.median("seed"))
            assert list(np.asarray(line.get_xdata())) == [0, 1, 3, 12, 40]
            assert line.axes is not None
            assert line.axes.get_yscale() == "log"


def test_deeper_layers_are_lighter(drawn: dict[str, Figure]) -> None:
    """A layer has one color in every panel, and no two layers the same."""
    figure = drawn["gradient_evolution"]
    colors = []
    for layer in (1, 2, 3, 4):
        shown = [
            line
            for variable in ("gradient_magnitude", "error_signal")
            for name in ("sigmoid", "relu")
            for line in lines(figure, f"{variable}-{name}-{layer}")
        ]
        assert len(shown) == 4
        (color,) = {to_hex(line.get_color()) for line in shown}
        colors.append(sum(to_rgb(color)))
    assert colors == sorted(set(colors))


def test_zeros_are_those_of_activations_that_have_any(ds: xr.Dataset) -> None:
    """A share that is only now and then above zero is not drawn."""
    ds["zero_share"].loc[{"activation": "sigmoid"}] = 1e-4
    figure = activation_evolution(ds)
    assert not lines(figure, "zeros-sigmoid")
    expected = ds["zero_share"].sel(activation="relu").mean("hidden_layer").median("seed")
    np.testing.assert_allclose(heights(only(figure, "zeros-relu")), expected)


def test_functions_are_the_first_seeds_at_its_epochs(
    ds: xr.Dataset, drawn: dict[str, Figure]
) -> None:
    """Each line is what the network gave at that epoch, first and last among them."""
    figure = drawn["training_dynamics_functions"]
    for epoch in (0, 40):
        for name in ("sigmoid", "relu"):
            at = ds["learned_function"].sel(activation=name, seed=42, recorded_epoch=epoch)
            shown = heights(only(figure, f"function-{name}-{epoch}"))
            np.testing.assert_array_equal(shown, at)
    assert "seed 42" in words(figure)


@pytest.mark.parametrize(
    ("gid", "variable", "over", "below"),
    [
        ("rms", "activation_rms", -1, None),
        ("gradient", "gradient_magnitude", 0, None),
        ("gradient-share", "gradient_magnitude", 0, -1),
        ("signal-share", "error_signal", 0, -2),
    ],
)
def test_the_summary_shows_layers_and_their_ratios(
    ds: xr.Dataset,
    drawn: dict[str, Figure],
    gid: str,
    variable: str,
    over: int,
    below: int | None,
) -> None:
    """Ratios are taken network by network before the median."""
    figure = drawn["training_dynamics_summary"]
    for name in ("sigmoid", "relu"):
        values = ds[variable].sel(activation=name).to_numpy()
        shown = values[..., over] if below is None else values[..., over] / values[..., below]
        np.testing.assert_allclose(heights(only(figure, f"{gid}-{name}")), np.median(shown, axis=0))


def test_the_summary_measures_the_distance_from_the_sine(
    ds: xr.Dataset, drawn: dict[str, Figure]
) -> None:
    """The root mean square over the inputs, against the targets without noise."""
    line = only(drawn["training_dynamics_summary"], "distance-relu")
    errors = ds["learned_function"].sel(activation="relu").to_numpy() - np.sin(ds["x"].to_numpy())
    expected = np.median(np.sqrt(np.mean(errors**2, axis=-1)), axis=0)
    np.testing.assert_allclose(heights(line), expected)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0.47, 0.62, ["0.5", "0.55", "0.6"]), (0.04, 0.7, ["0.05", "0.1", "0.2", "0.5"])],
)
def test_ticks_of_few_decades_are_plain_numbers(
    ds: xr.Dataset, low: float, high: float, labels: list[str]
) -> None:
    """Round ones, none of them a product with a power of ten."""
    ds["activation_rms"][:] = low
    ds["activation_rms"][:, :, -1] = high
    axes = panel(activation_evolution(ds), "Sigmoid")
    bottom, top = axes.get_ylim()
    shown = [
        label.get_text()
        for label, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
        if bottom <= place <= top
    ]
    assert shown == labels
    assert not any(label.get_text() for label in axes.get_yticklabels(minor=True))


def test_every_height_has_a_label_and_layers_one_bar(drawn: dict[str, Figure]) -> None:
    """What is drawn upward is said at least at the left end of each row."""
    for name in ("activation_evolution", "training_dynamics_summary"):
        assert all(axes.get_ylabel() for axes in drawn[name].axes if axes.lines)
    figure = drawn["gradient_evolution"]
    left = [axes.get_ylabel() for axes in figure.axes if axes.lines and axes.get_ylabel()]
    assert left == ["mean |∂loss/∂W|", "RMS of ∂loss/∂z"]
    assert [axes.get_ylabel() for axes in figure.axes if not axes.lines] == [
        "layer, 1 = nearest the input, 4 = output"
    ]
    assert figure.get_suptitle().startswith("Weight gradients and error signals per layer\n3x64")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_states_its_protocol(drawn: dict[str, Figure], name: str) -> None:
    """Shape, initializer, learning rate, epochs and seeds can be read on each page."""
    text = words(drawn[name])
    assert "3x64 networks, he_normal, Adam 0.001, 40 epochs" in text
    assert "3 seeds" in text or "seed 42" in text


def smallest() -> xr.Dataset:
    """One of everything, but for two points and two looks."""
    return dataset(activations=("relu",), epochs=1, seeds=1, depth=1, points=2)


def spoiled() -> xr.Dataset:
    """Three activations of odd names: nothing finite, zeros alone, and a bit of everything."""
    ds = dataset(activations=("relu", "tanh", "gelu"), seeds=2, depth=14)
    for name in (*LAYERED, "learned_function", "loss", "final_mse"):
        ds[name][0] = np.nan
        ds[name][1] = 0
    ds["gradient_magnitude"][2, 0] = np.inf
    ds["gradient_magnitude"][2, 1, 2:] = 1.7e308
    ds["error_signal"][2, :, :, 1] = 5e-324
    ds["learned_function"][2, :, 3] = np.inf
    ds["learned_function"][2, 0, 1:] = 1e300
    ds["loss"][2, 0, 5:] = np.inf
    ds["diverged"][2, 0] = 5
    ds["zero_share"][2] = np.nan
    return ds.assign_coords(activation=["_mine$", "\u6f22\u5b57:fn", "a" * 80])


@pytest.fixture(scope="module", params=[spoiled, smallest], ids=["spoiled", "smallest"])
def left_behind(request: pytest.FixtureRequest) -> xr.Dataset:
    """What a run may leave behind."""
    made: xr.Dataset = request.param()
    return made


@pytest.mark.parametrize("draw", FIGURES.values())
def test_a_panel_says_where_nothing_is_finite(
    draw: Callable[[xr.Dataset], Figure], left_behind: xr.Dataset
) -> None:
    """And none says so of a run of one of everything."""
    figure = draw(left_behind)
    panelwise = draw in (activation_evolution, gradient_evolution, training_dynamics_functions)
    assert ("not finite" in words(figure)) == (panelwise and left_behind.sizes["seed"] > 1)


def test_what_the_animation_lacks_is_named(ds: xr.Dataset) -> None:
    """A dataset of another experiment is refused."""
    with pytest.raises(KeyError, match="learned_function"):
        learned_functions(ds.drop_vars("learned_function"))


def frames(content: bytes) -> list[npt.NDArray[np.uint8]]:
    """The pictures of a GIF, each as the viewer sees it."""
    with Image.open(io.BytesIO(content)) as gif:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


def near(frame: npt.NDArray[np.uint8], color: str, most: int) -> npt.NDArray[np.bool_]:
    """Where each channel of a picture is that of a color, give or take."""
    wanted = np.round(np.array(to_rgb(color)) * 255)
    found: npt.NDArray[np.bool_] = np.abs(frame.astype(int) - wanted).max(-1) <= most
    return found


def test_the_animation_has_a_frame_per_look_and_begins_anew(ds: xr.Dataset) -> None:
    """Frames differ from each other, last equally long but the final one, and run in a loop."""
    content = learned_functions(ds)
    assert content.startswith(b"GIF89a")
    pictures = frames(content)
    assert len(pictures) == ds.sizes["recorded_epoch"]
    assert all((one != other).any() for one, other in itertools.pairwise(pictures))
    with Image.open(io.BytesIO(content)) as gif:
        assert gif.info["loop"] == 0
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [160, 160, 160, 160, 2500]


def test_every_activation_keeps_its_color_in_every_frame() -> None:
    """No color gives way to another's when a GIF's 256 colors are chosen."""
    made = dataset(activations=ALL, epochs=1, seeds=2)
    for picture in frames(learned_functions(made)):
        for color in ("#FFFFFF", *(style.color for style in ACTIVATION_STYLES.values())):
            # As it is, and not merely in a mixture.
            assert near(picture, color, 1).sum() > 20, color


def test_a_frame_shows_the_function_of_its_look() -> None:
    """A constant network is a level line, which leaves when the network has learned."""
    made = dataset(activations=("relu",), epochs=1, seeds=1, points=50)
    made["learned_function"][0, 0, 0] = 0.7
    made["learned_function"][0, 0, 1] = np.sin(made["x"])
    first, last = frames(learned_functions(made))
    color = ACTIVATION_STYLES["relu"].color
    before, after = (np.flatnonzero(near(p, color, 59).any(1)) for p in (first, last))
    assert 1 <= before.size <= 4
    assert after.size > 50
    assert before.max() < after.mean()  # rows count from the top


def test_equal_data_give_equal_animations(left_behind: xr.Dataset) -> None:
    """Its bytes depend on the data alone, whatever is not finite in them."""
    first = learned_functions(left_behind)
    assert first == learned_functions(left_behind)
    assert len(frames(first)) == left_behind.sizes["recorded_epoch"]


def test_findings_tell_when_networks_learn_and_what_heals(ds: xr.Dataset) -> None:
    """Epochs, shares of the error signal, growth and sparsity are those of the dataset."""
    ds["target_noisy"][:] = ds["target_clean"] + 0.1  # a noise of 0.01
    ds["loss"][:] = 0.5
    ds["loss"].loc[{"activation": "relu", "epoch": slice(17, None)}] = 0.019
    ds["final_mse"].loc[{"activation": "sigmoid"}] = 0.45
    ds["final_mse"].loc[{"activation": "relu"}] = 0.0075
    ds["error_signal"][:] = 1.0
    ds["error_signal"].loc[{"activation": "relu", "recorded_epoch": 0, "layer": 1}] = 0.001
    ds["error_signal"].loc[{"activation": "sigmoid", "layer": 1}] = 1e-8
    ds["activation_rms"].loc[{"recorded_epoch": 0}] = 0.5
    ds["activation_rms"].loc[{"recorded_epoch": 40}] = 2.0
    ds["zero_share"].loc[{"recorded_epoch": 0}] = 0.5
    ds["zero_share"].loc[{"recorded_epoch": 40}] = 0.25
    learned, misfits, signals, growth, sparsity = findings(ds)
    assert "2 times the noise, over 3 seeds: ReLU 17." in learned
    assert misfits.startswith("Never that low in most of 3 seeds: Sigmoid;")
    assert "Sigmoid 0.45" in misfits
    assert "first update Sigmoid 1e-8 and ReLU 0.001; after the last Sigmoid 1e-8 and" in signals
    assert "is there again in ReLU: vanishing" in signals
    assert "Sigmoid 4 and ReLU 4" in growth
    assert "from 50.0% to 25.0%; its final loss is 0.0075" in sparsity


def test_there_are_findings_whatever_a_run_left_behind(left_behind: xr.Dataset) -> None:
    """Whole sentences, without a warning."""
    sentences = findings(left_behind)
    assert sentences
    assert all(sentence.endswith(".") for sentence in sentences)
