"""An output folder of a search: its page, its figure, its files, and what is reused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from actbench.pages import blocks
from actbench.pages.colors import style_of
from actbench.pages.saving import save
from actbench.store import environment
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder, write_atomic, write_json
from actbench.store.terminal import plural
from actbench.study.nets import devices
from actbench.study.recover import outcome, search
from actbench.study.recover.outcome import Found, Result
from actbench.study.recover.report import (
    FIGURE,
    page,
    value_in_words,
)
from actbench.study.recover.space import Plan

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from actbench.study.recover.numbers import Spread


def _protocol_file(result: Result, found: Found) -> str:
    """Write a protocol as a search file whose space is that protocol alone."""
    search = result.search
    lines = ["# A protocol that was found; compute its numbers again with actbench recover."]
    for axis, choices in found.undecided.items():
        shown = ", ".join(map(_toml, choices))
        lines.append(f"# {axis} is not decided; the same numbers come from: {shown}")
    top = ("schema_version", "quantity", "title", "source", "width", "sample")
    lines += [f"{name} = {_toml(search[name])}" for name in top]
    lines.append(f"misses = {found.matches.count(False)}")
    for number, value in zip(search["number"], found.values, strict=True):
        lines += ["", "[[number]]", f"# found: {value_in_words(value)}"]
        lines += [f"{key} = {_toml(item)}" for key, item in number.items() if item is not None]
    lines += ["", "[space]"]
    lines += [f"{axis} = {_toml([choice])}" for axis, choice in found.protocol.items()]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A string of JSON is a basic string of TOML; so are its numbers.
    return json.dumps(value)


_SMALL: Final = 8.5
_SAMPLE: Final = "#BBBBBB"
_PUBLISHED: Final = "#222222"
_FOUND: Final = "#D55E00"


def draw_search(result: Result) -> Figure:
    """Draw each number among the values of the sample, with what the search found."""
    numbers = result.search["number"]
    down = len(numbers)
    figure = Figure(figsize=(8, 1.35 * down + 0.9), layout="constrained")
    panels = figure.subplots(down, 1, squeeze=False).ravel()
    for place, (axes, number) in enumerate(zip(panels, numbers, strict=True)):
        _sample(axes, result.chance.spreads[place])
        axes.axvline(abs(float(number["published"])), color=_PUBLISHED, linewidth=1.4)
        for part in result.parts:
            if part.rounding and place in part.numbers:
                read = result.classes[0].protocol["read"]
                axes.axvspan(*part.rounding[read], color=_FOUND, alpha=0.25, linewidth=0)
        value = result.classes[0].values[place] if result.classes else None
        if value is not None:
            axes.plot(abs(value), 0.5, "D", color=_FOUND, markersize=7)
        name = style_of(number["activation"]).name
        name += f", layer {number['layer']}" if "layer" in number else ""
        axes.set_ylabel(f"{name}\n{number['published']}", **_LEFT)
    _key(figure, found=bool(result.classes), moved=bool(result.parts))
    panels[-1].set_xlabel(f"value, of {result.chance.sampled:,} protocols drawn at random")
    return figure


_LEFT: Final[dict[str, Any]] = {"rotation": 0, "ha": "right", "va": "center", "fontsize": _SMALL}


def _sample(axes: Axes, spread: Spread) -> None:
    edges = np.geomspace(spread.low, spread.high, len(spread.counts) + 1)
    heights = np.array(spread.counts) / max(1, *spread.counts)
    axes.set_xscale("log")
    axes.stairs(heights, edges, fill=True, color=_SAMPLE)
    axes.set_xlim(spread.low, spread.high)
    axes.set_ylim(0, 1.08)
    axes.set_yticks([])
    if spread.high > 20 * spread.low:
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", labelsize=7)


def _key(figure: Figure, *, found: bool, moved: bool) -> None:
    handles: list[Artist] = [
        Patch(color=_SAMPLE, label="protocols of the space"),
        Line2D([], [], color=_PUBLISHED, linewidth=1.4, label="published"),
    ]
    if found:
        handles.append(
            Line2D([], [], color=_FOUND, marker="D", linestyle="", label="best protocol")
        )
    if moved:
        handles.append(Patch(color=_FOUND, alpha=0.25, label="what rounding makes of it"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=_SMALL
    )


RESULT = "search.json"
PAGE = "search.md"
PROTOCOL = "protocol.toml"


def write(result: Result, folder: Path) -> list[Path]:
    """Write a result into a folder: figure, page, JSON, and the protocol if there is one."""
    written = [*save(draw_search(result), folder, FIGURE), folder / PAGE]
    write_atomic(written[-1], blocks.markdown(page(result)).encode())
    protocol = folder / PROTOCOL
    if result.classes:
        write_atomic(protocol, _protocol_file(result, result.classes[0]).encode())
        written.append(protocol)
    else:
        protocol.unlink(missing_ok=True)
    write_json(folder / RESULT, result.model_dump(mode="json"))  # last: it says that all is there
    return [*written, folder / RESULT]


@dataclass(frozen=True)
class Kept:
    """What became of a search."""

    result: Result
    written: list[Path] = field(default_factory=list)  # files that were written now
    notes: list[str] = field(default_factory=list)  # what the user should know, a sentence each


def fulfil(
    plan: Plan,
    out: Path,
    progress: Callable[[int], None] = lambda done: None,
    threads: int | None = 1,
    *,
    overwrite: bool = False,
) -> Kept:
    """Bring a folder to hold the result of a search."""
    here = environment.describe("cpu", 1)  # each part on one thread, however many there are
    prepare_folder(out)
    path = out / RESULT
    if path.exists() and not overwrite:
        stored = outcome.load(path)
        if stored.search == plan.search.model_dump(mode="json") and stored.environment == here:
            return Kept(stored)
        raise ActbenchError(
            f"{path} holds the result of another search or environment. Replace it with "
            "--overwrite, or choose another folder with --out"
        )
    searched = search.run(plan, progress, threads, path)
    result = outcome.summarize(searched, here)
    notes = []
    if searched.reused:
        there = "1 part was" if searched.reused == 1 else f"{searched.reused} parts were"
        notes.append(f"went on after an interrupted search: {there} there already")
    return Kept(result, write(result, out), notes)


def estimate(plan: Plan, threads: int | None) -> str:
    """Say how large a space is and how long a search of it takes."""
    with devices.using_threads(threads) as count:
        pass
    with devices.using_threads(1):
        seconds = search.estimated_seconds(plan)
    return (
        f"{plan.search.size:,} protocols, of which {plan.size:,} differ ({len(plan.outers):,} "
        f"different drawings of networks). About {environment.duration(seconds)} of computing, "
        f"shared by {plural(count, 'thread')}."
    )
