"""Metrics of what a layer's units do before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actbench.claims.metrics import Metric, Values, values

if TYPE_CHECKING:
    import xarray as xr


def initial_zero_share(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Share of hidden outputs that are exactly zero before training, mean of layers, per seed."""
    chosen = _statistics(dataset, "zero_share", activation, initializer, "initial")
    return values(chosen.mean("hidden_layer"))


def square_gain(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Factor of E[z^2] per layer before training, from hidden layer 2 to the last, per seed."""
    mean, std = (
        _statistics(dataset, f"pre_activation_{moment}", activation, initializer, "initial")
        for moment in ("mean", "std")
    )
    squares = mean.astype(np.float64) ** 2 + std.astype(np.float64) ** 2
    steps = squares.sizes["hidden_layer"] - 2
    return values(squares.isel(hidden_layer=-1) / squares.isel(hidden_layer=1)) ** (1 / steps)


def dead_share(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Share of units that are zero on every input after training, mean of layers, per seed."""
    chosen = _statistics(dataset, "dead_unit_share", activation, initializer, "trained")
    return values(chosen.mean("hidden_layer"))


def dead_share_ratio(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Share of dead units after training over that before, same network, per seed."""
    before, after = (
        _statistics(dataset, "dead_unit_share", activation, initializer, stage, paired=True)
        for stage in ("initial", "trained")
    )
    return values(after.mean("hidden_layer")) / values(before.mean("hidden_layer"))


def saturated_share(dataset: xr.Dataset, activation: str, initializer: str) -> Values:
    """Share of outputs with a nearly vanished derivative after training, all layers, per seed."""
    chosen = _statistics(dataset, "saturated_share", activation, initializer, "trained")
    return values(chosen.mean("hidden_layer"))


def _statistics(
    dataset: xr.Dataset,
    variable: str,
    activation: str,
    initializer: str,
    stage: str,
    *,
    paired: bool = False,
) -> xr.DataArray:
    chosen = dataset[variable].sel(activation=activation, initializer=initializer, stage=stage)
    if stage == "initial" and not paired:
        return chosen
    # Networks that were not trained are NaN at that stage, which must not count as diverged.
    trained = dataset["trained"].sel(initializer=initializer).to_numpy()
    return chosen.isel(seed=np.flatnonzero(trained))


METRICS: tuple[Metric, ...] = (
    initial_zero_share,
    square_gain,
    dead_share,
    dead_share_ratio,
    saturated_share,
)
