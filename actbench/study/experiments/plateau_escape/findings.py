"""What was found in the experiment ``plateau-escape``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.pages.wording import listed, name, number
from actbench.study.experiments.plateau_escape.metrics import (
    escape_epoch_at,
    plateau_gradient_over_eps,
)

if TYPE_CHECKING:
    import xarray as xr


def findings(ds: xr.Dataset) -> list[str]:
    """Say at which depths networks stay on the plateau, and how small their gradients are there."""
    return [
        sentence
        for key in ds["activation"].to_numpy().tolist()
        for eps in ds["adam_eps"].to_numpy().tolist()
        for sentence in _of(ds, key, eps)
    ]


def _of(ds: xr.Dataset, key: str, eps: float) -> list[str]:
    depths = ds["depth"].to_numpy().tolist()
    stays = {depth: np.isinf(escape_epoch_at(ds, key, depth, eps)).sum() for depth in depths}
    shares = listed(f"{count} with {depth}" for depth, count in stays.items())
    small = {d: float(np.median(plateau_gradient_over_eps(ds, key, d, eps))) for d in depths}
    over = listed(f"{number(share)} with {depth}" for depth, share in small.items())
    return [
        f"With an eps of {eps:g}, so many of {ds.sizes['seed']} {name(key)} networks stay on the "
        f"plateau of the best constant for all {ds.sizes['epoch']} epochs: {shares} hidden layers.",
        "On the plateau layer 1 has this gradient magnitude in units of that eps, below which "
        f"Adam's steps shrink with the gradient: {over} hidden layers.",
    ]
