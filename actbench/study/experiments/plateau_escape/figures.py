"""The figure of the experiment ``plateau-escape``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from actbench.claims.statistics import proportion_interval
from actbench.pages.colors import style_of
from actbench.study.experiments.plateau_escape.metrics import escape_epoch_at
from actbench.study.figures._marks import activations

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes

_INTERVAL_LEVEL: Final = 0.05
_STUDY: Final = {10: "documented", 11: "run"}
_MARKERS: Final = "osD^vP"


def depth_decides(ds: xr.Dataset) -> Figure:
    """Draw which share of the seeds stays on the plateau, over the depth, a curve per eps."""
    names = activations(ds)
    figure = Figure(figsize=(1 + 5.4 * len(names), 4.4), layout="constrained")
    row = figure.subplots(1, len(names), squeeze=False)[0]
    epochs, seeds = ds.sizes["epoch"], ds.sizes["seed"]
    figure.suptitle(f"Still on the plateau after {epochs} epochs, of {seeds} seeds", fontsize=13)
    for name, axes in zip(names, row, strict=True):
        _panel(axes, ds, name)
        axes.set_title(style_of(name).name, fontsize=10.5)
    row[0].legend(title="Adam's eps", loc="center left")
    return figure


def _panel(axes: Axes, ds: xr.Dataset, key: str) -> None:
    depths = ds["depth"].to_numpy().tolist()
    for number, eps in enumerate(ds["adam_eps"].to_numpy().tolist()):
        stays = [int(np.isinf(escape_epoch_at(ds, key, d, eps)).sum()) for d in depths]
        share = np.array(stays) / ds.sizes["seed"]
        ends = [proportion_interval(s, ds.sizes["seed"], _INTERVAL_LEVEL) for s in stays]
        low, high = np.array(ends).T
        bars = [share - low, high - share]
        marker = _MARKERS[number % len(_MARKERS)]
        axes.errorbar(depths, share, bars, marker=marker, capsize=3, label=f"{eps:g}")
    for depth, what in _STUDY.items():
        if depth in depths:
            axes.axvline(depth, color="0.8", zorder=0)
            axes.annotate(what, (depth, 0.5), rotation=90, ha="right", va="center", color="0.4")
    axes.set_xticks(depths)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("hidden layers")
    axes.set_ylabel("share of seeds")


FIGURES: Final[dict[str, Callable[[xr.Dataset], Figure]]] = {"depth_decides": depth_decides}
"""The figure's name with the function that draws it."""

CAPTIONS: Final[dict[str, str]] = {
    "depth_decides": "Share of seeds whose network is still on the plateau of the best "
    "constant at the end, over the number of hidden layers, with its 95 % interval; one curve "
    "per eps of Adam. The study documents 10 hidden layers and ran 11.",
}
"""Figure name to what is seen in it."""
