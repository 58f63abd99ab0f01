"""Figures of the experiment ``sine-regression``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actbench.pages.colors import ActivationStyle, style_of
from actbench.study.figures._marks import (
    DASHES,
    DOTS,
    SMALL,
    TRUTH,
    activations,
    band,
    data_handles,
    draw_band,
    draw_data,
    draw_floors,
    draw_prediction,
    fits,
    floors_of,
    grid,
    handle,
    legend,
    log_safe,
    number,
    number_layers,
    panel_losses,
    safe,
    say,
    say_zeros,
    seeds_note,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from matplotlib.axes import Axes


_PLATEAU: Final = 0.95  # of the best constant's loss; a network below it has learned something
_GOOD: Final = 0.05  # of the best constant's loss; what parts good fits from poor ones in a figure


def learned_functions(ds: xr.Dataset) -> Figure:
    """Draw what each activation's networks learned, one panel per activation.

    Noisy points, clean sine, and the median and band of the predictions.
    """
    names = activations(ds)
    figure, panels, spare = grid(len(names), (3.9, 3.1))
    figure.suptitle(f"Learned functions\n{seeds_note(ds)}", fontsize=13)
    for name, axes in zip(names, panels, strict=True):
        draw_data(axes, ds)
        draw_prediction(axes, ds, name)
        title = f"{style_of(name).name}: final MSE {number(_median_final(ds, name))}"
        axes.set_title(title, fontsize=10.5)
    handles = [*data_handles(), handle(ActivationStyle("learned function", TRUTH, "-", ""))]
    spare.legend(handles=handles, loc="center", frameon=False)
    return figure


def loss_curves(ds: xr.Dataset) -> Figure:
    """Draw the training loss against the epoch, with the floors that can be computed."""
    figure = Figure(figsize=(9.5, 5.8), layout="constrained")
    axes = figure.subplots()
    panel_losses(axes, ds)
    axes.set_title(f"Training loss\n{seeds_note(ds)}", fontsize=13)
    legend(figure, ds)
    return figure


def gradient_flow(ds: xr.Dataset) -> Figure:
    """Draw the gradient magnitude of every layer, one panel per recorded epoch.

    Layer 1, nearest the input, is on the left of each panel.
    """
    epochs = [int(epoch) for epoch in ds["recorded_epoch"].values]
    figure, panels, spare = grid(len(epochs), (4.3, 3.4), share=True)
    figure.suptitle(f"Gradient magnitude, mean |∂loss/∂W|\n{seeds_note(ds)}", fontsize=13)
    for epoch, axes in zip(epochs, panels, strict=True):
        _panel_gradients(axes, ds, epoch)
        axes.set_title(f"epoch {epoch}")
    spare.legend(
        handles=[handle(style_of(name), marker=True) for name in activations(ds)],
        loc="center",
        frameon=False,
        handlelength=3.5,
    )
    return figure


def hidden_activations(ds: xr.Dataset) -> Figure:
    """Draw the outputs of the hidden units of one seed over the inputs.

    A row per activation, a column per hidden layer, a thin line per unit.
    """
    names, layers = activations(ds), [int(layer) for layer in ds["hidden_layer"].values]
    size = (1.2 + 3.2 * max(2, len(layers)), 1.3 + 1.9 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(names), len(layers), squeeze=False, sharex=True, sharey="row")
    figure.suptitle(
        f"Hidden activations after training, seed {int(ds['seed'].values[0])}, one line per unit",
        fontsize=13,
    )
    for name, row in zip(names, grid, strict=True):
        for layer, axes in zip(layers, row, strict=True):
            _panel_units(axes, ds, name, layer)
        label = style_of(name).name
        row[0].set_ylabel(label, fontsize=11 if len(label) <= 12 else 8)
    for layer, top, bottom in zip(layers, grid[0], grid[-1], strict=True):
        top.set_title(f"hidden layer {layer}")
        bottom.set_xlabel("x")
    return figure


def summary_figure(ds: xr.Dataset) -> Figure:
    """Draw the whole experiment on one page of nine panels."""
    layout = ConstrainedLayoutEngine(wspace=0.04, hspace=0.05)
    figure = Figure(figsize=(16.5, 13.5), layout=layout)
    grid = figure.subplots(3, 3)
    for letter, axes in zip("abcdefghi", grid.flat, strict=True):
        axes.set_title(letter, loc="left", fontweight="bold")
    _summarize_losses(grid, ds)
    _summarize_mechanism(grid, ds)
    _summarize_functions(grid, ds)
    figure.suptitle(f"Regression of a noisy sine: {seeds_note(ds)}", fontsize=15)
    legend(figure, ds, data_handles(), marker=True)
    return figure


def _summarize_losses(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    _panel_floors(grid[0, 0], ds)
    grid[0, 0].set_title("The data and its floors")
    panel_losses(grid[0, 1], ds)
    grid[0, 1].set_title("Training loss")
    _panel_plateau(grid[0, 2], ds)
    grid[0, 2].set_title("Seeds no better than a constant")
    _panel_final(grid[1, 0], ds, "final_mse", "target_noisy")
    grid[1, 0].set_title("Final MSE, noisy targets")
    _panel_final(grid[2, 0], ds, "final_mse_clean", "target_clean")
    grid[2, 0].set_title("Final MSE, clean targets")


def _summarize_mechanism(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    epochs = ds["recorded_epoch"].values
    grid[1, 2].sharey(grid[1, 1])
    for axes, epoch in ((grid[1, 1], int(epochs[0])), (grid[1, 2], int(epochs[-1]))):
        _panel_gradients(axes, ds, epoch)
        axes.set_ylabel("mean |∂loss/∂W|")
        axes.set_title(f"Gradient magnitude, epoch {epoch}")


def _summarize_functions(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    bound = _GOOD * floors_of(ds, "target_noisy")["best constant"]
    names = activations(ds)
    good = [name for name in names if _median_final(ds, name) <= bound]
    _panel_errors(grid[2, 1], ds, good)
    grid[2, 1].set_title(f"Errors where median MSE < {number(bound)}")
    draw_data(grid[2, 2], ds)
    for name in names:
        draw_prediction(grid[2, 2], ds, name)
    grid[2, 2].set_title("Learned functions")


def _panel_errors(axes: Axes, ds: xr.Dataset, names: Sequence[str]) -> None:
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


def _panel_floors(axes: Axes, ds: xr.Dataset) -> None:
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


def _panel_plateau(axes: Axes, ds: xr.Dataset) -> None:
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


def _panel_final(axes: Axes, ds: xr.Dataset, variable: str, against: str) -> None:
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


def _panel_gradients(axes: Axes, ds: xr.Dataset, epoch: int) -> None:
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


def _panel_units(axes: Axes, ds: xr.Dataset, name: str, layer: int) -> None:
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


def _median_final(ds: xr.Dataset, name: str) -> float:
    return float(band(safe(ds["final_mse"].sel(activation=name).values)[:, None])[1, 0])


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {
    "learned_functions": learned_functions,
    "loss_curves": loss_curves,
    "gradient_flow": gradient_flow,
    "hidden_activations": hidden_activations,
    "summary_figure": summary_figure,
}
"""The study's figure names, each with the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "learned_functions": "What the trained networks compute, one panel per activation: the "
    "median and band over seeds, on the noisy points they were trained on. A network that has "
    "learned the sine covers the dashed line.",
    "loss_curves": "Training loss over the epochs. Dotted lines are the errors of the best "
    "constant, the best straight line and the noise: a curve that rests on one of them has "
    "learned no more than that, and one below the noise has begun to fit it.",
    "gradient_flow": "Mean weight gradient of every layer at several moments of the training. "
    "A curve that falls to the left loses gradient on the way from the loss to the input.",
    "hidden_activations": "What each unit of some hidden layers gives for every input, after "
    "training, one seed. Units that give zero for every input are counted as dead.",
    "summary_figure": "The experiment in nine panels: data and floors, training, final errors "
    "of every seed, gradients before and after training, what is left of the error, and the "
    "learned functions.",
}
"""Figure name to what is seen in it."""
