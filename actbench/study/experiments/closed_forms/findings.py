"""What was found in the experiment ``closed-forms``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.pages.wording import by_activation, number

if TYPE_CHECKING:
    import xarray as xr


def findings(ds: xr.Dataset) -> list[str]:
    """Say what the best constant and line reach on each target, and how the two tables differ."""
    sentences = []
    for target in ds["target"].to_numpy():
        floors = ds.sel(target=target)
        sentences.append(
            f"On the target {str(target).replace('_', ' ')} the best constant has a mean squared "
            f"error of {number(float(floors['best_constant_mse']), 4)} and the best straight line "
            f"{number(float(floors['best_line_mse']), 4)}; no output between 0 and 1 gets below "
            f"{number(float(floors['best_unit_interval_mse']), 4)}."
        )
    ratios = ds["report_over_card"].to_series().to_dict()
    sentences.append(
        "For the same set-up the study's report prints other losses than its model card, by these "
        f"factors: {by_activation(ratios)}."
    )
    return sentences
