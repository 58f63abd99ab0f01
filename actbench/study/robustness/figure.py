"""Pictures of the robustness map: one per claim, and sigmoid's escape from its plateau."""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from actbench.store.files import prepare_folder, write_atomic
from actbench.study.figures._marks import SMALL
from actbench.study.robustness.maps import mapped_claims
from actbench.study.robustness.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from actbench.claims import Claim, ClaimsFile
    from actbench.study.robustness.maps import Grid, Outcome, Robustness, Setting

_COLORS: Final = "cividis"  # told apart by color-blind readers, and in gray
_NOTE: Final = "share of seeds inside, median of the metric; bold: holds; frame: the stated setting"
_STATED: Final = "#D55E00"
_MISSING: Final = "#DDDDDD"
_LINES: Final = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#000000", ":"))


def claim_map(robustness: Robustness, claim: Claim) -> Figure:
    """Draw in which settings the seeds lie inside a claim's relation."""
    grid, outcomes = robustness.grid, robustness.outcomes(claim)
    rows = [
        [grid.stated.but(initializer=key, learning_rate=rate) for rate in grid.learning_rates]
        for key in grid.initializers
    ]
    figure = Figure(figsize=(8, 2.6 + 0.46 * len(rows)), layout="constrained")
    heights = [len(rows), 1] if grid.variations else [len(rows)]
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _cells(axes[0], rows, outcomes, grid.stated)
    axes[0].set_yticks(range(len(rows)), grid.initializers)
    rates = [f"{rate:g}" for rate in grid.learning_rates]
    axes[0].set_xticks(range(len(rates)), rates)
    axes[0].set_xlabel("learning rate")
    if grid.variations:
        _cells(axes[1], [grid.variations], outcomes, grid.stated)
        axes[1].set_yticks([0], ["stated, but for"])
        names = [_variation(grid, setting) for setting in grid.variations]
        axes[1].set_xticks(range(len(names)), names, fontsize=SMALL)
    shades = ScalarMappable(Normalize(0, 1), _COLORS)
    caption = textwrap.fill(f"{claim.id} {sentence(robustness, claim)}.", 100)
    figure.supxlabel(f"{_NOTE}\n\n{caption}", fontsize=SMALL)
    bar = figure.colorbar(shades, ax=list(axes), label=f"share of {grid.seeds} seeds inside")
    bar.set_ticks([0, 0.5, 1])
    figure.suptitle(claim.id, fontsize=12)
    return figure


def escape_epochs(robustness: Robustness) -> Figure:
    """Draw when sigmoid networks leave the plateau of the best constant."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    last = robustness.grid.stated.epochs
    for number, (key, epochs) in enumerate(robustness.escape_epochs.items()):
        left = np.sort([epoch for epoch in epochs if math.isfinite(epoch)])
        share = np.arange(1, len(left) + 1) / len(epochs)
        color, linestyle = _LINES[number % len(_LINES)]
        axes.step(
            [0, *left, last],
            [0, *share, len(left) / len(epochs)],
            where="post",
            color=color,
            linestyle=linestyle,
            linewidth=1.8,
            gid=f"escape-{key}",
            label=f"{key}: {len(left)} of {len(epochs)} seeds"
            + (f", epochs {left[0]:g}\u2013{left[-1]:g}" if len(left) else ""),
        )
    axes.set_xlim(0, last)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("epoch")
    axes.set_ylabel("seeds with a loss below 0.5")
    axes.set_title("Sigmoid networks leave the plateau of the best constant", fontsize=11)
    if robustness.escape_epochs:
        axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.25)
    return figure


def draw_all(robustness: Robustness, claims: ClaimsFile, folder: Path) -> list[Path]:
    """Write a picture per claim and one of sigmoid's escape, small enough for a repository."""
    prepare_folder(folder)
    figures = {claim.id: claim_map(robustness, claim) for claim in mapped_claims(claims)}
    figures["sigmoid-escape-epochs"] = escape_epochs(robustness)
    for name, figure in figures.items():
        write_atomic(folder / f"{name}.png", _few_colors(figure))
    return [folder / f"{name}.png" for name in figures]


def _few_colors(figure: Figure) -> bytes:
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=90, metadata={"Software": None})
    image = Image.open(full).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def _variation(grid: Grid, setting: Setting) -> str:
    if setting.epochs != grid.stated.epochs:
        return f"{setting.epochs}\nepochs"
    if setting.depth != grid.stated.depth:
        return f"depth\n{setting.depth}"
    return f"decay\n{setting.weight_decay:g}"


def _cells(
    axes: Axes,
    rows: Sequence[Sequence[Setting]],
    outcomes: Mapping[Setting, Outcome],
    stated: Setting,
) -> None:
    shades = colormaps[_COLORS]
    for down, row in enumerate(rows):
        for across, setting in enumerate(row):
            outcome = outcomes.get(setting)
            color = _MISSING if outcome is None else shades(outcome.share)
            axes.add_patch(
                Rectangle((across - 0.5, down - 0.5), 1, 1, facecolor=color, edgecolor="white")
            )
            if outcome is not None:
                _write(axes, (across, down), outcome)
            if setting == stated:
                axes.add_patch(
                    Rectangle(
                        (across - 0.46, down - 0.44),
                        *(0.92, 0.88),
                        fill=False,
                        edgecolor=_STATED,
                        linewidth=2.5,
                        gid="stated",
                    )
                )
    axes.set_xlim(-0.5, len(rows[0]) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(length=0)


def _write(axes: Axes, place: tuple[int, int], outcome: Outcome) -> None:
    median = f"{outcome.median:.3g}" if math.isfinite(outcome.median) else "\u221e"
    axes.text(
        *place,
        f"{outcome.share:.0%}\n{median}",
        ha="center",
        va="center",
        fontsize=SMALL,
        linespacing=1.05,
        color="black" if outcome.share > 0.5 else "white",
        fontweight="bold" if outcome.holds else "normal",
    )
