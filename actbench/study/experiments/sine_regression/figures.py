"""Figures of the experiment ``sine-regression``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from actbench.pages.colors import ActivationStyle, style_of
from actbench.study.figures._marks import (
    TRUTH,
    activations,
    data_handles,
    draw_data,
    draw_prediction,
    floors_of,
    grid,
    handle,
    legend,
    number,
    seeds_note,
)
from actbench.study.figures._panels import (
    GOOD,
    median_final,
    panel_errors,
    panel_final,
    panel_floors,
    panel_gradients,
    panel_losses,
    panel_plateau,
    panel_units,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr


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
        title = f"{style_of(name).name}: final MSE {number(median_final(ds, name))}"
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
        panel_gradients(axes, ds, epoch)
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
            panel_units(axes, ds, name, layer)
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
    panel_floors(grid[0, 0], ds)
    grid[0, 0].set_title("The data and its floors")
    panel_losses(grid[0, 1], ds)
    grid[0, 1].set_title("Training loss")
    panel_plateau(grid[0, 2], ds)
    grid[0, 2].set_title("Seeds no better than a constant")
    panel_final(grid[1, 0], ds, "final_mse", "target_noisy")
    grid[1, 0].set_title("Final MSE, noisy targets")
    panel_final(grid[2, 0], ds, "final_mse_clean", "target_clean")
    grid[2, 0].set_title("Final MSE, clean targets")


def _summarize_mechanism(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    epochs = ds["recorded_epoch"].values
    grid[1, 2].sharey(grid[1, 1])
    for axes, epoch in ((grid[1, 1], int(epochs[0])), (grid[1, 2], int(epochs[-1]))):
        panel_gradients(axes, ds, epoch)
        axes.set_ylabel("mean |∂loss/∂W|")
        axes.set_title(f"Gradient magnitude, epoch {epoch}")


def _summarize_functions(grid: npt.NDArray[np.object_], ds: xr.Dataset) -> None:
    bound = GOOD * floors_of(ds, "target_noisy")["best constant"]
    names = activations(ds)
    good = [name for name in names if median_final(ds, name) <= bound]
    panel_errors(grid[2, 1], ds, good)
    grid[2, 1].set_title(f"Errors where median MSE < {number(bound)}")
    draw_data(grid[2, 2], ds)
    for name in names:
        draw_prediction(grid[2, 2], ds, name)
    grid[2, 2].set_title("Learned functions")


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
