"""One look per activation, the same in every figure."""

from __future__ import annotations

import zlib
from typing import Final, Literal, NamedTuple, TypeAlias

_Linestyle: TypeAlias = Literal["-", "--", "-.", ":"]


class ActivationStyle(NamedTuple):
    """How one activation is drawn; line style and marker repeat what the color says."""

    name: str
    color: str
    linestyle: _Linestyle
    marker: str


# Okabe and Ito's palette, told apart by color-blind readers; its yellow is too faint on white and
# gives way to a wine red.
ACTIVATION_STYLES: Final[dict[str, ActivationStyle]] = {
    "linear": ActivationStyle("Linear", "#000000", "-", "s"),
    "sigmoid": ActivationStyle("Sigmoid", "#D55E00", "-", "v"),
    "tanh": ActivationStyle("Tanh", "#882255", "--", "^"),
    "relu": ActivationStyle("ReLU", "#0072B2", "-", "o"),
    "leaky_relu": ActivationStyle("Leaky ReLU", "#56B4E9", "--", "D"),
    "elu": ActivationStyle("ELU", "#E69F00", "-.", "P"),
    "gelu": ActivationStyle("GELU", "#009E73", "-.", "X"),
    "swish": ActivationStyle("Swish", "#CC79A7", ":", "*"),
}

_OTHER_COLORS: Final = ("#332288", "#999933", "#7A4B2A", "#6E6E6E", "#AA4466")
_OTHER_LINESTYLES: Final[tuple[_Linestyle, ...]] = ("-", "--", "-.")
_OTHER_MARKERS: Final = ("<", ">", "p", "h")
_LONGEST_NAME: Final = 22
_LAST_LETTER_IN_FONT: Final = 0x52F


def style_of(activation: str) -> ActivationStyle:
    """Give the look of an activation, whether or not it is one of the eight."""
    known = ACTIVATION_STYLES.get(activation)
    if known is not None:
        return known
    # Python's own hash of a string changes from process to process.
    number = zlib.crc32(activation.encode("utf-8", "replace"))
    return ActivationStyle(
        legible(activation),
        _OTHER_COLORS[number % len(_OTHER_COLORS)],
        _OTHER_LINESTYLES[number // 8 % len(_OTHER_LINESTYLES)],
        _OTHER_MARKERS[number // 64 % len(_OTHER_MARKERS)],
    )


def legible(name: str, longest: int = _LONGEST_NAME) -> str:
    """Make a name that somebody else chose fit to be drawn.

    Matplotlib warns of letters that its font lacks, and leaves names with a leading underscore out
    of legends; a dollar sign begins a formula.
    """
    # Of one's own, such as path/to/file.py:name, the name; the rest is in every protocol.
    short = name.rpartition(":")[2] or name
    known = "".join(
        c if c.isprintable() and ord(c) <= _LAST_LETTER_IN_FONT else "?" for c in short
    ).lstrip("_")
    if len(known) > longest:
        known = "…" + known[1 - longest :]
    return known.replace("$", r"\$") or "unnamed"
