"""Panels that stand alone in one figure and side by side in the summary."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from actbench.pages.colors import style_of
from actbench.study.figures._marks import (
    DASHES,
    DOTS,
    SMALL,
    TRUTH,
    Array,
    activations,
    band,
    draw_band,
    draw_data,
    draw_floors,
    fits,
    floors_of,
    log_safe,
    number,
    safe,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes

_PLATEAU: Final = 0.95  # of the best constant's loss; a network below it has learned something
GOOD: Final = 0.05  # of the best constant's loss; what parts good fits from poor ones in a figure


def panel_errors(axes: Axes, ds: xr.Dataset, names: Sequence[str]) -> None:
    x, noisy, clean = (safe(ds[key].values) for key in ("x", "target_noisy", "target_clean"))
    noise = noisy - clean
    reach = 1.3 * max(np.abs(noise[np.isfinite(noise)]), default=0.0) or 1.0
    axes.plot(x, noise, ".", color=DOTS, markersize=3.5, alpha=0.6)
    axes.axhline(0, color=TRUTH, linestyle=DASHES, linewidth=1.1)
    for name in names:
        errors = safe(ds["prediction"].sel(activation=name).transpose("seed", "x").values) - clean
        errors = np.clip(errors, -10 * reach, 10 * reach)
        draw_band(axes, x, errors, style_of(name), gid=f"error-{name}")
    if not names:
        say(axes, "no activation")
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("x")
    axes.set_ylabel("learned \u2212 clean sine; dots: the noise")


def panel_floors(axes: Axes, ds: xr.Dataset) -> None:
    floors = floors_of(ds, "target_noisy")
    draw_data(axes, ds)
    for (label, fit), linestyle in zip(fits(ds).items(), (":", "-."), strict=True):
        axes.plot(
            *(ds["x"].values, fit),
            color="#B00020",
            linestyle=linestyle,
            linewidth=1.8,
            label=f"{label} (MSE {number(floors[label])})",
        )
    axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.2 * (high - low))


def panel_losses(axes: Axes, ds: xr.Dataset) -> None:
    epochs = safe(ds["epoch"].values)
    axes.set_yscale("log")
    for name in activations(ds):
        losses = ds["loss"].sel(activation=name).transpose("seed", "epoch").values
        draw_band(axes, epochs, log_safe(losses), style_of(name), gid=f"loss-{name}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("MSE on the noisy targets")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    draw_floors(axes, floors_of(ds, "target_noisy"))


def panel_plateau(axes: Axes, ds: xr.Dataset) -> None:
    bound = _PLATEAU * floors_of(ds, "target_noisy")["best constant"]
    epochs = safe(ds["epoch"].values)
    for name in activations(ds):
        losses = ds["loss"].sel(activation=name).transpose("seed", "epoch").values
        # A loss that is not finite is no better than a constant either, hence not `>=`.
        share = 1 - (safe(losses) < bound).mean(axis=0)
        draw_band(axes, epochs, share[None], style_of(name), gid=f"plateau-{name}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"share of seeds, loss ≥ {_PLATEAU:.0%} of its")
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def panel_final(axes: Axes, ds: xr.Dataset, variable: str, against: str) -> None:
    axes.set_yscale("log")
    labels = []
    for place, name in enumerate(activations(ds)):
        style = style_of(name)
        finals = log_safe(ds[variable].sel(activation=name).values)
        low, median, high = band(finals[:, None])[:, 0]
        across = place + (np.linspace(-0.28, 0.28, len(finals)) if len(finals) > 1 else np.zeros(1))
        axes.plot(across, finals, ".", color=style.color, alpha=0.35, markersize=4)
        axes.plot([place, place], [low, high], color=style.color, linewidth=3, alpha=0.7)
        axes.plot(place, median, style.marker, color=style.color, markersize=9, markeredgecolor="w")
        labels.append(f"{style.name}\n{number(median)}")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    if len(labels) > 5:
        axes.tick_params(axis="x", labelrotation=35)
    axes.set_ylabel("MSE")
    draw_floors(axes, floors_of(ds, against))


def panel_gradients(axes: Axes, ds: xr.Dataset, epoch: int) -> None:
    layers = ds["layer"].values.astype(int)
    axes.set_yscale("log")
    at_epoch = ds["gradient_magnitude"].sel(recorded_epoch=epoch)
    for name in activations(ds):
        values = log_safe(at_epoch.sel(activation=name).transpose("seed", "layer").values)
        draw_band(axes, safe(layers), values, style_of(name), marker=True, gid=f"gradient-{name}")
    number_layers(axes, layers)
    axes.set_xlabel(f"layer 1 = nearest the input … {layers[-1]} = output")
    if (at_epoch.values == 0).any():
        say_zeros(axes)


def number_layers(axes: Axes, layers: Array, most: int = 12) -> None:
    first, last = int(layers[0]), int(layers[-1])
    rounds = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in rounds if len(layers) <= most * step)
    ticks = range(first if step < 5 else step, last, step)
    between = (tick for tick in ticks if tick + step / 2 < last)
    axes.xaxis.set_major_locator(FixedLocator(sorted({first, *between, last})))


def say_zeros(axes: Axes) -> None:
    axes.text(
        0.98, 0.03, "gaps: exactly zero", transform=axes.transAxes, ha="right", fontsize=SMALL
    )


def panel_units(axes: Axes, ds: xr.Dataset, name: str, layer: int) -> None:
    at = ds["hidden_activation"].sel(activation=name, hidden_layer=layer)
    outputs = safe(at.transpose("unit", "x").values)
    x = safe(ds["x"].values)
    lines = [np.column_stack([x, unit]) for unit in outputs if np.isfinite(unit).any()]
    # As pixels: thousands of lines of 200 points would make an SVG of many megabytes.
    axes.add_collection(
        LineCollection(
            lines, colors=style_of(name).color, linewidths=0.7, alpha=0.55, rasterized=True
        )
    )
    axes.autoscale_view()
    if not lines:
        say(axes, "not finite")
    dead = int((outputs == 0).all(axis=1).sum())
    if dead:
        say(axes, f"{dead} of {len(outputs)} units dead", at=(0.03, 0.96))


def median_final(ds: xr.Dataset, name: str) -> float:
    return float(band(safe(ds["final_mse"].sel(activation=name).values)[:, None])[1, 0])
