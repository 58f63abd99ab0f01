"""How networks of one width differ, and the spread that mean-field theory predicts."""

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
from actbench.study.experiments.gradient_flow.mean_field_figures import (
    INK,
    draw_theory,
    not_measured,
    pooled,
    predicted,
    theory_error_signals,
    theory_handles,
    wrapped,
)
from actbench.study.figures._marks import DASHES, Array, handle, log_safe

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


_BAND: Final = "#DDDDDD"


def theory_width(ds: xr.Dataset) -> Figure:
    """Draw how networks of one width differ, and the prediction that falls as 1 / sqrt(width).

    Args:
        ds: Dataset of `gradient-flow`.

    Returns:
        The figure: a panel per activation with every network's slope, and one with their
        standard deviations. A dataset without the spread part gives a figure that says so.
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
    figure.legend(
        handles=[
            *(handle(style_of(name), marker=True) for name in names),
            Patch(color=_BAND, label="mean-field theory ± 2 standard deviations"),
        ],
        loc="outside lower center",
        ncols=min(len(names) + 1, max(1, int(figure.get_figwidth() / 2.4))),
        frameon=False,
    )
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
        axes.plot(
            across,
            slopes,
            ".",
            color=style_of(name).color,
            alpha=0.6,
            markersize=5,
            gid=f"networks-{name}-{width}",
        )
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
        style = style_of(name)
        axes.errorbar(
            widths,
            log_safe(spread),
            yerr=log_safe(spread) / np.sqrt(2 * np.maximum(counts - 1, 1)),
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


__all__ = [
    "draw_theory",
    "pooled",
    "predicted",
    "theory_error_signals",
    "theory_handles",
    "theory_width",
]
