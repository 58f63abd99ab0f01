"""The study's figure of the experiment ``gradient-flow``, and the list of all its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FormatStrFormatter, LogLocator

from actbench.pages.colors import style_of
from actbench.store.datasets import protocol_of
from actbench.study import theory
from actbench.study.catalog import initializers
from actbench.study.experiments.gradient_flow.findings import held_depths
from actbench.study.experiments.gradient_flow.mean_field_figures import (
    INK,
    draw_theory,
    handles_with_theory,
    layers_across,
    legend_below,
    not_measured,
    theory_error_signals,
    wrapped,
)
from actbench.study.figures._marks import (
    DASHES,
    Array,
    activations,
    draw_band,
    handle,
    log_safe,
    say_zeros,
)

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
_BAND: Final = "#DDDDDD"


def exp1_gradient_flow(ds: xr.Dataset) -> Figure:
    """Draw weight gradients of the recovered protocol, and the robust one's error signals below.

    A panel per depth above, a panel per initializer below (at most five, and one depth) with
    mean-field theory's prediction; layer 1, nearest the input, is on the left of each panel.
    """
    every = ds["depth"].values.tolist()
    depths = held_depths(ds["gradient_magnitude"]) or every
    depth = (held_depths(ds["error_signal_rms"]) or every)[0]
    drawn = [str(key) for key in ds["initializer"].values][:_MOST_INITIALIZERS]
    columns = max(len(depths), len(drawn), 3)
    figure = Figure(figsize=(3.2 * columns, 9.4), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    above.suptitle(wrapped(figure, _RECOVERED), fontsize=13)
    panels = above.subplots(1, len(depths), squeeze=False)[0]
    for panel, at in zip(panels, depths, strict=True):
        _panel(panel, ds, ds["gradient_magnitude"].sel(depth=at), at, "gradient")
        panel.set_title(f"{at} hidden layers", fontsize=10.5)
    panels[0].set_ylabel("mean |∂loss/∂W|")
    heading = f"Error signals: {depth} hidden layers, {ds.sizes['seed']} networks each"
    below.suptitle(wrapped(figure, heading), fontsize=13)
    points = protocol_of(ds)["points"]
    panels = below.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    for panel, key in zip(panels, drawn, strict=True):
        signal = ds["error_signal_rms"].sel(depth=depth, initializer=key)
        _panel(panel, ds, signal, depth, f"signal-{key}", pale=True)
        for name in activations(ds):
            draw_theory(panel, ds, name, key, depth, points, f"theory-{key}-{name}")
        panel.set_title(key, fontsize=10.5)
    panels[0].set_ylabel("RMS of ∂loss/∂z")
    handles = handles_with_theory(activations(ds))
    longest = max(len(str(each.get_label())) for each in handles)
    legend_below(figure, handles, figure.get_figwidth() / (0.75 + 0.07 * longest))
    return figure


def _panel(
    axes: Axes, ds: xr.Dataset, values: xr.DataArray, depth: int, gid: str, *, pale: bool = False
) -> None:
    layers = layers_across(axes, depth)
    chosen = values.sel(layer=layers)
    for name in activations(ds):
        row = log_safe(chosen.sel(activation=name).values)[None]
        marked = len(layers) <= _MOST_MARKED
        look = style_of(name)
        draw_band(axes, layers, row, look, marker=marked, gid=f"{gid}-{name}", pale=pale)
    if (chosen.values == 0).any():
        say_zeros(axes)


def theory_width(ds: xr.Dataset) -> Figure:
    """Draw how networks of one width differ, and the prediction that falls as 1 / sqrt(width).

    A panel per activation with every network's slope, and one with their standard deviations. A
    dataset without the spread part gives a figure that says so.
    """
    if "error_slope" not in ds:
        return not_measured("The spread part was not run: it has no widths or no activations")
    names = [str(name) for name in ds["spread_activation"].values]
    settings = protocol_of(ds)
    figure = Figure(figsize=(3.3 * (len(names) + 1) + 1.2, 4.9), layout="constrained")
    protocol = f"{settings['spread_depth']} hidden layers, {settings['spread_initializer']}"
    figure.suptitle(
        wrapped(figure, "Spread of the error signal's slope over networks of one width")
        + f"\n{protocol}, one input",
        fontsize=13,
    )
    halves = figure.subfigures(1, 2, squeeze=False, width_ratios=(len(names), 1.25))[0]
    panels = halves[0].subplots(1, len(names), squeeze=False, sharey=True)[0]
    for panel, name in zip(panels, names, strict=True):
        _panel_networks(panel, ds, name)
    panels[0].set_ylabel("slope minus predicted, decades per layer", fontsize=9)
    _panel_spread(halves[1].subplots(), ds, names)
    band = Patch(color=_BAND, label="mean-field theory ± 2 standard deviations")
    handles = [*(handle(style_of(name), marker=True) for name in names), band]
    legend_below(figure, handles, figure.get_figwidth() / 2.4)
    return figure


def _spread_theory(ds: xr.Dataset, name: str) -> Array:
    """Mean and standard deviation of the slope per width, shape ``(width, 2)``."""
    settings = protocol_of(ds)
    depth, initializer = settings["spread_depth"], initializers.get(settings["spread_initializer"])
    rows = []
    for width in ds["width"].values.tolist():
        expected = theory.predict(name, initializer, [1.0], depth=depth, width=width)
        mean = theory.decades_per_layer(expected.error_signal_rms, 1, depth)
        of_one = theory.slope_spread(name, expected.q, width=width, first=1, last=depth)
        rows.append((mean, of_one))
    return np.array(rows)


def _panel_networks(axes: Axes, ds: xr.Dataset, name: str) -> None:
    widths = ds["width"].values.tolist()
    mean, deviation = _spread_theory(ds, name).T
    places = np.arange(len(widths))
    axes.fill_between(places, -2 * deviation, 2 * deviation, color=_BAND, linewidth=0)
    axes.axhline(0, color=INK, linestyle=DASHES, linewidth=0.9)
    labels = []
    for place, width in enumerate(widths):
        slopes = ds["error_slope"].sel(spread_activation=name, width=width).values - mean[place]
        slopes = slopes[np.isfinite(slopes)]
        across = place + np.linspace(-0.25, 0.25, len(slopes))
        color, gid = style_of(name).color, f"networks-{name}-{width}"
        axes.plot(across, slopes, ".", color=color, alpha=0.6, markersize=5, gid=gid)
        labels.append(f"{width}\n({len(slopes)})")
    axes.set_xticks(places, labels, fontsize=8.5)
    axes.set_xlabel("width (networks)", fontsize=9)
    axes.set_title(style_of(name).name, fontsize=10.5)


def _panel_spread(axes: Axes, ds: xr.Dataset, names: list[str]) -> None:
    widths = ds["width"].values.astype(np.float64)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for name in names:
        slopes = ds["error_slope"].sel(spread_activation=name).transpose("width", "network").values
        counts = np.isfinite(slopes).sum(axis=1)
        spread = np.full(len(widths), np.nan)
        many = counts > 1
        spread[many] = np.nanstd(slopes[many], axis=1, ddof=1)
        style, drawn = style_of(name), log_safe(spread)
        error = drawn / np.sqrt(2 * np.maximum(counts - 1, 1))
        axes.errorbar(
            widths,
            drawn,
            yerr=error,
            color=style.color,
            marker=style.marker,
            linestyle="",
            capsize=2,
        )
        axes.plot(
            widths,
            _spread_theory(ds, name)[:, 1],
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.1,
            gid=f"spread-theory-{name}",
        )
    axes.set_xticks(widths, [f"{width:g}" for width in widths], fontsize=8.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.2g"))
    axes.minorticks_off()
    axes.set_xlabel("width", fontsize=9)
    axes.set_ylabel("decades per layer", fontsize=9)
    axes.set_title("standard deviation ± 1 s.e.; lines: theory", fontsize=10.5)


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
