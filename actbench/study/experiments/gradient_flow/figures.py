"""The study's figure of the experiment ``gradient-flow``, and the list of all its figures."""

from __future__ import annotations

import functools
import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from actbench.pages.colors import style_of
from actbench.store.datasets import protocol_of
from actbench.study.experiments.gradient_flow.mean_field_figures import (
    draw_theory,
    predicted,
    theory_error_signals,
    theory_handles,
)
from actbench.study.experiments.gradient_flow.spread_figure import theory_width
from actbench.study.figures._marks import activations, draw_band, handle, log_safe
from actbench.study.figures._panels import number_layers, say_zeros

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes

_MOST_INITIALIZERS: Final = 5
_RECOVERED: Final = (
    "Weight gradients: the study's protocol as recovered, one draw of Xavier-uniform weights "
    "(scales differ)"
)
_MOST_MARKED: Final = 21  # layers; beyond it markers run into each other


def exp1_gradient_flow(ds: xr.Dataset) -> Figure:
    """Draw weight gradients of the recovered protocol, and the robust one's error signals below.

    Args:
        ds: Dataset of `gradient-flow`.

    Returns:
        The figure: a panel per depth above, a panel per initializer below (at most five, and one
        depth) with mean-field theory's prediction; layer 1, nearest the input, is on the left of
        each panel.

    Raises:
        KeyError: A variable that the figure needs is not in the dataset.
    """
    depths = _depths(ds["gradient_magnitude"])
    depth = _depths(ds["error_signal_rms"])[0]
    initializers = [str(key) for key in ds["initializer"].values][:_MOST_INITIALIZERS]
    columns = max(len(depths), len(initializers), 3)
    figure = Figure(figsize=(3.2 * columns, 9.4), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    wrapped = functools.partial(textwrap.fill, width=int(8 * figure.get_figwidth()))
    above.suptitle(wrapped(_RECOVERED), fontsize=13)
    panels = above.subplots(1, len(depths), squeeze=False)[0]
    for panel, at in zip(panels, depths, strict=True):
        _panel(panel, ds, ds["gradient_magnitude"].sel(depth=at), at, "gradient")
        panel.set_title(f"{at} hidden layers", fontsize=10.5)
    panels[0].set_ylabel("mean |∂loss/∂W|")
    heading = f"Error signals: {depth} hidden layers, {ds.sizes['seed']} networks each"
    below.suptitle(wrapped(heading), fontsize=13)
    panels = below.subplots(1, len(initializers), squeeze=False, sharey=True)[0]
    for panel, key in zip(panels, initializers, strict=True):
        signal = ds["error_signal_rms"].sel(depth=depth, initializer=key)
        _panel(panel, ds, signal, depth, f"signal-{key}", pale=True)
        _draw_theory(panel, ds, key, depth)
        panel.set_title(key, fontsize=10.5)
    panels[0].set_ylabel("RMS of ∂loss/∂z")
    _legend(figure, ds)
    return figure


def _draw_theory(axes: Axes, ds: xr.Dataset, key: str, depth: int) -> None:
    layers = np.arange(1, depth + 2, dtype=np.float64)
    points = protocol_of(ds)["points"]
    for name in activations(ds):
        expected = predicted(ds, name, key, depth, points)
        draw_theory(axes, layers, expected, name, f"theory-{key}-{name}")


def _legend(figure: Figure, ds: xr.Dataset) -> None:
    handles = [handle(style_of(name), marker=True) for name in activations(ds)] + theory_handles()
    longest = max(len(str(each.get_label())) for each in handles)
    columns = max(1, int(figure.get_figwidth() / (0.75 + 0.07 * longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
    )


def _depths(values: xr.DataArray) -> list[int]:
    """Depths that a protocol has; those of the other one are NaN throughout."""
    others = [dim for dim in values.dims if dim != "depth"]
    held = np.asarray(values.notnull().any(others))
    depths = [int(depth) for depth in values["depth"].values]
    return [d for d, there in zip(depths, held, strict=True) if there] or depths


def _panel(
    axes: Axes, ds: xr.Dataset, values: xr.DataArray, depth: int, gid: str, *, pale: bool = False
) -> None:
    layers = np.arange(1, depth + 2, dtype=np.float64)
    axes.set_yscale("log")
    chosen = values.sel(layer=layers)
    for name in activations(ds):
        row = log_safe(chosen.sel(activation=name).values)[None]
        marked = len(layers) <= _MOST_MARKED
        look = style_of(name)
        draw_band(axes, layers, row, look, marker=marked, gid=f"{gid}-{name}", pale=pale)
    number_layers(axes, layers, most=6)
    axes.set_xlabel(f"layer: 1 = nearest input, {depth + 1} = output", fontsize=9)
    if (chosen.values == 0).any():
        say_zeros(axes)


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "exp1_gradient_flow": exp1_gradient_flow,
    "theory_error_signals": theory_error_signals,
    "theory_width": theory_width,
}
"""Figure name to the function that draws it: the study's first, then what theory says."""

CAPTIONS: Final[dict[str, str]] = {
    "exp1_gradient_flow": "Above: weight gradients of every layer, which the study's ratio is "
    "made of; a level curve has a ratio near 1, however small the gradients are. Below: the "
    "error signal that reaches each layer; its slope says how fast it is lost, and thin lines "
    "what mean-field theory predicts. A weight gradient is the error signal times the layer's "
    "input: where the one shrinks toward the input and the other toward the output, the "
    "product stays level and hides it.",
    "theory_error_signals": "Above: the error signal of every layer of deep networks, with "
    "what mean-field theory predicts (thin lines). Below: error signal and weight gradient of "
    "one such network side by side, the ratio of both for every activation, and how far "
    "measured slopes lie from predicted ones. A wide gap in the middle panel is a signal that "
    "the published ratio does not show.",
    "theory_width": "Networks of one width differ in how fast their error signal shrinks, by a "
    "spread that falls as 1/√width: theory is exact only for infinitely wide ones. Each dot is "
    "a network, about the predicted slope; the gray band is the predicted spread.",
}
"""Figure name to what is seen in it."""
