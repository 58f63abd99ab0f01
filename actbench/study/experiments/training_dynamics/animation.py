"""Animations: learned functions while they are being learned."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from actbench.pages.colors import style_of
from actbench.study.figures._marks import activations, draw_data, protocol_note, safe, target_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from matplotlib.artist import Artist

_COLUMNS: Final = 4
_DPI: Final = 90
_FRAME_MS: Final = 160
_LAST_FRAME_MS: Final = 2500
_COLORS: Final = 256  # that a GIF can hold


def learned_functions(ds: xr.Dataset) -> bytes:
    """Animate what every network has learned, a panel per activation, a line per seed.

    A GIF with a frame per recorded epoch, which begins anew when it has ended.
    """
    names, x = activations(ds), safe(ds["x"].values)
    columns = min(len(names), _COLUMNS)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(0.4 + 2.5 * columns, 0.7 + 2.1 * rows), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    epochs = [int(epoch) for epoch in ds["recorded_epoch"].values]
    note = f"{protocol_note(ds)}, a line per seed"
    heading = figure.suptitle(f"{note}\nafter {epochs[-1]} updates", fontsize=12)
    lines = []
    for name, axes in zip(names, cells, strict=False):
        draw_data(axes, ds)
        axes.set(xlabel="", ylabel="")
        axes.set_title(style_of(name).name, fontsize=10.5)
        color = style_of(name).color
        lines += [axes.plot(x, x * np.nan, color=color)[0] for _ in ds["seed"].values]
    for unused in cells[len(names) :]:
        unused.remove()
    low, high = target_range(ds)
    functions = ds["learned_function"].transpose("recorded_epoch", "activation", "seed", "x")
    shown = np.clip(safe(functions.values), 2 * low - high, 2 * high - low)

    def turn_to(frame: int) -> None:
        heading.set_text(f"{note}\nafter {epochs[frame]} updates")
        for line, values in zip(lines, shown[frame].reshape(-1, len(x)), strict=True):
            line.set_ydata(values)

    durations = [_FRAME_MS] * (len(epochs) - 1) + [_LAST_FRAME_MS]
    return _animate(figure, [heading, *lines], turn_to, durations)


def _animate(
    figure: Figure,
    moving: Sequence[Artist],
    turn_to: Callable[[int], None],
    durations_ms: Sequence[int],
) -> bytes:
    """Draw a frame per duration, with ``turn_to`` setting the parts that move to its number."""
    canvas: Any = FigureCanvasAgg(figure)  # most of its methods have no types
    figure.set_dpi(_DPI)
    canvas.draw()  # settles the layout, with the moving parts in it
    figure.set_layout_engine("none")
    for artist in moving:
        artist.set_visible(False)
    canvas.draw()
    # Drawing what stands still once, and not for every frame, takes a tenth of the time.
    still = canvas.copy_from_bbox(figure.bbox)
    for artist in moving:
        artist.set_visible(True)
    frames = []
    for number in range(len(durations_ms)):
        turn_to(number)
        canvas.restore_region(still)
        for artist in moving:
            figure.draw_artist(artist)
        frames.append(np.array(canvas.buffer_rgba())[..., :3])
    first, *rest = _in_few_colors(frames)
    buffer = io.BytesIO()
    first.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=list(durations_ms),
        loop=0,
    )
    return buffer.getvalue()


def _in_few_colors(frames: Sequence[npt.NDArray[np.uint8]]) -> list[Image.Image]:
    """Keep the most frequent colors; a mean of several would give two lines one color."""
    shifts = np.array([16, 8, 0], np.int32)
    codes = [(frame.astype(np.int32) << shifts).sum(-1, dtype=np.int32) for frame in frames]
    ends, counts = np.unique(np.stack([codes[0], codes[-1]]), return_counts=True)
    kept = ends[np.argsort(-counts, kind="stable")[:_COLORS], None] >> shifts & 255
    seen = np.zeros(1 << 24, bool)
    for frame in codes:
        seen[frame] = True
    found = np.flatnonzero(seen)
    # Pillow's own search for the nearest color is rough: it turns white into a light gray.
    products = (found[:, None] >> shifts & 255).astype(np.float32) @ kept.T.astype(np.float32)
    nearest = np.zeros(1 << 24, np.uint8)
    nearest[found] = (np.square(kept).sum(1) - 2 * products).argmin(1)
    pictures = [Image.fromarray(nearest[frame]) for frame in codes]
    for picture in pictures:
        picture.putpalette(kept.astype(np.uint8).tobytes())
    return pictures
