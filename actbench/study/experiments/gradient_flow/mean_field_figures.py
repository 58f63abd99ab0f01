"""Error signals of deep networks with the predictions of mean-field theory."""

from __future__ import annotations

import functools
import itertools
import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actbench.pages.colors import style_of
from actbench.store.datasets import protocol_of
from actbench.study import theory
from actbench.study.catalog import initializers
from actbench.study.figures._marks import (
    DASHES,
    PALE,
    SMALL,
    Array,
    activations,
    draw_band,
    handle,
    log_safe,
    number_layers,
    say,
    say_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

INK: Final = "#111111"
_THEORY: Final = "mean-field theory, nothing fitted"


def wrapped(figure: Figure, words: str) -> str:
    """Break words into lines as wide as their figure."""
    return textwrap.fill(words, width=int(8 * figure.get_figwidth()))


def legend_below(figure: Figure, handles: Sequence[Artist], columns: float) -> None:
    """Explain what a figure's panels share, in as many columns as are asked for and needed."""
    columns = max(1, min(int(columns), len(handles)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def not_measured(words: str) -> Figure:
    """Draw the figure of a part that was not run."""
    figure = Figure(figsize=(6, 2), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    say(axes, words)
    return figure


def layers_across(axes: Axes, depth: int) -> Array:
    """Number the layers of an axis, the output's too, and return them; heights are logarithmic."""
    layers = np.arange(1, depth + 2, dtype=np.float64)
    axes.set_yscale("log")
    axes.set_xlabel(f"layer: 1 = nearest input, {depth + 1} = output", fontsize=9)
    number_layers(axes, layers, most=6)
    return layers


def draw_theory(
    axes: Axes, ds: xr.Dataset, activation: str, initializer: str, depth: int, points: int, gid: str
) -> None:
    """Draw what theory expects of a network, thin, over what was measured and is pale."""
    expected = _predicted(ds, activation, initializer, depth, points)
    if np.isfinite(expected).any():
        style, layers = style_of(activation), np.arange(1, depth + 2)
        values = log_safe(expected)
        axes.plot(layers, values, style.linestyle, color=style.color, linewidth=1.2, gid=gid)


def _predicted(ds: xr.Dataset, activation: str, initializer: str, depth: int, points: int) -> Array:
    """RMS of d loss / d z ``(depth + 1,)`` on points from -pi to pi; NaN where it's not known."""
    if activation not in theory.FORMULAS:
        return np.full(depth + 1, np.nan)
    return _prediction(activation, initializer, depth, points, protocol_of(ds)["width"])


@functools.cache  # several panels and figures ask for the same
def _prediction(activation: str, initializer: str, depth: int, points: int, width: int) -> Array:
    x = np.linspace(-np.pi, np.pi, points)
    drawn = initializers.get(initializer)
    return theory.predict(activation, drawn, x, depth=depth, width=width).error_signal_rms


def handles_with_theory(names: Sequence[str]) -> list[Line2D]:
    """Give the entries of a legend: activations, what was measured, what ``draw_theory`` draws."""
    return [
        *(handle(style_of(name), marker=True) for name in names),
        Line2D([], [], color=INK, label="pale: measured", **PALE),
        Line2D([], [], color=INK, linewidth=1.2, label=f"thin: {_THEORY}"),
    ]


_SLOPE_LAYERS: Final = (10, 40)  # of 50: far from both ends
_TOLERANCE: Final = 0.01  # decades per layer; the pool of 64 networks scatters by half of it
_MOST_INITIALIZERS: Final = 5
_SHOWN: Final = "gelu"  # its weight gradients hide most
_XAVIER: Final = "xavier_uniform"  # the study's initializer
_MARKERS: Final = ("o", "D")  # weight gradients, error signal


def theory_error_signals(ds: xr.Dataset) -> Figure:
    """Draw deep error signals with their predictions, and what the published ratio hides.

    Above, a panel per initializer (at most five); below, GELU's weight gradients beside its error
    signal, what both say of each activation, and measured against predicted slopes. A dataset
    without the deep part gives a figure that says so.
    """
    depth = protocol_of(ds)["deep_depth"]
    if not depth:
        return not_measured("The deep part was not run: deep_depth is 0")
    keys = [str(key) for key in ds["initializer"].values][:_MOST_INITIALIZERS]
    columns = max(len(keys), 4)
    figure = Figure(figsize=(3.4 * columns, 10.6), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.08))[:, 0]
    _draw_signals(above, figure, ds, keys, depth)
    _draw_hidden(below, ds, keys, depth)
    legend_below(figure, handles_with_theory(activations(ds)), min(10, figure.get_figwidth() / 1.7))
    return figure


def _draw_signals(
    above: SubFigure, figure: Figure, ds: xr.Dataset, keys: list[str], depth: int
) -> None:
    protocol = protocol_of(ds)
    heading = (
        f"Error signals: {depth} hidden layers of {protocol['width']} units, pooled "
        f"over {ds.sizes['deep_seed']} networks and {protocol['deep_points']} inputs"
    )
    above.suptitle(wrapped(figure, heading), fontsize=13)
    panels = above.subplots(1, len(keys), squeeze=False, sharey=True)[0]
    for panel, key in zip(panels, keys, strict=True):
        _panel_signals(panel, ds, key, depth)
    panels[0].set_ylabel("RMS of ∂loss/∂z")


def _draw_hidden(below: SubFigure, ds: xr.Dataset, keys: list[str], depth: int) -> None:
    shown = _XAVIER if _XAVIER in keys else keys[0]
    below.suptitle("What to trust instead of the published ratio: the error signal", fontsize=13)
    one, both, slopes = below.subplots(1, 3, squeeze=False, width_ratios=(1, 1.1, 1.2))[0]
    _panel_hidden(one, ds, shown, depth)
    _panel_ratios(both, ds, shown, depth)
    _panel_slopes(slopes, ds, keys, depth)


def _pooled(ds: xr.Dataset, activation: str, initializer: str, depth: int) -> Array:
    """RMS of d loss / d z ``(depth + 1,)``, pooled over networks before any logarithm."""
    signal = ds["deep_error_signal"].sel(activation=activation, initializer=initializer)
    values = signal.transpose("deep_seed", "layer").values[:, : depth + 1]
    rms: Array = np.sqrt(np.mean(np.square(values), axis=0))
    return rms


def _panel_signals(axes: Axes, ds: xr.Dataset, key: str, depth: int) -> None:
    layers, points = layers_across(axes, depth), protocol_of(ds)["deep_points"]
    zeros = False
    for name in activations(ds):
        measured = _pooled(ds, name, key, depth)
        zeros |= bool((measured == 0).any())
        row, gid = log_safe(measured)[None], f"deep-{key}-{name}"
        draw_band(axes, layers, row, style_of(name), gid=gid, pale=True)
        draw_theory(axes, ds, name, key, depth, points, f"theory-{gid}")
    axes.set_title(key, fontsize=10.5)
    if zeros:
        say_zeros(axes)


def _panel_hidden(axes: Axes, ds: xr.Dataset, key: str, depth: int) -> None:
    name = _SHOWN if _SHOWN in activations(ds) else activations(ds)[0]
    layers, points = layers_across(axes, depth), protocol_of(ds)["deep_points"]
    chosen = ds["deep_gradient_magnitude"].sel(activation=name, initializer=key)
    gradient = chosen.mean("deep_seed").values[: depth + 1]
    signal = _pooled(ds, name, key, depth)
    style = style_of(name)
    (line,) = axes.plot(layers, log_safe(signal), color=style.color, gid="hidden-signal", **PALE)
    line.set_label("error signal, RMS of ∂loss/∂z")
    (line,) = axes.plot(layers, log_safe(gradient), ":", color=style.color, linewidth=2.2)
    line.set(label="weight gradient, mean |∂loss/∂W|", gid="hidden-gradient")
    draw_theory(axes, ds, name, key, depth, points, "theory-hidden-signal")
    axes.set_title(f"{style.name}, {key}", fontsize=10.5)
    axes.set_ylabel("RMS or mean absolute value", fontsize=9)
    axes.legend(loc="upper left", fontsize=SMALL)


def _panel_ratios(axes: Axes, ds: xr.Dataset, key: str, depth: int) -> None:
    names = activations(ds)
    axes.set_xscale("log")
    # Of the recovered protocol, where the inputs are not symmetric about zero: there the weight
    # gradients of odd activations would cancel.
    recovered = ds["gradient_ratio"].sel(activation=names).reindex(depth=[depth]).values[:, 0]
    for place, (name, ratio) in enumerate(zip(names, recovered, strict=True)):
        color = style_of(name).color
        signal = _pooled(ds, name, key, depth)
        with np.errstate(all="ignore"):
            both = log_safe([ratio, signal[-1] / signal[0]])
        axes.plot(both, [place, place], color="#BBBBBB", linewidth=1.5, zorder=1)
        for value, marker, face in zip(both, _MARKERS, ("white", color), strict=True):
            axes.plot(
                value,
                place,
                marker,
                color=color,
                markerfacecolor=face,
                markersize=7,
                markeredgewidth=1.6,
                gid=f"ratio-{marker}-{name}",
            )
    axes.set_yticks(range(len(names)), [style_of(name).name for name in names], fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(1, color="#666666", linewidth=0.8)
    axes.set_title(f"output layer over layer 1, {depth} hidden layers, {key}", fontsize=10.5)
    axes.set_xlabel("factor: above 1, less arrives at the input's side", fontsize=9)
    _legend_of_ratios(axes)


def _legend_of_ratios(axes: Axes) -> None:
    words = ("weight gradients, the study's protocol", "error signal")
    axes.legend(
        handles=[
            Line2D([], [], linestyle="", marker=m, color="#555555", markerfacecolor=f, label=w)
            for m, f, w in zip(_MARKERS, ("white", "#555555"), words, strict=True)
        ],
        loc="center right",
        fontsize=SMALL,
    )


def _panel_slopes(axes: Axes, ds: xr.Dataset, keys: list[str], depth: int) -> None:
    first, last = _SLOPE_LAYERS if depth >= 50 else (1, depth + 1)
    points = protocol_of(ds)["deep_points"]
    axes.axhspan(-_TOLERANCE, _TOLERANCE, color="#DDDDDD", linewidth=0)
    axes.axhline(0, color=INK, linestyle=DASHES, linewidth=0.9)
    names = activations(ds)
    offsets = 0.7 * ((np.arange(len(names)) + 0.5) / len(names) - 0.5)
    for (place, key), (offset, name) in itertools.product(
        enumerate(keys), zip(offsets, names, strict=True)
    ):
        signals = _pooled(ds, name, key, depth), _predicted(ds, name, key, depth, points)
        with np.errstate(all="ignore"):
            measured, expected = (theory.decades_per_layer(s, first, last) for s in signals)
        if np.isfinite(measured - expected):
            style, gid = style_of(name), f"gap-{key}-{name}"
            axes.plot(place + offset, measured - expected, style.marker, color=style.color, gid=gid)
    axes.set_xticks(range(len(keys)), keys, fontsize=8.5, rotation=20)
    axes.set_xlim(-0.6, len(keys) - 0.4)
    axes.set_ylabel("difference, decades per layer", fontsize=9)
    axes.set_title(
        f"measured minus predicted slope, layers {first} to {last} (band: ±{_TOLERANCE:g})",
        fontsize=10.5,
    )
