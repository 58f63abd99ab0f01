"""What a robustness map varies, which claims it is about, and the map as it is stored."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from actbench.claims.claim import Claim, Relation
from actbench.claims.claims_file import ClaimsFile
from actbench.claims.verdicts import judge_values
from actbench.store import stored
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder

STRICT = ConfigDict(extra="forbid", frozen=True)


class Setting(BaseModel):
    """One choice of what the study leaves open or might have chosen otherwise."""

    model_config = STRICT

    initializer: str = "torch_default"  # key of the initializer
    learning_rate: float = 1e-3  # Adam's step size
    weight_decay: float = 0.0  # Adam's L2 penalty
    epochs: int = 500  # full-batch updates
    depth: int = 10  # hidden layers

    def but(self, **changes: str | float) -> Setting:
        """Return the same setting but for some changes."""
        return self.model_copy(update=changes)


class Grid(BaseModel):
    """The settings of a map: initializers times learning rates, the rest one at a time."""

    model_config = STRICT

    # where everything starts: what the study states, else torch's defaults
    stated: Setting = Setting()
    # keys of the initializers
    initializers: tuple[str, ...] = Field(
        default=(
            *("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"),
            *("normal(0.03)", "normal(0.05)", "normal(0.07)", "normal(0.1)", "normal(0.15)"),
        ),
        min_length=1,
    )
    # all are combined with all initializers
    learning_rates: tuple[float, ...] = Field(default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), min_length=1)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3)  # variations of the stated setting
    epochs: tuple[int, ...] = (250, 1000, 2000)  # variations of the stated setting
    depths: tuple[int, ...] = (8, 9, 11, 12)  # variations of the stated setting
    seeds: int = Field(default=5, ge=1)  # seeds per setting, 42 and on
    # where sigmoid's escape from its plateau is measured
    escape_initializers: tuple[str, ...] = ("torch_default", "xavier_normal", "he_normal")
    escape_seeds: int = Field(default=200, ge=1)  # seeds of each of these distributions, 42 and on

    @property
    def product(self) -> tuple[Setting, ...]:
        """Every initializer with every learning rate."""
        pairs = itertools.product(self.initializers, self.learning_rates)
        return tuple(self.stated.but(initializer=i, learning_rate=rate) for i, rate in pairs)

    @property
    def variations(self) -> tuple[Setting, ...]:
        """The stated setting with one other weight decay, number of epochs or depth."""
        return (
            *(self.stated.but(weight_decay=decay) for decay in self.weight_decays),
            *(self.stated.but(epochs=epochs) for epochs in self.epochs),
            *(self.stated.but(depth=depth) for depth in self.depths),
        )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, each once."""
        return tuple(dict.fromkeys((*self.product, *self.variations)))


PROTOCOL = "stated"


@dataclass(frozen=True)
class Outcome:
    """What came out for one claim in one setting."""

    holds: bool  # whether the relation holds for the typical seed; for `every`, for all seeds
    share: float  # share of the seeds inside the relation
    median: float  # of the metric over the seeds; infinite where it is not finite


def metric_key(metric: Mapping[str, Any]) -> str:
    """Write a metric as one word."""
    arguments = ", ".join(f"{key}={metric[key]}" for key in sorted(metric) if key != "name")
    return f"{metric['name']}({arguments})"


def outcome_of(claim: Claim, values: NDArray[np.float64]) -> Outcome:
    """Say whether a claim holds for the seeds of one setting."""
    if claim.relation is None:
        raise ValueError(f"claim {claim.id!r} is not testable")
    share = float(np.mean([claim.relation.contains(float(value)) for value in values]))
    # The judge's own median, so that a run that is not finite counts here as it does there.
    typical = claim.model_copy(update={"quantifier": "median"})
    median = judge_values(typical, values, alpha=0.5).measured
    if median is None:
        raise ValueError(f"claim {claim.id!r} has no values")
    holds = share == 1 if claim.quantifier == "every" else claim.relation.contains(median)
    return Outcome(holds, share, median)


def mapped_claims(claims: ClaimsFile) -> list[Claim]:
    """Pick the claims that the map is about."""
    return [c for c in claims.claim if c.protocol == PROTOCOL and c.quantifier != "exact"]


SCHEMA_VERSION = 1
COMMAND = "actbench robustness"


class Cell(BaseModel):
    """What the seeds of one setting came to."""

    model_config = STRICT

    setting: Setting  # the setting
    # metric, as `metric_key` writes it, to one value per seed, finite or not
    values: dict[str, Annotated[list[stored.Value], Field(min_length=1)]]


class Robustness(BaseModel):
    """A map as it is stored."""

    model_config = STRICT

    schema_version: int  # of the file's shape
    command: str  # what writes it
    grid: Grid  # what was asked for; fewer cells are there while a run is under way
    environment: dict[str, str | int]  # what it was computed with
    cells: list[Cell]  # one per setting
    # initializer to the epoch at which each seed's sigmoid network left the plateau within the
    # stated epochs; infinite for one that did not
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
