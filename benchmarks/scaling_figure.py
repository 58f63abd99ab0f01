"""The picture of time per training against the number of members."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from actbench.pages.colors import style_of
from actbench.store.files import prepare_folder, write_atomic
from actbench.study.figures._marks import SMALL
from benchmarks.scaling import TRAINING_EPOCHS, Scaling

_LINES: Final = (
    ("#000000", ":", "s"),
    ("#009E73", "-.", "X"),
    ("#882255", "--", "^"),
    ("#D55E00", "--", "v"),
    ("#0072B2", "-", "o"),
)
_FLOOR: Final = "#666666"
_FLOOR_DASHES: Final = ((0, (1, 1.5)), (0, (6, 2, 1, 2)))


def draw(scaling: Scaling, styles: tuple[str, ...]) -> Figure:
    """Draw each engine's time per training, and the floors that the product's rates set.

    Args:
        scaling: The times.
        styles: Names of all engines that there are, so that each looks alike in every picture.

    Returns:
        The figure: both axes logarithmic.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in scaling.seconds:
        medians = scaling.medians(name)
        color, linestyle, marker = _LINES[styles.index(name) % len(_LINES)]
        axes.loglog(
            list(medians),
            list(medians.values()),
            color=color,
            linestyle=linestyle,
            marker=marker,
            markersize=5,
            linewidth=1.8,
            label=name,
            gid=f"engine-{name}",
        )
    for (library, floor), dashes in zip(scaling.floors.items(), _FLOOR_DASHES, strict=False):
        axes.axhline(
            floor,
            color=_FLOOR,
            linestyle=dashes,
            linewidth=1.2,
            zorder=1,
            gid=f"floor-{library}",
            label=f"floor: {library}'s product alone, {scaling.rates[library] / 1e9:.0f} GFLOP/s",
        )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(FuncFormatter(_few))
    axes.tick_params(axis="y", which="minor", labelsize=SMALL)
    axes.set_xlabel("members trained together")
    axes.set_ylabel(f"seconds per training of {TRAINING_EPOCHS} epochs")
    threads = f"{scaling.threads} CPU thread" + ("s" if scaling.threads > 1 else "")
    axes.set_title(
        f"One training of the study's {style_of(scaling.activation).name} network, up to {threads}",
        fontsize=11,
    )
    axes.grid(alpha=0.25, which="both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _few(value: float, _: object) -> str:
    text = f"{value:g}"
    return text if text.strip("0.")[0] in "235" else ""


def save(figure: Figure, path: Path) -> None:
    """Write the figure, whole or not at all.

    Args:
        figure: What to write.
        path: A PNG file; its folder is made if it is missing.

    Raises:
        ActbenchError: It cannot be written.
    """
    prepare_folder(path.parent)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())
