"""Figures of the experiment ``activation-statistics``."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actbench.pages.colors import style_of
from actbench.store.datasets import protocol_of
from actbench.study.figures._marks import (
    DOTS,
    TRUTH,
    Array,
    activations,
    band,
    draw_band,
    legend,
    number,
    number_layers,
    safe,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes

_MOST: Final = 4  # states side by side; more would be too narrow to read
_SHARES: Final = {
    "zero_share": "outputs exactly zero",
    "near_zero_share": "outputs with |a| < {epsilon:g}",
    "dead_unit_share": "dead units:\nzero on every input",
    "saturated_share": "outputs where the derivative is\nbelow {saturation:.0%} of its maximum",
}


class _State(NamedTuple):
    """Networks of one initializer at one stage."""

    initializer: str
    stage: str

    def of(self, ds: xr.Dataset) -> xr.Dataset:
        """Select them, without the seeds that were not trained."""
        chosen = ds.sel(initializer=self.initializer)
        if self.stage == "trained":
            chosen = chosen.isel(seed=np.flatnonzero(chosen["trained"].values))
        return chosen.sel(stage=self.stage)


def _states(ds: xr.Dataset) -> list[_State]:
    """Each trained initializer before and after; where none is, each before."""
    keys = [str(key) for key in ds["initializer"].values]
    trained = [key for key in keys if ds["trained"].sel(initializer=key).values.any()]
    if not trained:
        return [_State(key, "initial") for key in keys[:_MOST]]
    pairs = [_State(key, stage) for key in trained for stage in ("initial", "trained")]
    return pairs[:_MOST]


def _heading(ds: xr.Dataset, state: _State) -> str:
    count = state.of(ds).sizes["seed"]
    networks = f"{count} network" + ("s" if count > 1 else "")
    epochs = protocol_of(ds)["epochs"]
    when = "at initialization" if state.stage == "initial" else f"after {epochs} epochs"
    return f"{state.initializer}\n{when}, {networks}"


def exp2_activation_distributions(ds: xr.Dataset) -> Figure:
    """Draw how pre-activations and activations are distributed in every hidden layer.

    A row per activation; a column per trained initializer before and after (at most two), or per
    initializer where none was trained (at most four).
    """
    names, states = activations(ds), _states(ds)
    size = (1.5 + 3.2 * max(2, len(states)), 2.3 + 1.75 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(names), len(states), squeeze=False, sharex=True)
    for column, state in enumerate(states):
        chosen = state.of(ds)
        for row, name in enumerate(names):
            _panel_distribution(grid[row, column], chosen.sel(activation=name), name)
        grid[0, column].set_title(_heading(ds, state), fontsize=10)
        grid[-1, column].set_xlabel("hidden layer, 1 = nearest the input", fontsize=9)
    for name, row_of in zip(names, grid, strict=True):
        label = style_of(name).name
        row_of[0].set_ylabel(label, fontsize=11 if len(label) <= 12 else 8)
    figure.suptitle(
        "Distributions over the inputs and units of each hidden layer\n"
        "quantiles within a network, median over networks; std: of a in the first → last layer; "
        "scales differ",
        fontsize=13,
    )
    _explain_bands(figure)
    return figure


def _panel_distribution(axes: Axes, ds: xr.Dataset, name: str) -> None:
    layers = safe(ds["hidden_layer"].values)
    post, pre = (_quantiles(ds[key]) for key in ("activation_quantile", "pre_activation_quantile"))
    color = style_of(name).color
    for low, high, alpha in ((0.01, 0.99, 0.25), (0.25, 0.75, 0.5)):
        axes.fill_between(layers, post[low], post[high], color=color, alpha=alpha, linewidth=0)
    axes.plot(layers, post[0.5], color=color, linewidth=1.8, gid=f"median-{name}")
    for level, style in ((0.01, "--"), (0.99, "--"), (0.5, ":")):
        axes.plot(layers, pre[level], color=TRUTH, linestyle=style, linewidth=1, gid=f"pre-{level}")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for words above the bands
    say(axes, _spread_note(ds), at=(0.03, 0.96))
    number_layers(axes, ds["hidden_layer"].values.astype(int))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8)


def _spread_note(ds: xr.Dataset) -> str:
    first, last = (
        float(band(safe(ds["activation_std"].isel(hidden_layer=[end])))[1, 0]) for end in (0, -1)
    )
    if not math.isfinite(first + last):
        return "not finite"
    return f"std {number(first)} → {number(last)}"


def _quantiles(values: xr.DataArray) -> dict[float, Array]:
    """Per level the median over seeds, shape ``(hidden_layer,)``."""
    return {
        float(level): band(safe(values.sel(level=level).transpose("seed", "hidden_layer")))[1]
        for level in values["level"].values
    }


def _explain_bands(figure: Figure) -> None:
    handles = [
        Patch(color=DOTS, alpha=0.35, label="activation a: 1 to 99 %"),
        Patch(color=DOTS, alpha=0.8, label="25 to 75 %"),
        Line2D([], [], color=DOTS, linewidth=1.8, label="median"),
        Line2D([], [], color=TRUTH, linestyle="--", linewidth=1, label="pre-activation z: 1, 99 %"),
        Line2D([], [], color=TRUTH, linestyle=":", linewidth=1, label="median of z"),
    ]
    columns = len(handles) if figure.get_figwidth() > 10 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def exp2_sparsity_dead_neurons(ds: xr.Dataset) -> Figure:
    """Draw the shares of zeros, of dead units and of saturation in every hidden layer.

    A column per share; a row per trained initializer before and after (at most two), or per
    initializer where none was trained (at most four).
    """
    states, protocol = _states(ds), protocol_of(ds)
    size = (3.9 * len(_SHARES), 1.8 + 2.9 * len(states))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(states), len(_SHARES), squeeze=False, sharex=True, sharey=True)
    for row, state in zip(grid, states, strict=True):
        chosen = state.of(ds)
        for axes, variable in zip(row, _SHARES, strict=True):
            _panel_share(axes, chosen, variable)
        row[0].set_ylabel(_heading(ds, state), fontsize=10)
    for axes, (_, heading) in zip(grid[0], _SHARES.items(), strict=True):
        axes.set_title(heading.format(**protocol), fontsize=10.5)
    for axes in grid[-1]:
        axes.set_xlabel("hidden layer, 1 = nearest the input", fontsize=9)
    figure.suptitle(
        "Sparsity, dead and saturated units: share of a layer, median and 2.5\u201397.5 % of the "
        "networks",
        fontsize=13,
    )
    legend(figure, ds, marker=True)
    return figure


def _panel_share(axes: Axes, ds: xr.Dataset, variable: str) -> None:
    layers = safe(ds["hidden_layer"].values)
    none: list[str] = []
    for name in activations(ds):
        values = safe(ds[variable].sel(activation=name).transpose("seed", "hidden_layer"))
        if np.isfinite(values).any() and not np.nan_to_num(values).any():
            none.append(style_of(name).name)
            continue
        draw_band(axes, layers, values, style_of(name), marker=True, gid=f"{variable}-{name}")
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    number_layers(axes, ds["hidden_layer"].values.astype(int))
    if none:
        rest = "others" if len(none) > len(activations(ds)) / 2 else ", ".join(none)
        say(axes, textwrap.fill(f"{rest}: none in any layer", 40), at=(0.03, 0.97))


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "exp2_activation_distributions": exp2_activation_distributions,
    "exp2_sparsity_dead_neurons": exp2_sparsity_dead_neurons,
}
"""The study's figure names, each with the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "exp2_activation_distributions": "Where the values before and after the activation lie in "
    "every hidden layer, before and after training. A band that closes to the right is a "
    "signal that dies on its way forward.",
    "exp2_sparsity_dead_neurons": "Shares of outputs that are zero or nearly so, of units that "
    "are dead (zero on every input), and of saturated outputs, in every hidden layer, before "
    "and after training.",
}
"""Figure name to what is seen in it."""
