"""What was found in the experiment ``activation-derivatives``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import listed, name, number

if TYPE_CHECKING:
    import xarray as xr

_ROUNDING = 1e-6


def findings(ds: xr.Dataset) -> list[str]:
    """Say between which bounds each derivative lies, and which leave [0, 1]."""
    lowest, highest = ds["derivative"].min("z"), ds["derivative"].max("z")
    keys = ds["activation"].to_numpy().tolist()
    extremes = dict(zip(keys, zip(lowest.values, highest.values, strict=True), strict=True))
    ranges = listed(
        f"{name(key)} {number(low)}"
        if low == high
        else f"{name(key)} {_bound(low)} to {_bound(high)}"
        for key, (low, high) in extremes.items()
    )
    reach = number(float(ds["z"].max()))
    sentences = [f"Derivatives for inputs from -{reach} to {reach}: {ranges}."]
    outside = [
        key for key, (low, high) in extremes.items() if low < -_ROUNDING or high > 1 + _ROUNDING
    ]
    if outside:
        places = "; ".join(_extremes(ds, key) for key in outside)
        sentences.append(f"Not every derivative stays between 0 and 1: {places}.")
    return sentences


def _bound(value: float) -> str:
    return number(value if abs(value) > _ROUNDING else 0.0, 4)


def _extremes(ds: xr.Dataset, key: str) -> str:
    row, z = ds["derivative"].sel(activation=key).to_numpy(), ds["z"].to_numpy()
    low, high = int(np.argmin(row)), int(np.argmax(row))
    return (
        f"that of {name(key)} is {number(row[low])} at z = {number(z[low])} and "
        f"{number(row[high])} at z = {number(z[high])}"
    )
