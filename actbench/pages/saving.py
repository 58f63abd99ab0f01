"""Writing a figure to files.

Matplotlib refuses to be imported where ``MPLBACKEND`` names a notebook's backend, which a notebook
hands to each command that is started in it; figures need none. So this comes before its first use.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actbench.store.files import prepare_folder, write_atomic

_given = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as mpl
finally:
    if _given is not None:
        os.environ["MPLBACKEND"] = _given
if _given:
    with suppress(ValueError):
        mpl.rcParams["backend"] = _given  # for figures of the user's in this process

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


SUFFIXES: Final = ("png", "svg")
_RENDERING: Final = threading.Lock()


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, each whole or not at all, the same bytes for the same data."""
    prepare_folder(folder)
    # The salt is a setting of the whole process, not of a figure: one thread at a time.
    with _RENDERING, mpl.rc_context({"svg.hashsalt": "actbench"}):
        contents = {folder / f"{name}.{kind}": _render(figure, kind) for kind in SUFFIXES}
    for path, content in contents.items():
        write_atomic(path, content)
    return list(contents)


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()
