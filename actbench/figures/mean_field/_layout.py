"""Headings as wide as their figure, and the figure of a part that was not run."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from actbench.figures._marks import say


def wrapped(figure: Figure, words: str) -> str:
    return textwrap.fill(words, width=int(8 * figure.get_figwidth()))


def not_measured(words: str) -> Figure:
    figure = Figure(figsize=(6, 2), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    say(axes, words)
    return figure
