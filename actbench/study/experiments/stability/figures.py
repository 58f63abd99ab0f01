"""The figure of the experiment ``stability``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from actbench.pages.colors import style_of
from actbench.study.figures._marks import SMALL, activations, grid

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by color-blind readers, and in print by how dark they are.
OUTCOME_COLORS: Final[dict[str, str]] = {
    "converged": "#4C8FBF",
    "stuck": "#D9D9D9",
    "unstable": "#F2B134",
    "diverged": "#7B1E3A",
}
"""Color of each outcome, from best to worst."""

_MEANINGS: Final = {
    "converged": "converged (it may still be falling)",
    "stuck": "stuck: no better than a constant, in {epochs} epochs",
    "unstable": "unstable: loses again what it has gained",
    "diverged": "diverged: ends worse than it began",
}
_BLOWN_UP: Final = 100  # times the larger of the first loss and the best constant's error
_CONNECTIONS: Final = {0: "plain", 1: "with skips"}


def exp3_stability(ds: xr.Dataset) -> Figure:
    """Draw what became of every training, with the border of stability, a panel per activation.

    Learning rates across, depths down, plain networks above those with skip connections; each cell
    is divided between its seeds, the best outcome on the left.
    """
    names = activations(ds)
    figure, panels, spare = grid(len(names), (4.1, 0.9 + 0.28 * _rows(ds)))
    figure.suptitle(_title(ds), fontsize=13)
    for name, axes in zip(names, panels, strict=True):
        _panel(axes, ds.sel(activation=name))
        axes.set_title(style_of(name).name, fontsize=10.5)
    meanings = {key: text.format(epochs=ds.sizes["epoch"]) for key, text in _MEANINGS.items()}
    handles = [
        *(Patch(color=OUTCOME_COLORS[key], label=text) for key, text in meanings.items()),
        Line2D([], [], color="black", linewidth=2.4, label=_border_label(ds)),
        Line2D(
            [],
            [],
            color="black",
            linestyle="",
            marker=".",
            label=f"converged after a rise to {_BLOWN_UP} times the start",
        ),
    ]
    spare.legend(handles=handles, loc="center", frameon=False, fontsize=9.5)
    return figure


def _rows(ds: xr.Dataset) -> int:
    return ds.sizes["skip"] * ds.sizes["depth"]


def _title(ds: xr.Dataset) -> str:
    count, points = ds.sizes["seed"], ds.sizes["x"]
    seeds = f"{count} seeds in each cell" if count > 1 else f"seed {int(ds['seed'].values[0])}"
    return (
        "Training stability: the border is the largest learning rate that still converges\n"
        f"Adam, {ds.sizes['epoch']} epochs on {points} points of the noisy sine, {seeds}"
    )


def _border_label(ds: xr.Dataset) -> str:
    who = "most seeds converge" if ds.sizes["seed"] > 1 else "the network converges"
    return f"border: the largest rate at which {who}"


def _panel(axes: Axes, ds: xr.Dataset) -> None:
    rows, rates = _rows(ds), ds.sizes["learning_rate"]
    order = ("skip", "depth", "learning_rate", "seed")
    found = ds["outcome"].transpose(*order)
    blown_up = ds["loss_peak"].transpose(*order).values > _BLOWN_UP
    # Best first within each cell, and of the same kind those without a rise first.
    places = np.sort(2 * _codes(found) + blown_up, axis=-1).reshape(rows, -1)
    axes.imshow(
        places // 2,
        cmap=ListedColormap(list(OUTCOME_COLORS.values())),
        vmin=-0.5,
        vmax=len(OUTCOME_COLORS) - 0.5,
        extent=(-0.5, rates - 0.5, rows - 0.5, -0.5),
        aspect="auto",
        interpolation="nearest",
    )
    _separate(axes, rates, rows)
    down, across = np.nonzero(places == 1)
    in_cells = (across + 0.5) / ds.sizes["seed"] - 0.5
    axes.plot(in_cells, down, ".", color="black", markersize=4, gid="blown-up")
    share = (found == "converged").mean("seed").values  # (skip, depth, learning_rate)
    for block, of_block in enumerate(share):
        _border(axes, of_block, first=block * len(of_block))
    _label(axes, ds)


def _codes(outcome: xr.DataArray) -> npt.NDArray[np.int64]:
    number = {key: code for code, key in enumerate(OUTCOME_COLORS)}
    codes = [number[str(key)] for key in outcome.values.flat]
    return np.array(codes, dtype=np.int64).reshape(outcome.shape)


def _separate(axes: Axes, columns: int, rows: int) -> None:
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _border(axes: Axes, share: npt.NDArray[np.float64], first: int) -> None:
    """Draw a step line; ``share`` of the seeds that converge, ``(depth, learning_rate)``."""
    rates = share.shape[1]
    trains = share > 0.5
    last = np.where(trains.any(1), rates - 1 - trains[:, ::-1].argmax(1), -1)
    across = np.repeat(last + 0.5, 2)
    edges = first - 0.5 + np.arange(len(share) + 1)
    down = np.repeat(edges, 2)[1:-1]
    axes.plot(
        across, down, color="black", linewidth=2.4, clip_on=False, gid=f"border-{first}", zorder=3
    )


def _label(axes: Axes, ds: xr.Dataset) -> None:
    depths = [str(int(depth)) for depth in ds["depth"].values]
    axes.set_yticks(range(_rows(ds)), depths * ds.sizes["skip"])
    rates = [f"{rate:g}" for rate in ds["learning_rate"].values]
    axes.set_xticks(range(len(rates)), rates, fontsize=SMALL)
    axes.tick_params(axis="x", labelrotation=45)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")  # ends below its cell's center
    axes.set_xlabel("learning rate", fontsize=9)
    for block, with_skip in enumerate(ds["skip"].values):
        if block:
            axes.axhline(block * len(depths) - 0.5, color="white", linewidth=7)
        axes.text(
            -0.1,
            1 - (block + 0.5) / ds.sizes["skip"],
            f"{_CONNECTIONS[int(with_skip)]}, depth",
            transform=axes.transAxes,
            rotation=90,
            ha="right",
            va="center",
            fontsize=9,
        )


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {"exp3_stability": exp3_stability}
"""The study's figure name with the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "exp3_stability": "What became of every training over learning rate and depth, one panel "
    "per activation.",
}
"""Figure name to what is seen in it."""
