"""Whatever a run left behind is drawn and told: neither an error nor a warning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from drawings import in_pixels
from small_runs import SMALL, dataset_of

from actbench.study import figures, findings
from actbench.study.experiments import get

Array = npt.NDArray[np.float64]
ODD = (np.nan, np.inf, -np.inf, 0.0, 5e-324, 1.7e308)
AT_INITIALIZATION = {"gradient-flow"}
"""Experiments whose numbers are of untrained networks, where none is as large as 1.7e308."""
WHOLE = {"layer", "reference", "level"}
"""Dimensions of which the smallest run has as much as any other."""


def _nothing_finite(values: Array) -> None:
    values[...] = np.nan


def _all_zero(values: Array) -> None:
    values[...] = 0


def _every_other_missing(values: Array) -> None:
    values.reshape(-1)[::2] = np.nan


def _mixed(values: Array) -> None:
    for number, odd in enumerate(ODD):
        values.reshape(-1)[number::11] = odd


def _spoiled(key: str, spoil: Callable[[Array], None]) -> xr.Dataset:
    made = dataset_of(key)
    numbers = {n: v.astype(np.float64) for n, v in made.items() if v.dtype.kind == "f"}
    for name, variable in numbers.items():
        share = str(name).endswith("_share") and spoil is _mixed  # neither infinite nor huge
        (_every_other_missing if share else spoil)(variable.to_numpy())
    return made.assign(numbers)


def _smallest(key: str) -> xr.Dataset:
    made = dataset_of(key)
    fewest = {dim: slice(2 if dim == "x" else 1) for dim in made.dims if dim not in WHOLE}
    return made.isel(fewest)


def _odd_names(key: str) -> xr.Dataset:
    made = dataset_of(key)
    names = [f"{n}_mine$" + "a" * 80 if n else "\u6f22\u5b57:fn" for n in range(9)]
    return made.assign_coords(activation=names[: made.sizes["activation"]])


def _odd(key: str) -> xr.Dataset:
    """Odd names, and of every activation another part missing or odd: what one drawing can show."""
    made = _odd_names(key)
    missing = _spoiled(key, _every_other_missing)
    mixed = missing if key in AT_INITIALIZATION else _spoiled(key, _mixed)
    first = xr.DataArray(np.arange(made.sizes["activation"]) % 2 == 0, dims="activation")
    spoiled = {
        name: values.where(~first, mixed[name]) if "activation" in values.dims else mixed[name]
        for name, values in missing.items()
        if values.dtype.kind == "f"
    }
    bare = {n: (v.dims, v.to_numpy(), made[n].attrs) for n, v in spoiled.items()}
    return made.assign(bare)


LEFT_BEHIND: dict[str, Callable[[str], xr.Dataset]] = {
    "as it is": dataset_of,
    "nothing finite": lambda key: _spoiled(key, _nothing_finite),
    "all zero": lambda key: _spoiled(key, _all_zero),
    "every other missing": lambda key: _spoiled(key, _every_other_missing),
    "smallest": _smallest,
    "odd names": _odd_names,
}
DRAWN_FROM = {
    **{what: LEFT_BEHIND[what] for what in ("nothing finite", "all zero", "smallest")},
    "odd": _odd,
}
DRAWN = [
    pytest.param(key, marks=pytest.mark.slow if key == "sine-regression" else ())
    for key in SMALL
    if get(key).figures
]
TOLD = [key for key in SMALL if get(key).findings]


@pytest.mark.parametrize("what", DRAWN_FROM)
@pytest.mark.parametrize("key", DRAWN)
def test_it_is_drawn(key: str, what: str) -> None:
    """Every figure, from one of everything to numbers that are not finite."""
    left_behind = DRAWN_FROM[what](key)
    for draw in figures.FIGURES[key].values():
        in_pixels(draw(left_behind), layout=False)


@pytest.mark.parametrize("what", LEFT_BEHIND)
@pytest.mark.parametrize("key", TOLD)
def test_it_is_told(key: str, what: str) -> None:
    """In whole sentences."""
    sentences = findings.of(key, LEFT_BEHIND[what](key))
    assert sentences or key == "gradient-flow"  # which tells of numbers alone
    assert all(sentence.endswith(".") for sentence in sentences)
    if key == "activation-statistics":  # whose numbers of a layer are missing together
        assert not any("nan" in s.lower() or "not a number" in s for s in sentences)
