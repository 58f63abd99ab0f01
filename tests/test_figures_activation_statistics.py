"""The figures and findings of activation statistics say what the dataset says."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import heights, line, words
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from actbench.pages.colors import ACTIVATION_STYLES
from actbench.store import datasets
from actbench.study.experiments.activation_statistics.figures import (
    exp2_activation_distributions,
    exp2_sparsity_dead_neurons,
)
from actbench.study.experiments.activation_statistics.findings import findings

ALL = tuple(ACTIVATION_STYLES)
ONE = ("he_normal",)
SHARES = ("zero_share", "near_zero_share", "dead_unit_share", "saturated_share")
LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


def dataset(
    *,
    activations: tuple[str, ...] = ("sigmoid", "relu"),
    initializers: tuple[str, ...] = ("torch_default", "he_normal"),
    trained: tuple[str, ...] = ("he_normal",),
    seeds: int = 5,
    trained_seeds: int = 2,
    depth: int = 4,
) -> xr.Dataset:
    """A plausible outcome of `activation-statistics`, made without any network."""
    rng = np.random.default_rng(3)
    dims = ("activation", "stage", "initializer", "seed", "hidden_layer")
    shape = (len(activations), 2, len(initializers), seeds, depth)
    mask = np.zeros((len(initializers), seeds), dtype=int)
    mask[[initializers.index(key) for key in trained], :trained_seeds] = 1
    variables: dict[str, tuple[tuple[str, ...], npt.NDArray[np.float64]]] = {
        **{name: (dims, rng.uniform(0.05, 0.9, shape)) for name in SHARES},
        "activation_std": (dims, rng.uniform(0.5, 2, shape)),
    }
    for name in ("pre_activation_quantile", "activation_quantile"):
        values = np.sort(rng.normal(size=(*shape, len(LEVELS))), axis=-1)
        variables[name] = ((*dims, "level"), values)
    for _, values in variables.values():
        values[:, 1][:, mask == 0] = np.nan
    made = xr.Dataset(
        {**variables, "trained": (("initializer", "seed"), mask)},
        coords={
            "activation": list(activations),
            "stage": ["initial", "trained"],
            "initializer": list(initializers),
            "seed": 42 + np.arange(seeds),
            "hidden_layer": np.arange(1, depth + 1),
            "level": list(LEVELS),
        },
    )
    protocol = {"epochs": 500, "epsilon": 0.01, "saturation": 0.01}
    return datasets.finish(made, "activation-statistics", protocol, {})


@pytest.fixture
def ds() -> xr.Dataset:
    """Two activations, two initializers, of which one is trained."""
    return dataset()


@pytest.fixture(scope="module")
def shares() -> Figure:
    """The figure of shares of that dataset."""
    return exp2_sparsity_dead_neurons(dataset())


def test_a_row_per_activation_and_a_column_per_state() -> None:
    """Each trained initializer stands before and after, with how many networks it rests on."""
    keys = ("torch_default", "xavier_uniform", "he_normal")
    made = dataset(initializers=keys, trained=("torch_default", "he_normal"))
    figure = exp2_activation_distributions(made)
    assert len(figure.axes) == 2 * 4
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "torch_default\nat initialization, 5 networks",
        "torch_default\nafter 500 epochs, 2 networks",
        "he_normal\nat initialization, 5 networks",
        "he_normal\nafter 500 epochs, 2 networks",
    ]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["Sigmoid", "ReLU"]


def test_distributions_are_medians_over_the_networks_that_are_there(ds: xr.Dataset) -> None:
    """In the last column only trained networks count, and z and a are told apart."""
    axes = exp2_activation_distributions(ds).axes[3]
    chosen = ds.sel(activation="relu", stage="trained", initializer="he_normal").isel(seed=slice(2))
    median = chosen["activation_quantile"].sel(level=0.5).median("seed")
    np.testing.assert_allclose(heights(line(axes, "median-relu")), median)
    for level in (0.01, 0.5, 0.99):
        z = chosen["pre_activation_quantile"].sel(level=level).median("seed")
        np.testing.assert_allclose(heights(line(axes, f"pre-{level}")), z)
    std = chosen["activation_std"].median("seed").values
    assert f"std {std[0]:.3g} → {std[-1]:.3g}" in axes.texts[0].get_text()
    bands = [path.get_paths()[0].vertices for path in axes.collections]
    for drawn, (low, high) in zip(bands, ((0.01, 0.99), (0.25, 0.75)), strict=True):
        edges = chosen["activation_quantile"].sel(level=[low, high]).median("seed")
        assert np.asarray(drawn)[:, 1].min() == pytest.approx(edges.sel(level=low).min().item())
        assert np.asarray(drawn)[:, 1].max() == pytest.approx(edges.sel(level=high).max().item())


def test_shares_are_drawn_where_they_belong(ds: xr.Dataset, shares: Figure) -> None:
    """A column per share, a row per state, the median over the networks of that state."""
    assert len(shares.axes) == 2 * len(SHARES)
    states = [("he_normal", "initial", 5), ("he_normal", "trained", 2)]
    for number, (key, stage, count) in enumerate(states):
        for column, variable in enumerate(SHARES):
            axes = shares.axes[number * len(SHARES) + column]
            for name in ("sigmoid", "relu"):
                values = ds[variable].sel(activation=name, stage=stage, initializer=key)
                expected = values.isel(seed=slice(count)).median("seed")
                np.testing.assert_allclose(heights(line(axes, f"{variable}-{name}")), expected)


def test_the_figure_says_what_counts_as_zero_dead_and_saturated(shares: Figure) -> None:
    """Thresholds come from the protocol, and numbers of networks and epochs stand beside."""
    text = words(shares)
    for part in (
        "outputs exactly zero",
        "|a| < 0.01",
        "dead units: zero on every input",
        "below 1% of its maximum",
        "at initialization, 5 networks",
        "after 500 epochs, 2 networks",
        "median and 2.5",
    ):
        assert part in text


def test_what_is_zero_throughout_is_named_and_not_drawn(ds: xr.Dataset) -> None:
    """A line on the axis would hide among others: words say it."""
    ds["dead_unit_share"].loc[{"activation": "sigmoid"}] = 0
    first = exp2_sparsity_dead_neurons(ds).axes[2]
    assert [each.get_gid() for each in first.lines] == ["dead_unit_share-relu"]
    assert first.texts[0].get_text() == "Sigmoid: none in any layer"
    many = dataset(activations=ALL, initializers=ONE, trained=())
    others = [name for name in ALL if name != "relu"]
    many["dead_unit_share"].loc[{"activation": others}] = 0
    crowded = exp2_sparsity_dead_neurons(many).axes[2]
    assert crowded.texts[0].get_text() == "others: none in any layer"


def test_without_training_every_initializer_is_shown() -> None:
    """Four at most, each where it starts."""
    keys = ("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal")
    made = dataset(activations=("relu",), initializers=keys, trained=())
    figure = exp2_activation_distributions(made)
    titles = [f"{key}\nat initialization, 5 networks" for key in keys[:4]]
    assert [axes.get_title() for axes in figure.axes] == titles


def test_an_activation_has_its_look_in_every_panel() -> None:
    """Color, line style and marker are the activation's, and the legend names all eight."""
    figure = exp2_sparsity_dead_neurons(dataset(activations=ALL, initializers=ONE))
    for name, style in ACTIVATION_STYLES.items():
        drawn = [line(axes, f"{SHARES[0]}-{name}") for axes in figure.axes[:: len(SHARES)]]
        assert {to_hex(str(each.get_color())).upper() for each in drawn} == {style.color}
        assert {each.get_linestyle() for each in drawn} == {style.linestyle}
        assert {each.get_marker() for each in drawn} == {style.marker}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        style.name for style in ACTIVATION_STYLES.values()
    ]


def test_what_is_not_finite_is_said_to_be(ds: xr.Dataset) -> None:
    """Where there is no spread, words stand in its place."""
    assert "not finite" not in words(exp2_activation_distributions(ds))
    ds["activation_std"][0] = np.nan
    assert words(exp2_activation_distributions(ds)).count("not finite") == 2


def test_headings_keep_clear_of_each_other() -> None:
    """At the study's shape no heading covers another or leaves the page."""
    figure = exp2_sparsity_dead_neurons(dataset(activations=ALL, initializers=ONE, depth=10))
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    titles = [axes.title.get_window_extent() for axes in figure.axes[:4]]
    assert all(not one.overlaps(other) for one, other in itertools.pairwise(titles))
    assert all(one.x0 >= 0 and one.x1 <= figure.bbox.width for one in titles)


def test_findings_name_spread_zeros_dead_units_and_saturation(ds: xr.Dataset) -> None:
    """Each number in the sentences is the one that the dataset holds."""
    ds["activation_std"].loc[{"stage": "initial", "activation": "relu", "hidden_layer": 1}] = 2.0
    ds["activation_std"].loc[{"stage": "initial", "activation": "relu", "hidden_layer": 4}] = 0.5
    ds["zero_share"].loc[{"activation": "relu", "stage": "initial"}] = 0.375
    ds["zero_share"].loc[{"activation": "sigmoid"}] = 0
    ds["dead_unit_share"].loc[{"activation": "relu", "stage": "initial"}] = 0.25
    ds["dead_unit_share"].loc[{"activation": "relu", "stage": "trained"}] = 0.125
    ds["dead_unit_share"].loc[{"activation": "sigmoid"}] = 0
    ds["saturated_share"].loc[{"activation": "sigmoid", "stage": "initial"}] = 0.5
    ds["saturated_share"].loc[{"activation": "sigmoid", "stage": "trained"}] = 0.75
    spread, zeros, dead, saturation = findings(ds)
    assert "Under he_normal, before training (5 networks each)" in spread
    assert "ReLU 0.25" in spread
    assert "ReLU 37.5%; other activations have none to speak of" in zeros
    assert "rounding" not in zeros
    assert "(2 networks each, median): ReLU 25.0%; after 500 epochs of it: ReLU 12.5%." in dead
    assert dead.endswith("Sigmoid: none anywhere.")
    assert "below 1% of its maximum" in saturation
    assert "he_normal Sigmoid 50.0% before, Sigmoid 75.0% after" in saturation
