"""A grid as a TOML file, and what is said when something in it is wrong.

All tables are optional but one of the last three::

    [settings]                      # what all members have in common; the main run's by default
    epochs = 500
    depth = 10                      # any axis may stand here

    [grid]                          # every combination
    activation = ["relu", "gelu"]
    seed = 100                      # a count: 42, 43, ...; or a list

    [[zip]]                         # together, row by row; may be repeated
    depth = [5, 10, 20]
    width = [90, 64, 45]

    [random]                        # whole rows, drawn
    count = 50
    seed = 1                        # of the draws
    learning_rate = { low = 1e-4, high = 0.1, scale = "log" }
    initializer = ["torch_default", "he_normal"]    # one of these
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name
from actbench.store.files import read_toml
from actbench.store.studies import FIRST_SEED, LARGEST_SEED
from actbench.study.experiments.settings import each_once
from actbench.study.sweeps.grids import (
    AXES,
    Axis,
    Between,
    Block,
    Common,
    Drawn,
    Grid,
    Listed,
    Value,
)

_TABLES = ("settings", "grid", "zip", "random")
_COMMON = tuple(field.name for field in dataclasses.fields(Common))
_BETWEEN = ("low", "high", "scale")
_SCALES = ("linear", "log")
_MOST_POINTS = 10**15
_LARGEST_DRAW_SEED = 2**63 - 1  # what TOML promises to hold


def load(path: Path, *, allow_code: bool = False) -> Grid:
    """Read a grid. Nothing in the file is executed or imported, unless that is allowed."""
    tables = read_toml(path, "the grid", "docs/sweeps.md shows how to write a grid")
    try:
        code = _loaded(tables, path.parent.resolve()) if allow_code else ()
        return dataclasses.replace(build(tables), code=code)
    except ActbenchError as error:
        raise ActbenchError(f"{path}: {error}") from error


def _loaded(tables: Mapping[str, Any], folder: Path) -> tuple[tuple[str, str, str], ...]:
    """Load the activations of one's own that a grid names."""
    rows = [row for table in tables.values() for row in _each(table)]
    given = [row.get("activation", ()) for row in rows if isinstance(row, dict)]
    keys = {str(key) for keys in given for key in _each(keys)}
    code = sorted(key for key in keys if ":" in key)
    if not code:
        return ()
    from actbench.study import own  # loads torch

    return tuple((key, str(folder), own.activation(key, folder).source) for key in code)


def _each(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def build(tables: Mapping[str, Any]) -> Grid:
    """Make a grid of what stands in its file."""
    for name in tables:
        if name not in _TABLES:
            raise unknown_name("table", name, _TABLES)
    common, constants = _settings(_table("settings", tables.get("settings", {})))
    blocks: list[Block] = []
    with _in("[grid]"):
        product = _table("grid", tables.get("grid", {}))
        blocks += [Listed({name: _listed(name, given)}) for name, given in product.items()]
    zips = tables.get("zip", [])
    if not isinstance(zips, list):
        raise ActbenchError("zip must be written [[zip]], with two brackets: it may be repeated")
    with _in("[[zip]]"):
        blocks += [_zipped(_table("zip", each)) for each in zips]
    if "random" in tables:
        with _in("[random]"):
            blocks.append(_drawn(_table("random", tables["random"])))
    _check_once(blocks, [name for name in constants if name in tables.get("settings", {})])
    grid = Grid(common, constants, tuple(blocks))
    if grid.size > _MOST_POINTS:
        raise ActbenchError(
            f"the grid has {grid.size:.3g} points; {_MOST_POINTS:.3g} can be counted"
        )
    return grid


@contextmanager
def _in(place: str) -> Iterator[None]:
    """Put the table's name before what is wrong in it."""
    try:
        yield
    except ActbenchError as error:
        raise ActbenchError(f"{place}: {error}") from error


def _table(name: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ActbenchError(f"{name} is {given!r}, but must be a table, [{name}]")
    return given


def _settings(given: Mapping[str, Any]) -> tuple[Common, dict[str, Value]]:
    with _in("[settings]"):
        for name in given:
            if name not in AXES and name not in _COMMON:
                raise unknown_name("setting", name, (*_COMMON, *AXES))
        common = {name: given[name] for name in _COMMON if name in given}
        recorded = common.get("recorded_epochs", [])
        if not isinstance(recorded, list):
            raise ActbenchError(f"recorded_epochs is {recorded!r}, but must be a list")
        if "recorded_epochs" in common:
            common["recorded_epochs"] = tuple(recorded)
        checked = {name: a.check(name, given.get(name, a.default)) for name, a in AXES.items()}
        return Common(**common), checked


def _axis(name: str) -> Axis:
    if name not in AXES:
        raise unknown_name("axis", name, AXES)
    return AXES[name]


def _listed(name: str, given: Any) -> Sequence[Value]:
    known = _axis(name)
    if name == "seed" and isinstance(given, int) and not isinstance(given, bool):
        most = LARGEST_SEED - FIRST_SEED + 1
        if require_positive_int("the count of seeds", given) > most:
            raise ActbenchError(f"the count of seeds is {given}, but at most {most} exist")
        return range(FIRST_SEED, FIRST_SEED + given)
    if not isinstance(given, list):
        raise ActbenchError(
            f"{name} is {given!r}, but must be a list of values, such as [{known.default!r}]"
        )
    return each_once(name, [known.check(name, value) for value in given])


def _zipped(given: Mapping[str, Any]) -> Listed:
    if not given:
        raise ActbenchError("it is empty: give it at least one axis with a list of values")
    columns = {}
    for name, values in given.items():
        known = _axis(name)
        if not isinstance(values, list):
            raise ActbenchError(f"{name} is {values!r}, but must be a list of values")
        columns[name] = tuple(known.check(name, value) for value in values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ActbenchError(f"its lists must be of one length, but have {lengths}")
    each_once("rows", list(zip(*columns.values(), strict=True)))
    return Listed(columns)


def _drawn(given: Mapping[str, Any]) -> Drawn:
    if "count" not in given:
        raise ActbenchError("it needs a count: how many rows to draw")
    count, seed = require_positive_int("count", given["count"]), given.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _LARGEST_DRAW_SEED:
        raise ActbenchError(
            f"seed is {seed!r}, but must be a whole number from 0 on; it is that of the draws: "
            "networks' seeds stand in [grid] or [[zip]]"
        )
    drawn = {name: value for name, value in given.items() if name not in {"count", "seed"}}
    if not drawn:
        raise ActbenchError("it draws nothing: give it at least one axis")
    return Drawn(count, seed, {name: _distribution(name, value) for name, value in drawn.items()})


def _distribution(name: str, given: Any) -> tuple[Value, ...] | Between:
    known = _axis(name)
    if isinstance(given, list):
        return each_once(name, [known.check(name, value) for value in given])
    if not isinstance(given, dict) or isinstance(known.default, str | bool):
        wanted = "a list of values to choose from"
        if not isinstance(known.default, str | bool):
            wanted += ", or { low = ..., high = ... }"
        raise ActbenchError(f"{name} is {given!r}, but must be {wanted}")
    for key in given:
        if key not in _BETWEEN:
            raise unknown_name(f"part of {name}", key, _BETWEEN)
    if not {"low", "high"} <= given.keys():
        raise ActbenchError(f"{name} needs both low and high")
    low, high = (_end(name, known.check(name, given[end])) for end in ("low", "high"))
    scale = given.get("scale", "linear")
    if scale not in _SCALES:
        raise unknown_name(f"scale of {name}", scale, _SCALES)
    log = scale == "log"
    if not low < high or not math.isfinite(high - low) or (log and low <= 0):
        above = "and low must be above 0 on a log scale" if log else "and both finite"
        raise ActbenchError(f"{name} has low = {low!r}, high = {high!r}: low < high, {above}")
    return Between(low, high, log, whole=isinstance(known.default, int))


def _end(name: str, value: Value) -> float:
    if isinstance(value, str):
        raise ActbenchError(f"{name} has no numbers")
    return value


def _check_once(blocks: Sequence[Block], constants: Sequence[str]) -> None:
    if not blocks:
        raise ActbenchError("no axis varies: give it [grid], [[zip]] or [random]")
    seen = set(constants)
    for block in blocks:
        for name in AXES:
            if name in block.columns and name in seen:
                raise ActbenchError(f"{name} stands in two places, but can have only one")
        seen.update(block.columns)
