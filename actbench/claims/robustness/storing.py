"""A robustness map as it is stored and read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from actbench import stored
from actbench.claims.claim import Claim, Relation
from actbench.claims.robustness.outcomes import Outcome, metric_key, outcome_of
from actbench.claims.robustness.settings import STRICT, Grid, Setting
from actbench.errors import ActbenchError
from actbench.files import baselines_folder

SCHEMA_VERSION = 1
COMMAND = "actbench robustness"


class Cell(BaseModel):
    """What the seeds of one setting came to.

    Args:
        setting: The setting.
        values: Metric, as ``metric_key`` writes it, to one value per seed, finite or not.
    """

    model_config = STRICT

    setting: Setting
    values: dict[str, Annotated[list[stored.Value], Field(min_length=1)]]


class Robustness(BaseModel):
    """A map as it is stored.

    Args:
        schema_version: Of the file's shape.
        command: What writes it.
        grid: What was asked for; fewer cells are there while a run is under way.
        environment: What it was computed with.
        cells: One per setting.
        escape_epochs: Initializer to the epoch at which each seed's sigmoid network left the
            plateau within the stated epochs; infinite for one that did not.
    """

    model_config = STRICT

    schema_version: int
    command: str
    grid: Grid
    environment: dict[str, str | int]
    cells: list[Cell]
    escape_epochs: dict[str, list[stored.Value]]

    def outcomes(self, claim: Claim, relation: Relation | None = None) -> dict[Setting, Outcome]:
        """Say for every setting whether a claim holds there."""
        key = metric_key(claim.metric)
        if any(key not in cell.values for cell in self.cells):
            raise ActbenchError(
                f"the robustness map lacks {key} of claim {claim.id!r}. Complete it with: {COMMAND}"
            )
        judged = claim if relation is None else claim.model_copy(update={"relation": relation})
        return {cell.setting: outcome_of(judged, np.array(cell.values[key])) for cell in self.cells}


def path_of(folder: Path | None = None) -> Path:
    """Return where the map is stored."""
    return (folder or baselines_folder()) / "robustness.json"


def load(path: Path | None = None) -> Robustness:
    """Read a stored map."""
    path = path or path_of()
    remedy = f"Run: {COMMAND} --overwrite"
    return stored.load(Robustness, path, SCHEMA_VERSION, "the robustness map", remedy)
